"""What must hold; the numbers are those of the fault model (`tests.end_to_end.invariants`)."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from faust.types import TP

from app.checkpoint.events import Record
from app.checkpoint.identity import Identifier
from tests.simulation.group import Group
from tests.simulation.loop import PROCESS
from tests.simulation.service import Kind, Place, Service
from tests.simulation.store import Store
from tests.simulation.worker import Worker

EVENTS = "SELECT identity FROM checkpoint_events"
SETTLED = "SELECT identity FROM checkpoint_events UNION SELECT identity FROM checkpoint_failures"
OPEN = "FROM checkpoint_failures WHERE status = 'open'"
PROVEN = 3
"""So often must processes have died before one event may be blamed for it."""


class Oracle:
    """Watches one simulation, and remembers what should not have happened."""

    def __init__(
        self, group: Group, store: Store, service: Service, kinds: Mapping[Place, Kind]
    ) -> None:
        self.violations: list[str] = []
        self._group = group
        self._store = store
        self._service = service
        self._kinds = kinds
        identifier = Identifier(group_id="service", agent="orders")
        self._identities = {
            place(record): identifier.event(record).identity for record in group.records()
        }
        self._keys = {place(record): record.key for record in group.records()}
        self._settled_before: dict[int, set[Any]] = {}
        group.on_commit = self.check_commit
        group.on_generation = self.remember
        service.on_start = self.check_start

    def check_commit(self, offsets: Mapping[TP, int]) -> None:
        """I1 and I7: no offset passes an event without an outcome."""
        for tp, offset in offsets.items():
            passed = self._unsettled(self._group.log[tp][:offset])
            self._check(not passed, f"I1: {offset} was committed, past {passed}")

    def remember(self, generation: int) -> None:
        """Note what is settled before the members of a generation begin."""
        # A failure has the coordinates of the twin that failed last: the others are handled again.
        alone = Counter(self._identities.values())
        failed = self._store.select(f"SELECT partition, offset {OPEN}")
        self._settled_before[generation] = {
            *self._settled(EVENTS),
            *(at for at in failed if alone[self._identities[at]] == 1),
        }

    def check_start(self, at: Place) -> None:
        """I4: what was settled before a lane was opened is not handled in it."""
        worker = PROCESS.get()
        assert isinstance(worker, Worker)
        known = {at, self._identities[at]} & self._settled_before[worker.generation]
        self._check(not known, f"I4: {at} ran although it was settled")

    def check_end(self, *, deaths: int, lanes: Callable[[int], int]) -> None:
        """Check all that must hold when nobody works any more."""
        self._check_outcomes(deaths)
        self._check_rows()
        self._check_effects()
        self._check_order()
        if not self._service.transactional:
            self._check_runs(lanes)

    def _check_outcomes(self, deaths: int) -> None:
        lost = self._unsettled(self._group.records())
        self._check(not lost, f"I2: {lost} are lost")
        failed = self._store.select(f"SELECT partition, offset, error_class {OPEN}")
        for partition, offset, error in failed:
            failing = self._service.fails(self._kinds[partition, offset])
            blamed = "ProcessDied" in error and deaths >= PROVEN
            self._check(failing or blamed, f"{partition, offset} failed: {error}")
        kinds = {at: self._kinds[at] for at in self._recorded()}
        wrong = [at for at, kind in kinds.items() if kind == "skipped" or self._service.fails(kind)]
        self._check(not wrong, f"{wrong} are recorded")

    def _check_rows(self) -> None:
        for name, rows in (
            ("recorded", self._store.select(EVENTS)),
            ("failed", self._store.select(f"SELECT identity {OPEN}")),
        ):
            self._check(len(set(rows)) == len(rows), f"I5: an event has {name} twice")
        both = self._store.select(
            "SELECT e.partition, e.offset FROM checkpoint_events AS e JOIN checkpoint_failures AS f"
            " ON f.open_key = e.identity WHERE f.error_class NOT LIKE '%ProcessDied%'"
        )
        self._check(not both, f"I5: {both} have succeeded and failed")

    def _check_effects(self) -> None:
        effects = Counter(self._store.select("SELECT partition, at FROM effects"))
        recorded = self._recorded() if self._service.transactional else []
        self._check(effects == Counter(recorded), f"I3: {effects} of {recorded}")

    def _check_order(self) -> None:
        furthest: dict[object, int] = {}
        finished: set[bytes] = set()
        for at in self._service.journal.finished:
            identity, offset = self._identities[at], at[1]
            # The twin of one that has finished is passed over, or rolled back.
            if identity not in finished:
                among = self._ordered_among(at)
                before = furthest.get(among, -1)
                self._check(before < offset, f"I6: {at} after {before}")
                furthest[among] = offset
                finished.add(identity)

    def _ordered_among(self, at: Place) -> object:
        """Return what is equal for all events whose order an event is in."""
        if not self._service.by_key:
            return at[0]
        key = self._keys[at]
        return at if key is None else (at[0], key)

    def _check_runs(self, lanes: Callable[[int], int]) -> None:
        """I4: in one lane, the handler runs as often as the event asks for, whatever happens."""
        for at, runs in self._service.journal.started.items():
            most = self._service.runs(self._kinds[at]) * lanes(at[0])
            self._check(runs <= most, f"I4: {at} ran {runs} times instead of {most}")

    def _unsettled(self, records: Iterable[Record]) -> list[Place]:
        settled = self._settled(SETTLED)
        places = [place(record) for record in records]
        skipped = self._service.journal.skipped
        return [at for at in places if self._identities[at] not in settled and at not in skipped]

    def _settled(self, select: str) -> set[bytes]:
        return {identity for (identity,) in self._store.select(select)}

    def _recorded(self) -> list[Place]:
        return self._store.select("SELECT partition, offset FROM checkpoint_events")

    def _check(self, holds: bool, otherwise: str) -> None:  # noqa: FBT001 - as in an assertion
        if not holds:
            self.violations.append(otherwise)


def place(record: Record) -> Place:
    """Return where an event lies."""
    return record.partition, record.offset
