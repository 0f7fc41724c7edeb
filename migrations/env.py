"""Runs the migrations: on the database of the settings, or on the one that a caller names.

From Python: `config.attributes["database_url"] = url`, then
`alembic.command.upgrade(config, "head")`.

For `alembic revision --autogenerate`, import the modules of your own models below: it would drop
the tables of those that it does not know.
"""

import asyncio

from alembic import context
from sqlalchemy import Connection

from app.checkpoint.database import Database
from app.checkpoint.models import Model
from app.settings import Settings


def _run(connection: Connection) -> None:
    dialect = connection.dialect.name
    context.configure(
        connection=connection,
        target_metadata=Model.metadata,
        # A migration that fails leaves nothing behind, except on MariaDB, which commits each DDL.
        transactional_ddl=dialect != "mysql",
        render_as_batch=dialect == "sqlite",
        compare_type=True,
        compare_server_default=True,
    )
    with context.begin_transaction():
        context.run_migrations()


async def _run_on(database: Database) -> None:
    try:
        async with database.engine.connect() as connection:
            await connection.run_sync(_run)
    finally:
        await database.close()


url = context.config.attributes.get("database_url") or Settings.load().database_url
asyncio.run(_run_on(Database(url)))
