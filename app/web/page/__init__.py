"""The OpenAPI document for people: plain HTML, which needs no script."""

from base64 import b64encode
from collections.abc import Iterable, Mapping
from hashlib import sha256
from html import escape
from pathlib import Path
from typing import Any

import orjson

STYLE = Path(__file__).with_name("style.css").read_text()
POLICY = (
    "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    f"style-src 'sha256-{b64encode(sha256(STYLE.encode()).digest()).decode()}'"
)
"""The page may load nothing, run nothing and send nothing; its own style is named by its digest."""


def render(document: Mapping[str, Any]) -> str:
    """Return an OpenAPI document as a page."""
    title = escape(document["info"]["title"])
    about = "".join(
        f"<p>{escape(part)}</p>" for part in document["info"]["description"].split("\n\n")
    )
    operations = "".join(
        _operation(method, path, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    )
    schemas = "".join(
        _folded(f"<code>{escape(name)}</code>", _json(schema), anchor=name)
        for name, schema in document["components"]["schemas"].items()
    )
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>'
        '<meta name="viewport" content="width=device-width">'
        f"<style>{STYLE}</style><h1>{title}</h1>{about}"
        '<p>For programs: <a href="/v1/openapi.json">openapi.json</a></p>'
        f"<h2>Requests</h2>{operations}<h2>Schemas</h2>{schemas}</html>"
    )


def _operation(method: str, path: str, operation: Mapping[str, Any]) -> str:
    what = f"<code>{method.upper()} {escape(path)}</code> {escape(operation['summary'])}"
    inside = _parameters(operation["parameters"])
    if "requestBody" in operation:
        inside += f"<h3>Body</h3>{_contents(operation['requestBody']['content'])}"
    for status, response in operation["responses"].items():
        inside += f"<h3>{status} {escape(response['description'])}</h3>"
        inside += _contents(response["content"])
    return _folded(what, inside, anchor=operation["operationId"])


def _parameters(parameters: Iterable[Mapping[str, Any]]) -> str:
    rows = "".join(
        f"<tr><td><code>{escape(parameter['name'])}</code><td>{escape(parameter['in'])}"
        f"<td>{escape(parameter.get('description', ''))}"
        for parameter in parameters
    )
    return f"<table>{rows}</table>" if rows else ""


def _contents(content: Mapping[str, Any]) -> str:
    return "".join(
        f"<p>{escape(media)}: {_kind(told['schema'])}</p>"
        + (_json(told["example"]) if "example" in told else "")
        for media, told in content.items()
    )


def _kind(schema: Mapping[str, Any]) -> str:
    if "$ref" in schema:
        name = escape(schema["$ref"].rpartition("/")[2])
        return f'<a href="#{name}">{name}</a>'
    if "items" in schema:
        return f"list of {_kind(schema['items'])}"
    if "anyOf" in schema:
        return " or ".join(map(_kind, schema["anyOf"]))
    return escape(schema.get("type", "anything"))


def _json(value: Any) -> str:
    return f"<pre>{escape(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode())}</pre>"


def _folded(summary: str, inside: str, *, anchor: str) -> str:
    return f'<details id="{escape(anchor)}"><summary>{summary}</summary>{inside}</details>'
