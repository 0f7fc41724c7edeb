"""Messages that have broken consumers: what a producer may send, whoever wrote it.

Each value differs from all others, so that none is a duplicate; null values are events of their own
anyway. The largest value has 20 MB: a topic that is to carry it needs `max.message.bytes`.
"""

import gzip
from dataclasses import dataclass

from app.checkpoint.events import Headers

MEGABYTE = 1_000_000

PAYLOADS: dict[str, bytes] = {
    # JSON, and accepted as such.
    "an object": b'{"id": "order-1", "type": "order_placed"}',
    "key order, white space and 1.0": b' {"b" :1.0,\t"a": 1E2, "c":-0.0 }\r\n',
    "a string": b'"text"',
    "an array": b"[1, [2], {}]",
    "null": b"null",
    "true": b"true",
    "a number": b"-12.5e-3",
    "duplicate keys": b'{"a": 1, "a": 2}',
    "an escaped NUL in a value": rb'{"a": "x\u0000y"}',
    "an escaped NUL in a key": rb'{"a\u0000": 1}',
    "an integer above 64 bits": b'{"a": 12345678901234567890123}',
    "nested 500 deep": b'{"a":' * 500 + b"1" + b"}" * 500,
    "arrays nested 1,024 deep": b"[" * 1024 + b"]" * 1024,
    "emoji": '{"\N{WAVING HAND SIGN}": "\N{FAMILY}\N{COMBINING ACUTE ACCENT}"}'.encode(),
    "right to left": '{"name": "\N{RIGHT-TO-LEFT OVERRIDE}\N{HEBREW LETTER ALEF}"}'.encode(),
    "line separators and noncharacters": '"\u2028\u2029\x7f\ufffe\uffff\U0010ffff"'.encode(),
    "quotes and markup": rb"""{"a": "'\"\\'; DROP TABLE x; -- %s ? :a $1 </script>"}""",
    "a key of 1 MB": b'{"' + b"k" * MEGABYTE + b'": 1}',
    "10 MB": b'{"a": "' + b"x" * 10 * MEGABYTE + b'"}',
    "20 MB": b'{"a": "' + b"\\\\" * 10 * MEGABYTE + b'"}',
    # Taken for JSON by some parsers and not by others.
    "NaN": b'{"a": NaN}',
    "Infinity": b'{"a": Infinity}',
    "-Infinity": b"[-Infinity]",
    "1e400": b'{"a": 1e400}',
    "half a surrogate pair": rb'{"a": "\ud800"}',
    "a surrogate pair the wrong way round": rb'{"a": "\udc00\ud800"}',
    "an integer of 4,000 digits": b"1" * 4000,
    "an integer of 5,000 digits": b"1" * 5000,
    "nested 2,000 deep": b'{"a":' * 2000 + b"1" + b"}" * 2000,
    "arrays nested 100,000 deep": b"[" * 100_000 + b"]" * 100_000,
    "a byte order mark": b'\xef\xbb\xbf{"a": 1}',
    "UTF-16": '{"a": 1}'.encode("utf-16"),
    "a comment": b'{"a": 1} // one',
    "single quotes": b"{'a': 1}",
    "a trailing comma": b'{"a": 1,}',
    "trailing garbage": b'{"a": 1}}',
    "two documents": b'{"a": 1}\n{"a": 2}',
    # No JSON, and often no text.
    "nothing": b"",
    "white space only": b" \t\r\n",
    "a raw NUL": b'{"a": "x\x00y"}',
    "a raw control character": b'{"a": "x\x1by"}',
    "Latin-1": b'{"name": "caf\xe9"}',
    "overlong UTF-8": b'{"a": "\xc0\xaf"}',
    "truncated UTF-8": b'{"a": "\xf0\x9f\x91',
    "UTF-8 of half a surrogate pair": b'{"a": "\xed\xa0\x80"}',
    "Avro with its schema's id": b"\x00\x00\x00\x00\x2a\x0eorder-1\x02",
    "gzip": gzip.compress(b'{"a": 1}', mtime=0),
    "protobuf": b"\x0a\x07order-1\x10\x96\x01",
    "every byte": bytes(range(256)),
}
"""Values by what is odd about them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What a producer sends."""

    key: bytes | None = b"key"
    value: bytes | None
    headers: Headers = ()


MESSAGES: dict[str, Message] = {
    **{name: Message(value=value) for name, value in PAYLOADS.items()},
    "no key": Message(key=None, value=b'"no key"'),
    "no value": Message(value=None),
    "neither key nor value": Message(key=None, value=None),
    "an empty key": Message(key=b"", value=b'"an empty key"'),
    "a key that is not text": Message(key=b"\x00\xff\xfe'\\", value=b'"binary key"'),
    "a key of 100 kB": Message(key=b"k" * 100_000, value=b'"long key"'),
    "1,000 headers": Message(
        value=b'"1,000 headers"', headers=tuple((f"h{n}", b"%d" % n) for n in range(1000))
    ),
    "one header name twice": Message(
        value=b'"one name twice"', headers=(("a", b"1"), ("b", b"2"), ("a", b"3"))
    ),
    "headers that are not text": Message(
        value=b'"binary headers"', headers=(("trace", b"\x00\xff\xfe"), ("nul", b"x\x00y"))
    ),
    "headers without value or name": Message(
        value=b'"odd headers"', headers=(("none", None), ("empty", b""), ("", b"no name"))
    ),
    "header names beyond ASCII": Message(
        value=b'"named headers"', headers=(("caf\xe9\N{WAVING HAND SIGN}", b"1"), ("x\x00y", b"2"))
    ),
}
"""All payloads, and what else may be odd about a message."""
