"""The cases: one module each, run in a process of its own, and one line in `CASES`."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One way to consume the events."""

    name: str
    command: tuple[str, ...]
    """What Python runs."""
    share: int = 1
    """One of so many events is consumed: a slow case would take the others' time."""
    records: bool = True
    """Whether there is a row of every event in the end."""
    empties: bool = True
    """Whether it starts with empty tables."""


def _worker(name: str) -> tuple[str, ...]:
    module = f"benchmarks.cases.{name}"
    return ("-m", "faust", "-A", module, "worker", "--without-web", "-l", "info")


CASES = (
    Case(name="stock", command=_worker("stock"), records=False),
    Case(name="by_hand", command=_worker("by_hand"), share=50),
    Case(name="checkpoint", command=_worker("checkpoint")),
    Case(name="copy", command=("-m", "benchmarks.cases.copy"), empties=False),
)
"""In the order of a round; the first is what the others are compared with."""
