"""Values of each filter that many, a few or no rows have, as the seeds have spread them."""

from hashlib import md5

Values = dict[str, list[str]]
"""Values of one filter, by how many rows have them; a request takes one of the list."""

SOME = 500
"""Values that are as rare as each other."""


def _digest(text: str) -> str:
    # As PostgreSQL has made them.
    return md5(text.encode(), usedforsecurity=False).hexdigest()


FILTERS: dict[str, Values] = {
    "topic": {"common": ["orders"], "rare": ["returns"], "missing": ["nowhere"]},
    "group_id": {"common": ["shop"], "rare": ["shop-canary"], "missing": ["nowhere"]},
    "agent": {"common": ["bill"], "missing": ["nobody"]},
    "entity_id": {
        "common": ["customer-hot"],
        "rare": [f"customer-{number}" for number in range(SOME)],
        "missing": ["nobody"],
    },
    "event_type": {"common": ["order_paid"], "rare": ["order_reopened"], "missing": ["nothing"]},
    "event_version": {"common": ["1"], "rare": ["0"], "missing": ["9"]},
    "checksum": {
        "common": [_digest("heartbeat")],
        "rare": [_digest(f"checksum{number}") for number in range(100, 100 * SOME, 100)],
        "missing": [_digest("nothing")],
    },
    "partition": {"common": ["1"], "rare": ["11"], "missing": ["12"]},
    "since": {"common": ["2026-01-02T00:00:00Z"], "rare": ["2026-04-10T23:00:00Z"]},
    "until": {"common": ["2026-04-10T00:00:00Z"], "rare": ["2026-01-01T01:00:00Z"]},
}
FAILURE_FILTERS = FILTERS | {
    "error_class": {
        "common": ["app.errors.Error1"],
        "rare": ["app.errors.RareError"],
        "missing": ["app.errors.None"],
    },
    "error": {"common": ["declined"], "rare": ["needle"], "missing": ["haystack"]},
    "group": {
        "common": [_digest("kind1")],
        "rare": [_digest("kind201")],
        "missing": [_digest("kind0")],
    },
    "status": {status: [status] for status in ("open", "retrying", "resolved", "discarded", "all")},
}
COMBINATIONS: tuple[dict[str, str], ...] = (
    {"topic": "orders", "event_type": "order_paid", "partition": "1"},
    {"topic": "payments", "agent": "ship", "event_version": "2"},
    {"entity_id": "customer-hot", "event_type": "order_reopened"},
    {"event_type": "order_reopened", "since": "2026-02-01T00:00:00Z"},
    {"since": "2026-02-01T00:00:00Z", "until": "2026-02-02T00:00:00Z"},
)
FAILURE_COMBINATIONS: tuple[dict[str, str], ...] = (
    *COMBINATIONS,
    {"group": _digest("kind1"), "status": "all"},
    {"group": _digest("kind1"), "topic": "returns"},
    {"error_class": "app.errors.Error1", "error": "needle"},
    {"status": "resolved", "entity_id": "customer-hot"},
)
