import os

import asyncpg
from quart import Quart, render_template, request, websocket

from notes import __version__

app = Quart(__name__)


@app.before_serving
async def connect() -> None:
    app.pool = await asyncpg.create_pool(os.environ["DATABASE_URL"], min_size=1, max_size=5)


@app.after_serving
async def disconnect() -> None:
    await app.pool.close()


@app.get("/")
async def index():
    notes = await app.pool.fetch("SELECT text FROM notes ORDER BY id DESC LIMIT 20")
    return await render_template("index.html", notes=notes, version=__version__, url=request.url)


@app.post("/notes")
async def create():
    text = (await request.get_json())["text"]
    return {"id": await app.pool.fetchval("INSERT INTO notes (text) VALUES ($1) RETURNING id", text)}, 201


@app.websocket("/live")
async def live():
    while True:
        await websocket.send(await websocket.receive())
