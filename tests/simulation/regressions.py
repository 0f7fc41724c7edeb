"""Scenarios in which an engine violated an invariant, as short as they became.

What the simulation finds in the engine itself is added to `MENDED`, as pytest shows it.
"""

from app.checkpoint.pipeline import Pipeline
from tests.simulation import canaries
from tests.simulation.scenario import Scenario


def after(requests: int, *fates: int) -> bytes:
    """Return a schedule in which the first requests go well, and the next ones as they are to."""
    return bytes(requests) + bytes(fates)


FOUND: tuple[tuple[type[Pipeline], Scenario], ...] = (
    (canaries.AcksBeforeCommit, Scenario(partitions=(("good",), ()), choices=after(14, 201))),
    (
        canaries.SkipsAcks,
        Scenario(
            partitions=(("good",), ("twin",)), choices=after(18, 230, 0, 0, 206, 0, 0, 0, 0, 0, 216)
        ),
    ),
    (canaries.AcksOutOfOrder, Scenario(partitions=(("ill",), ("fails once",)))),
    (
        canaries.FailsAfterAck,
        Scenario(partitions=(("fails once",), ("ill",)), choices=after(21, 228)),
    ),
    (canaries.AcksWhatRaised, Scenario(partitions=(("null", "poison"), ()))),
    (
        canaries.ChecksThenActs,
        Scenario(partitions=(("good", "good"), ("good",)), choices=after(26, 254)),
    ),
)
"""Each with the planted bug that it shows."""

MENDED: tuple[Scenario, ...] = (
    # An event that hangs, is retried, and lies before one that ends its process: a crash loop.
    Scenario(partitions=(("hangs once", "kills"), ())),
    Scenario(partitions=(("kills",), ("hangs once", "kills"))),
    # The same, where what came of the hanging one is to be recorded together with its neighbours.
    Scenario(partitions=(("good", "hangs once", "kills"), ()), transactional=True, max_retries=0),
    # Each of two twins had the other one's failure forgotten, and so had a third one no end.
    Scenario(partitions=(("kills", "twin", "kills"), ())),
    Scenario(partitions=(("kills",), ("twin", "kills"))),
    # What was in hand beside a handler that takes long was not looked for behind it.
    Scenario(partitions=(("hangs once", "twin", "kills"), ()), by_key=True, max_retries=0),
    # Owners that came and went faster than a lane was past its killer forgot that there was one.
    Scenario(
        partitions=(
            ("good", "fails twice", "kills", "good"),
            ("fails twice", "good", "kills"),
        ),
        by_key=True,
        choices=bytes.fromhex(
            "003c3d09736a94efb8d5e839718f57c9ac4c61f7a0b172d41eee836b8174d72f50911b0c9f76ca46867f32"
            "f24dcfb7499455d007d549cf08ac6693c17b217f3672c5ae760e533c6e20186679866523ca627d561f2b10"
            "69e11f0affee"
        ),
    ),
)
"""What the engine itself once failed at."""
