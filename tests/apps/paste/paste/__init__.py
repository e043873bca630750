import os

from flask import Flask

VERSION = "version 1"


def create_app(test_config=None):
    app = Flask(__name__, instance_path=os.path.join(os.getcwd(), "instance"))
    app.config.from_mapping(
        SECRET_KEY="dev",
        DATABASE=os.path.join(app.instance_path, "paste.sqlite"),
        REDIS_URL=os.environ.get("REDIS_URL"),
    )
    app.config.from_pyfile("config.py", silent=True)
    app.config.from_prefixed_env("PASTE")
    os.makedirs(app.instance_path, exist_ok=True)

    from . import db, pastes

    db.init_app(app)
    app.register_blueprint(pastes.bp)
    return app
