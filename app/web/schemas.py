"""JSON Schemas of the types in `shapes`."""

from collections.abc import Callable
from types import NoneType, UnionType
from typing import (
    Annotated,
    Any,
    Literal,
    NotRequired,
    Union,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

from app.web.shapes import RULES

Schema = dict[str, Any]

PLAIN: dict[Any, Schema] = {
    str: {"type": "string"},
    int: {"type": "integer"},
    float: {"type": "number"},
    bool: {"type": "boolean"},
    NoneType: {"type": "null"},
    Any: {},
}


class Schemas:
    """Makes schemas, and keeps those of the objects to be referred to by name."""

    def __init__(self) -> None:
        self.named: dict[str, Schema] = {}
        self._generic: dict[Any, Callable[..., Schema]] = {
            Annotated: self._annotated,
            NotRequired: self.of,
            Literal: lambda *values: {"enum": list(values)},
            Union: self._union,
            UnionType: self._union,
            list: lambda item: {"type": "array", "items": self.of(item)},
            dict: lambda _, value: {"type": "object", "additionalProperties": self.of(value)},
        }

    def of(self, kind: Any) -> Schema:
        """Return the schema of a type."""
        if is_typeddict(kind):
            return self._object(kind)
        generic = self._generic.get(get_origin(kind))
        return dict(PLAIN[kind]) if generic is None else generic(*get_args(kind))

    def _union(self, *kinds: Any) -> Schema:
        return {"anyOf": [self.of(kind) for kind in kinds]}

    def _annotated(self, kind: Any, *notes: str | Schema) -> Schema:
        schema = self.of(kind)
        for note in notes:
            schema |= {"description": note} if isinstance(note, str) else note
        return schema

    def _object(self, kind: Any) -> Schema:
        name = kind.__name__
        if name not in self.named:
            self.named[name] = {}  # It may contain itself.
            hints = get_type_hints(kind, include_extras=True)
            self.named[name] = {
                "type": "object",
                "description": kind.__doc__,
                "properties": {field: self.of(hint) for field, hint in hints.items()},
                "required": sorted(kind.__required_keys__),
                "additionalProperties": False,
                **RULES.get(kind, {}),
            }
        return {"$ref": f"#/components/schemas/{name}"}
