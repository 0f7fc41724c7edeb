"""What a transactional handler writes: no constraint keeps an effect from being there twice."""

from sqlalchemy import BigInteger, Column, Integer, MetaData, String, Table

from app.checkpoint.database import Database

effects = Table(
    "effects",
    MetaData(),
    Column("id", BigInteger().with_variant(Integer(), "sqlite"), primary_key=True),
    Column("topic", String(249), nullable=False),
    Column("partition", Integer, nullable=False),
    Column("offset", BigInteger, nullable=False),
    Column("pid", Integer, nullable=False),
)


async def create_effects(database_url: str) -> None:
    """Create the table."""
    database = Database(database_url)
    async with database.engine.begin() as connection:
        await connection.run_sync(effects.metadata.create_all)
    await database.close()
