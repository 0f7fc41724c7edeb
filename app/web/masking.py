"""Hides what must not be shown: of a payload, and where an error repeats it."""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any, NoReturn, TypeAlias

import orjson

HIDDEN = "***"
WORD = 4
"""Characters below which a secret is only hidden as a word: `1` would be a part of every number."""
MAX_SECRETS = 1_000
"""Secrets of one payload above which a text is not searched for them, but hidden."""
CUT = 1_000
"""Characters from which on a text may have been cut within a secret when it was stored."""

CREDENTIALS = re.compile(r"""(?i)(?<=://)[^\s'":]*:[^\s'"]*(?=@)|(?<=\bbearer )[\w~.+/=-]+""")
PASSWORDS = ("password", "passwd", "pwd")
"""What is never a field to be shown in an error."""

Path: TypeAlias = tuple[str, ...]


class Mask:
    """Hides fields by name (`email`) or by path (`items.*.email`), in any case of letters.

    A name is hidden wherever it is, a path from the root on; `*` is any one name or element, and
    the elements of an array are also looked at as if they stood in its place. True where any field
    is to be hidden; if none is, payloads are returned as they are.
    """

    def __init__(self, fields: Iterable[str] = ()) -> None:
        paths = frozenset(tuple(field.casefold().split(".")) for field in fields)
        self._names = frozenset(path[0] for path in paths if len(path) == 1)
        self._paths = frozenset(path for path in paths if len(path) > 1)
        spelt = {path[-1] for path in paths} - {"*"} | set(PASSWORDS)
        self._spelt = _spelt(spelt)
        # Credentials in a URL end with an @, and one character is found sooner than ://.
        self._hints = ("@", "bearer ", *spelt)
        self._read = lru_cache(maxsize=1)(self._masked)

    def __bool__(self) -> bool:
        return bool(self._names or self._paths)

    def payload(self, text: str) -> str:
        """Return JSON with the masked fields hidden, all else with its order and its numbers kept.

        What is too deep or no JSON is hidden as a whole.
        """
        return self._read(text)[0] if self else text

    def text(self, text: str, *, secrets_of: str | None = None) -> str:
        """Return a text without what the payload that it is about says in masked fields.

        Also hidden is what stands behind a masked name and a `=` or `:`; and always the user and
        the password of a URL, and a token. Cut a text afterwards: half a secret is not found.
        """
        if secrets_of is not None and self:
            secrets = self._read(secrets_of)[1]
            if secrets is None or len(secrets) > MAX_SECRETS:
                return HIDDEN
            text = _without(text, secrets)
        # The patterns would take far longer to find out that there is nothing, as in most texts.
        if self.is_clean(text):
            return text
        return self._spelt.sub(rf"\1{HIDDEN}", CREDENTIALS.sub(HIDDEN, text))

    def is_clean(self, text: str) -> bool:
        """Return whether there is nothing to be hidden in a text, whatever payload it is about.

        Also of texts in JSON, as long as no field is to be hidden.
        """
        folded = text.casefold()
        for hint in self._hints:  # noqa: SIM110 - any() takes three times as long
            if hint in folded:
                return False
        return True

    def error(self, text: str, value: bytes | None) -> str:
        """Return an error's text without what the event's value says in masked fields."""
        secrets_of = None if value is None else value.decode(errors="replace")
        return self.text(text, secrets_of=secrets_of)

    def pairs(self, pairs: Iterable[Sequence[Any]]) -> list[list[Any]]:
        """Return headers or parameters with the values of masked names hidden."""
        return [
            [name, HIDDEN if name.casefold() in self._names else value] for name, value in pairs
        ]

    def _masked(self, text: str) -> tuple[str, tuple[str, ...] | None]:
        """Return the masked JSON and what is hidden, longest first; None: nobody can say."""
        secrets: set[str] = set()
        try:
            value = json.loads(
                text,
                parse_int=_Literal,
                parse_float=_Literal,
                parse_constant=_refuse,
            )
            masked = _json(self._hide(value, self._paths, secrets))
        # Half a surrogate pair and too deep a document are TypeErrors to orjson.
        except (ValueError, TypeError, RecursionError):
            return f'"{HIDDEN}"', None
        return masked, tuple(sorted(secrets, key=len, reverse=True))

    def _hide(self, value: Any, paths: frozenset[Path], secrets: set[str]) -> Any:
        if isinstance(value, dict):
            return {
                name: self._member(one, name.casefold(), paths, secrets)
                for name, one in value.items()
            }
        if isinstance(value, list):
            return [self._element(one, paths, secrets) for one in value]
        return value

    def _member(self, value: Any, name: str, paths: frozenset[Path], secrets: set[str]) -> Any:
        inner = _below(paths, name)
        if name not in self._names and () not in inner:
            return self._hide(value, inner, secrets)
        secrets.update(_spellings(value))
        return HIDDEN

    def _element(self, value: Any, paths: frozenset[Path], secrets: set[str]) -> Any:
        inner = _below(paths, "*")
        if () not in inner:
            return self._hide(value, paths | inner, secrets)
        secrets.update(_spellings(value))
        return HIDDEN


class _Literal(str):
    """A number as it is written; what is read as a float or an int may be written otherwise."""

    __slots__ = ()


def _json(value: Any) -> str:
    return orjson.dumps(value, _fragment, orjson.OPT_PASSTHROUGH_SUBCLASS).decode()


def _fragment(literal: _Literal) -> orjson.Fragment:
    return orjson.Fragment(literal.encode())


def _below(paths: frozenset[Path], name: str) -> frozenset[Path]:
    return frozenset(path[1:] for path in paths if path[0] in {name, "*"})


def _spellings(value: Any) -> Iterator[str]:
    """Yield each text in a value as an error may repeat it: as it is, in Python, in JSON."""
    match value:
        case dict():
            for name, one in value.items():
                yield from _spellings(name)
                yield from _spellings(one)
        case list():
            for one in value:
                yield from _spellings(one)
        case _Literal():
            yield from (str(value), str(float(value)))
        case str() if value:
            # Stored texts hold neither NUL nor half of a surrogate pair.
            stored = value.replace("\x00", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace")
            yield from (value, stored.decode(), repr(value)[1:-1])
            yield from (json.dumps(value, ensure_ascii=plain)[1:-1] for plain in (True, False))


def _without(text: str, secrets: Sequence[str]) -> str:
    for secret in secrets:
        if len(secret) >= WORD:
            text = text.replace(secret, HIDDEN)
    words = [re.escape(secret) for secret in secrets if len(secret) < WORD]
    if words:
        text = re.sub(rf"(?<!\w)(?:{'|'.join(words)})(?!\w)", HIDDEN, text)
    return _without_half(text, secrets) if len(text) >= CUT else text


def _without_half(text: str, secrets: Sequence[str]) -> str:
    for secret in secrets:
        for size in range(min(len(secret), len(text)), WORD - 1, -1):
            if text.endswith(secret[:size]):
                return text[:-size] + HIDDEN
    return text


def _spelt(names: Iterable[str]) -> re.Pattern[str]:
    spelt = "|".join(map(re.escape, sorted(names)))
    value = r""""(?:[^"\\]|\\.)*"?|'(?:[^'\\]|\\.)*'?|[^\s,;&)}\]]+"""
    return re.compile(rf"""(?i)(\b(?:{spelt})\b\\?["']?\s*[:=]\s*)(?:{value})""")


def _refuse(constant: str) -> NoReturn:
    raise ValueError(constant)
