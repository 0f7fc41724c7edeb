"""What must hold whatever happens to workers; an AssertionError says where it does not.

The numbers are those of the fault model: I1 (and I7) at every moment, the others at the end.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from tests.end_to_end.journal import Entry, Place
from tests.end_to_end.ledger import Produced


def check_nothing_is_lost(produced: Iterable[Produced], settled: Sequence[Place]) -> None:
    """I2 and I5: every message has an outcome, and only one."""
    wanted = Counter(message.place for message in produced)
    found = Counter(settled)
    assert found - wanted == Counter(), "settled more than once"
    assert wanted - found == Counter(), "lost"


def check_commits(
    produced: Iterable[Produced],
    committed: Mapping[tuple[str, int], int],
    settled: Mapping[tuple[str, int], int],
) -> None:
    """I1 and I7: no committed offset has passed a message that had no outcome then.

    `committed` must have been read before `settled`, the number of outcomes below it: rows only
    grow, so what is missing now was missing then.
    """
    below = Counter(
        (place.topic, place.partition)
        for place in (message.place for message in produced)
        if place.offset < committed.get((place.topic, place.partition), 0)
    )
    passed = {tp: (below[tp], settled.get(tp, 0)) for tp in below if settled.get(tp, 0) < below[tp]}
    assert not passed, f"committed past events without an outcome: {passed} of {committed}"


def check_effects(produced: Iterable[Produced], effects: Iterable[Place]) -> None:
    """I3: each of these messages has had its effect exactly once."""
    wanted = Counter(message.place for message in produced)
    assert Counter(effects) == wanted, "effects are missing, or there twice"


def check_order(produced: Iterable[Produced], journal: Iterable[Entry]) -> None:
    """I6: for each key, handlers have first succeeded in offset order."""
    keys = {message.place: message.key for message in produced}
    furthest: dict[tuple[str, int, bytes | None], int] = {}
    finished: set[Place] = set()
    for entry in journal:
        place = entry.place
        if entry.step != "finished" or place in finished:
            continue
        finished.add(place)
        key = place.topic, place.partition, keys[place]
        assert furthest.get(key, -1) < place.offset, f"{place} after offset {furthest[key]}"
        furthest[key] = place.offset
