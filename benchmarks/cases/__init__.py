"""The cases: one module each, run in a process of its own, and one line in `CASES`."""

from dataclasses import dataclass

from benchmarks.orders import PARTITIONS, SIZE


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One way to consume the events."""

    name: str
    command: tuple[str, ...]
    """What Python runs."""
    share: int = 1
    """One of so many events is consumed: a slow case would take the others' time."""
    records: bool = True
    """Whether there is a new row of every event in the end."""
    empties: bool = True
    """Whether it starts with empty tables."""
    writes_out: bool = True
    """Whether the database has written all to the disk before: runs before leave nothing to it."""
    size: int = SIZE
    """Bytes of one event."""
    partitions: int = PARTITIONS
    idle: int = 0
    """Partitions beside these that have no events."""
    database: str = "postgresql"
    """Which of the databases that a bench has."""
    work: str = ""
    """What the handler does with an event, if the case leaves it open."""


def module(name: str) -> tuple[str, ...]:
    """Return what Python runs as a program of its own."""
    return ("-m", f"benchmarks.cases.{name}")


def worker(name: str, *options: str) -> tuple[str, ...]:
    """Return what Python runs as a Faust worker."""
    app = ("-A", f"benchmarks.cases.{name}")
    return ("-m", "faust", *options, *app, "worker", "--without-web", "-l", "info")


CASES = (
    Case(name="stock", command=worker("stock"), records=False),
    Case(name="by_hand", command=worker("by_hand"), share=50),
    Case(name="faststream_by_hand", command=module("faststream_by_hand"), share=200),
    Case(name="duplicates", command=worker("duplicates"), records=False),
    Case(name="transactional", command=worker("transactional"), share=10),
    Case(name="checkpoint", command=worker("checkpoint")),
    Case(name="copy", command=module("copy"), empties=False),
)
"""In the order of a round; the first is what the others are compared with."""
