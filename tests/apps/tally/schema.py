"""Bring the tables up to date. Run at each release."""
from tally import database

SCHEMA = """
CREATE TABLE IF NOT EXISTS texts (
    id serial PRIMARY KEY,
    body text NOT NULL,
    words integer
);
CREATE TABLE IF NOT EXISTS releases (
    id serial PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT now()
);
INSERT INTO releases DEFAULT VALUES;
"""

if __name__ == "__main__":
    with database() as connection, connection.cursor() as cursor:
        cursor.execute(SCHEMA)
    print("schema is up to date")
