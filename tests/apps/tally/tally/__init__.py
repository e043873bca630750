import os
from contextlib import contextmanager

import psycopg2
import redis
from celery import Celery
from decouple import config
from flask import Flask, jsonify, request

VERSION = "version 1"
DATABASE_URL = config("DATABASE_URL")
REDIS_URL = config("REDIS_URL")

app = Flask(__name__)
app.secret_key = config("SECRET_KEY")
celery = Celery("tally", broker=REDIS_URL, backend=REDIS_URL)
celery.conf.broker_connection_retry_on_startup = True
cache = redis.from_url(REDIS_URL)


@contextmanager
def database():
    connection = psycopg2.connect(DATABASE_URL)
    try:
        with connection:
            yield connection
    finally:
        connection.close()


@celery.task
def count_words(text_id):
    with database() as connection, connection.cursor() as cursor:
        cursor.execute("SELECT body FROM texts WHERE id = %s", (text_id,))
        words = len(cursor.fetchone()[0].split())
        cursor.execute("UPDATE texts SET words = %s WHERE id = %s", (words, text_id))
    print("counted text", text_id)
    return words


@app.get("/")
def index():
    return jsonify(version=VERSION, visits=cache.incr("tally:visits"), pid=os.getpid())


@app.get("/health")
def health():
    cache.ping()
    with database() as connection, connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM releases")
        return jsonify(releases=cursor.fetchone()[0])


@app.post("/texts")
def create():
    with database() as connection, connection.cursor() as cursor:
        cursor.execute("INSERT INTO texts (body) VALUES (%s) RETURNING id", (request.json["body"],))
        text_id = cursor.fetchone()[0]
    count_words.delay(text_id)
    return jsonify(id=text_id), 202


@app.get("/texts/<int:text_id>")
def show(text_id):
    with database() as connection, connection.cursor() as cursor:
        cursor.execute("SELECT words FROM texts WHERE id = %s", (text_id,))
        return jsonify(id=text_id, words=cursor.fetchone()[0])
