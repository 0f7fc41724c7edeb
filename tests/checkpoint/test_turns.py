"""Whoever need not wait may begin, and nobody else."""

from collections.abc import Sequence
from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from app.checkpoint.events import Event, make_record
from app.checkpoint.queries import Known
from app.checkpoint.turns import FRESH_SECONDS, Turn, Turns

NOTHING = Known(recorded=set(), failures={})


class Sent(NamedTuple):
    """An event: equal contents make twins."""

    key: bytes | None
    content: int


SENT = st.builds(Sent, st.sampled_from([None, b"", b"a", b"b"]), st.integers(0, 20))


def event(offset: int, sent: Sent) -> Event:
    """Return an event that lies at an offset."""
    record = make_record(b"", topic="orders", offset=offset, key=sent.key)
    return Event(record, identity=bytes([sent.content]) * 16, checksum=None)


class Model:
    """Takes up events, and checks of each one that begins that it may."""

    def __init__(self, sent: Sequence[Sent]) -> None:
        self.sent = sent
        self.turns = Turns()
        self.now = 0.0
        self.waiting: list[Turn] = []
        """Of which the database is asked."""
        self.running: list[Turn] = []
        self.answered: list[Turn] = []
        self.settled: list[int] = []
        self._taken_up = 0
        self._asked_at: dict[Turn, int] = {}

    def act(self, action: int) -> None:
        """Do one of the things that a lane does, if there is reason to."""
        (self._take_up, self._ask, self._know, self._begin, self._answer, self._settle, self._wait)[
            action % 7
        ](action // 7)

    def finish(self) -> None:
        """Do everything that is left."""
        for _ in range(10 * len(self.sent) + 10):
            for action in range(7):
                self.act(action)

    def _take_up(self, _: int) -> None:
        if self._taken_up < len(self.sent):
            self.turns.add(event(self._taken_up, self.sent[self._taken_up]))
            self._taken_up += 1

    def _ask(self, number: int) -> None:
        if not self.waiting:
            self.waiting = self.turns.take_unknown(1 + number)
            assert len(self.waiting) <= 1 + number
            self._asked_at |= dict.fromkeys(self.waiting, len(self.settled))

    def _know(self, _: int) -> None:
        self.turns.know(self.waiting, NOTHING, self.now)
        self.waiting = []

    def _begin(self, _: int) -> None:
        turn = self.turns.begin(self.now)
        if turn is not None:
            self._check(turn)
            self.running.append(turn)

    def _answer(self, number: int) -> None:
        if not self.running:
            return
        turn = self.running.pop(number % len(self.running))
        if number % 3 == 2:
            self.turns.retry(turn, self.now + number)
        else:
            self.turns.answered(turn)
            self.answered.append(turn)

    def _settle(self, number: int) -> None:
        if self.answered:
            turn = self.answered.pop(number % len(self.answered))
            self.turns.settled(turn)
            self.settled.append(turn.event.record.offset)

    def _wait(self, number: int) -> None:
        self.now += number * FRESH_SECONDS / 4
        assert self.turns.recall(self.now) > self.now

    def _check(self, turn: Turn) -> None:
        offset = turn.event.record.offset
        me = self.sent[offset]
        answered = {*self.settled, *(one.event.record.offset for one in self.answered)}
        for before, other in enumerate(self.sent[:offset]):
            assert me.key is None or other.key != me.key or before in answered, "order"
            if other.content == me.content:
                assert before in self.settled[: self._asked_at[turn]], "a twin"
        assert self.now - turn.known_at <= FRESH_SECONDS


@given(sent=st.lists(SENT, max_size=12), actions=st.lists(st.integers(0, 60)))
def test_keys_are_kept_in_order_twins_apart_and_everything_is_settled(
    sent: list[Sent], actions: list[int]
) -> None:
    """Whatever happens in between, and however little is asked of the database at once."""
    model = Model(sent)
    for action in actions:
        model.act(action)
    model.finish()
    assert sorted(model.settled) == list(range(len(sent)))
    assert [*model.turns.ready, *model.turns.unknown, *model.turns.in_hand] == []


@given(sent=st.lists(SENT, max_size=12, unique_by=lambda one: one.content))
def test_whoever_waits_for_nobody_may_begin_at_once(sent: list[Sent]) -> None:
    """Of each key the first one; and all that have no key, among which there is no order."""
    turns = Turns()
    for offset, one in enumerate(sent):
        turns.add(event(offset, one))
    turns.know(turns.take_unknown(100), NOTHING, 0.0)
    begun = []
    while (turn := turns.begin(0.0)) is not None:
        begun.append(turn.event.record.offset)
    keys = [one.key for one in sent]
    assert begun == [at for at, key in enumerate(keys) if key is None or keys.index(key) == at]


def test_a_key_with_many_events_is_asked_for_at_once() -> None:
    """Else each event would cost a question."""
    turns = Turns()
    for offset in range(10):
        turns.add(event(offset, Sent(b"a", offset)))
    assert len(turns.take_unknown(8)) == 8


def test_what_is_known_is_forgotten_after_a_while() -> None:
    """Other workers go on meanwhile."""
    turns = Turns()
    turns.add(event(0, Sent(b"a", 0)))
    turns.know(turns.take_unknown(1), NOTHING, 0.0)
    assert turns.begin(2 * FRESH_SECONDS) is None
    turns.know(turns.take_unknown(1), NOTHING, 2 * FRESH_SECONDS)
    assert turns.begin(3 * FRESH_SECONDS) is not None
