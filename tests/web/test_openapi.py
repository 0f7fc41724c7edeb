"""The OpenAPI document says what is served, all of it and nothing else."""

from typing import Any

import orjson
import pytest
from openapi_schema_validator import OAS31Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from app.main import app
from app.web.api import blueprint
from app.web.openapi import document

DOCUMENT: dict[str, Any] = orjson.loads(orjson.dumps(document(blueprint.routes)))


def contents() -> list[tuple[str, dict[str, Any]]]:
    """Return each body that is described, of requests and answers, and where."""
    found = []
    for path, methods in DOCUMENT["paths"].items():
        for method, operation in methods.items():
            bodies = {"request": operation["requestBody"]} if "requestBody" in operation else {}
            for status, body in (bodies | operation["responses"]).items():
                [content] = body["content"].values()
                found.append((f"{method} {path} {status}", content))
    return found


def validator(schema: dict[str, Any]) -> OAS31Validator:
    """Return what checks a body against a schema of the document."""
    return OAS31Validator(schema | {"components": DOCUMENT["components"]})


def test_it_is_a_document_of_openapi() -> None:
    """As its specification says."""
    assert list(OpenAPIV31SpecValidator(DOCUMENT).iter_errors()) == []


async def test_it_describes_what_is_served() -> None:
    """Every method of every route, but Faust's index, which says OK; HEAD goes with GET."""
    routes = (await app.web.wsgi()).router.routes()
    served = {(route.resource.canonical, route.method) for route in routes}
    described = {
        (path, method.upper())
        for path, methods in DOCUMENT["paths"].items()
        for method in (*methods, *(["head"] if "get" in methods else []))
    }
    assert {(path, method) for path, method in served if path != "/"} == described


@pytest.mark.parametrize(
    ("where", "content"), [pytest.param(*content, id=content[0]) for content in contents()]
)
def test_each_example_is_one(where: str, content: dict[str, Any]) -> None:
    """Of what succeeds there is one; it is as its schema says."""
    if "example" in content:
        validator(content["schema"]).validate(content["example"])
    else:
        is_error = content["schema"] == {"$ref": "#/components/schemas/ErrorBody"}
        assert is_error or where == "get /v1/openapi.json 200"


def test_links_lead_to_operations_that_there_are() -> None:
    """With the parameters that these take."""
    operations = {
        operation["operationId"]: operation
        for methods in DOCUMENT["paths"].values()
        for operation in methods.values()
    }
    links = [
        link
        for operation in operations.values()
        for response in operation["responses"].values()
        for link in response.get("links", {}).values()
    ]
    assert links
    for link in links:
        parameters = {p["name"] for p in operations[link["operationId"]]["parameters"]}
        assert parameters >= set(link["parameters"])
