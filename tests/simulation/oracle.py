"""What must hold; the numbers are those of the fault model (`tests.end_to_end.invariants`)."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping

from faust.types import TP

from app.checkpoint.events import Record
from app.checkpoint.identity import Identifier
from tests.simulation.group import Group
from tests.simulation.service import ATTEMPTS, FAILING, Kind, Place, Service
from tests.simulation.store import Store

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
        group.on_commit = self.check_commit

    def check_commit(self, offsets: Mapping[TP, int]) -> None:
        """I1 and I7: no offset passes an event without an outcome."""
        for tp, offset in offsets.items():
            passed = self._unsettled(self._group.log[tp][:offset])
            self._check(not passed, f"I1: {offset} was committed, past {passed}")

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
            failing = self._kinds[partition, offset] in FAILING
            blamed = "ProcessDied" in error and deaths >= PROVEN
            self._check(failing or blamed, f"{partition, offset} failed: {error}")
        wrong = [at for at in self._recorded() if self._kinds[at] in {*FAILING, "skipped"}]
        self._check(not wrong, f"{wrong} are recorded")

    def _check_rows(self) -> None:
        for name, rows in (
            ("recorded", self._store.select("SELECT identity FROM checkpoint_events")),
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
        furthest: dict[int, int] = {}
        for partition, offset in dict.fromkeys(self._service.journal.finished):
            before = furthest.get(partition, -1)
            self._check(before < offset, f"I6: {partition, offset} after {before}")
            furthest[partition] = offset

    def _check_runs(self, lanes: Callable[[int], int]) -> None:
        """I4: in one lane, the handler runs as often as the event asks for, whatever happens."""
        for at, runs in self._service.journal.started.items():
            most = ATTEMPTS[self._kinds[at]] * lanes(at[0])
            self._check(runs <= most, f"I4: {at} ran {runs} times instead of {most}")

    def _unsettled(self, records: Iterable[Record]) -> list[Place]:
        settled = {identity for (identity,) in self._store.select(SETTLED)}
        places = [place(record) for record in records]
        skipped = self._service.journal.skipped
        return [at for at in places if self._identities[at] not in settled and at not in skipped]

    def _recorded(self) -> list[Place]:
        return self._store.select("SELECT partition, offset FROM checkpoint_events")

    def _check(self, holds: bool, otherwise: str) -> None:  # noqa: FBT001 - as in an assertion
        if not holds:
            self.violations.append(otherwise)


def place(record: Record) -> Place:
    """Return where an event lies."""
    return record.partition, record.offset
