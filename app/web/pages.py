"""A list as it goes over the wire: bounded, whatever the rows hold."""

from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from app.web.shapes import GroupBody, RowBody

PAGE_BYTES = 2 * 1024 * 1024
"""A page is not longer, but for the parts of its rows that are never left out."""
MESSAGE_CUT = 500
"""Characters of an error message in a row whose details are cut."""


def dump_page(bodies: Iterable[RowBody | GroupBody], *, most: int = PAGE_BYTES) -> bytes:
    """Return a JSON array; once it is long, the rows that follow are cut down, none is left out."""
    rows, size = [], 0
    for body in bodies:
        row = orjson.dumps(body)
        if size + len(row) > most:
            row = orjson.dumps(_cut(body))
        rows.append(row)
        size += len(row)
    return b"[" + b",".join(rows) + b"]"


def _cut(body: Mapping[str, Any]) -> dict[str, Any]:
    if "sample" in body:
        return {**body, "sample": _cut(body["sample"])}
    cut: dict[str, Any] = {**body, "key": None, "details_cut": True}
    cut.pop("key_encoding", None)
    cut.pop("payload_encoding", None)
    if cut["payload"] is not None:
        cut |= {"payload": None, "payload_cut": True}
    if "metadata" in cut:
        cut["metadata"] = cut["metadata"] | {"key": None, "headers": []}
        cut |= {"error_message": cut["error_message"][:MESSAGE_CUT], "error_backtrace": []}
    return cut
