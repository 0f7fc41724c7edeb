"""What a transactional handler writes: no constraint keeps an effect from being there twice."""

from sqlalchemy import BigInteger, Column, Integer, MetaData, String, Table

effects = Table(
    "effects",
    MetaData(),
    Column("id", BigInteger().with_variant(Integer(), "sqlite"), primary_key=True),
    Column("topic", String(249), nullable=False),
    Column("partition", Integer, nullable=False),
    Column("offset", BigInteger, nullable=False),
    Column("pid", Integer, nullable=False),
)
