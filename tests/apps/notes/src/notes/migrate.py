"""Bring the database to the schema of this version."""

import asyncio
import os

import asyncpg


async def migrate() -> None:
    connection = await asyncpg.connect(os.environ["DATABASE_URL"])
    await connection.execute("CREATE TABLE IF NOT EXISTS notes (id bigserial PRIMARY KEY, text text NOT NULL)")
    await connection.close()


def main() -> None:
    asyncio.run(migrate())
