"""What lists have to tell, said in Python: which rows are meant, and in which order."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import strategies as st

from app.checkpoint import Filter
from tests.checkpoint.queries.rows import NOON, NOW, Row, event, failure

TIMES = [
    None,
    NOON,
    NOON + timedelta(microseconds=1),
    datetime.min.replace(tzinfo=UTC),
    datetime.max.replace(tzinfo=UTC),
]
NAMES: dict[str, list[Any]] = {
    "topic": ["orders", "Orders"],
    "group_id": ["service", "service "],
    "agent": ["orders", "örders"],
    "entity_id": ["1", "2", None],
    "event_type": ["placed", "Placed", None],
    "event_version": ["1", None],
    "checksum": [bytes(16), b"\x01" * 16, None],
    "partition": [0, 1],
}
FAILURE_NAMES = {
    **NAMES,
    "error_class": ["KeyError", "keyerror"],
    "fingerprint": [bytes(16), b"\xff" * 16, None],
}
STATUSES = {
    "all": ["open", "retrying", "resolved", "discarded"],
    "unresolved": ["open", "retrying"],
    "open": ["open"],
    "retrying": ["retrying"],
    "resolved": ["resolved"],
    "discarded": ["discarded"],
}
TEXTS = ["a%b", "A%B", "aab", "a\\b", ""]

_columns = {name: st.sampled_from(values) for name, values in FAILURE_NAMES.items()}
_times = {"event_time": st.sampled_from(TIMES)}
_fates = {
    "last_failed_at": st.sampled_from([NOON, NOON + timedelta(microseconds=1)]),
    "status": st.sampled_from(["open", "open", "resolved", "discarded"]),
    "claimed_at": st.sampled_from([None, NOON - timedelta(days=9999), NOW]),
    "error_message": st.sampled_from(TEXTS),
}


def _numbered(make: Any, **columns: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Row]]:
    rows = st.lists(st.fixed_dictionaries(columns), min_size=1, max_size=12)
    return rows.map(lambda fields: [make(n, **one) for n, one in enumerate(fields, 1)])


events = _numbered(event, **{name: _columns[name] for name in NAMES}, **_times)
failures = _numbered(failure, **_columns, **_times, **_fates)


_moments = st.sampled_from([time for time in TIMES if time])
_wanted: dict[str, st.SearchStrategy[Any]] = {
    **{name: st.sampled_from(values) for name, values in FAILURE_NAMES.items()},
    "since": _moments,
    "until": _moments,
    "topics": st.frozensets(st.sampled_from(["orders", "Orders", "others"])),
    "status": st.sampled_from(list(STATUSES)),
    "error_text": st.sampled_from([*TEXTS, "%", "_", "\\", "a", "A", "ab"]),
}


@st.composite
def filters(draw: st.DrawFn) -> Filter:
    """Return a filter that looks for one or two things, or for nothing special."""
    names = draw(st.lists(st.sampled_from(sorted(_wanted)), max_size=2, unique=True))
    return Filter(**{name: draw(_wanted[name]) for name in names})


def wanted_events(rows: Iterable[Row], where: Filter) -> list[int]:
    """Return the ids of the events that a filter means, in the order of their list."""
    return _newest_first(
        row for row in rows if _has(row, where, NAMES) and _is_between(row["event_time"], where)
    )


def wanted_failures(rows: Iterable[Row], where: Filter) -> list[int]:
    """Return the ids of the failures that a filter means, in the order of their list."""
    return _newest_first(
        row
        for row in rows
        if _has(row, where, FAILURE_NAMES)
        and _is_between(row["last_failed_at"], where)
        and status_of(row) in STATUSES[where.status]
        and (where.error_text or "") in row["error_message"]
    )


def status_of(row: Row) -> str:
    """Return the status of a failure as it is told."""
    is_retried = row["status"] == "open" and row["claimed_at"] == NOW
    return "retrying" if is_retried else str(row["status"])


def _newest_first(rows: Iterable[Row]) -> list[int]:
    in_order = sorted(rows, key=lambda row: (row["sort_key"], row["id"]), reverse=True)
    return [row["id"] for row in in_order]


def _has(row: Row, where: Filter, names: Iterable[str]) -> bool:
    equal = all(getattr(where, name) in {None, row[name]} for name in names)
    return equal and (where.topics is None or row["topic"] in where.topics)


def _is_between(time: datetime | None, where: Filter) -> bool:
    if time is None:
        return where.since is None and where.until is None
    since, until = where.since, where.until
    return (since is None or time >= since) and (until is None or time < until)
