"""What a transactional handler writes: no constraint keeps an effect from being there twice."""

import os

from sqlalchemy import BigInteger, Column, Integer, MetaData, String, Table, insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import DeclarativeBase

from app.checkpoint import Metadata
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


class Model(DeclarativeBase):
    """Where the class of an effect belongs to."""


class Effect(Model):
    """A row, for those who leave the writing to their session."""

    __table__ = effects


async def affect(session: AsyncSession, metadata: Metadata) -> None:
    """Write a row at once, or leave it to be sent with those of other events."""
    place = {name: getattr(metadata, name) for name in ("topic", "partition", "offset")}
    if metadata.offset % 4:
        session.add(Effect(pid=os.getpid(), **place))
    else:
        await session.execute(insert(effects).values(pid=os.getpid(), **place))


async def create_effects(database_url: str) -> None:
    """Create the table."""
    database = Database(database_url)
    async with database.engine.begin() as connection:
        await connection.run_sync(effects.metadata.create_all)
    await database.close()
