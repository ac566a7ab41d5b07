"""The OpenAPI document: every route explains itself, with examples that are true to their own schemas."""

import json
import re
from collections.abc import Callable, Iterator
from datetime import date, datetime
from typing import Any
from uuid import UUID

import pytest

from tests.api.conftest import Api

Json = dict[str, Any]
CHECKED = {
    "$ref", "additionalProperties", "allOf", "anyOf", "const", "default", "description", "enum", "example", "examples",
    "exclusiveMinimum", "format", "items", "maxLength", "maximum", "minLength", "minimum", "pattern", "properties",
    "required", "title", "type",
}  # fmt: skip
TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
}
FORMATS: dict[str, Callable[[str], object]] = {
    "uuid": UUID,
    "date": date.fromisoformat,
    "date-time": datetime.fromisoformat,
}


def faults(value: object, schema: Json, document: Json, where: str = "") -> Iterator[str]:
    """What is wrong with a value by its schema; a keyword that is not checked here is a fault too."""
    unknown = set(schema) - CHECKED
    if unknown:
        yield f"{where}: the schema has {sorted(unknown)}"
    if "$ref" in schema:
        yield from faults(value, resolved(schema["$ref"], document), document, where)
    for one in schema.get("allOf", ()):
        yield from faults(value, one, document, where)
    if "anyOf" in schema and all(list(faults(value, one, document, where)) for one in schema["anyOf"]):
        yield f"{where}: {value!r} is none of {schema['anyOf']}"
    if not is_of_type(value, schema.get("type")):
        yield f"{where}: {value!r} is not {schema['type']}"
        return
    if value not in schema.get("enum", [value]) or value != schema.get("const", value):
        yield f"{where}: {value!r} is not allowed"
    yield from faults_inside(value, schema, document, where)


def faults_inside(value: object, schema: Json, document: Json, where: str) -> Iterator[str]:
    match value:
        case dict():
            yield from faults_of_object(value, schema, document, where)
        case list():
            for number, each in enumerate(value):
                yield from faults(each, schema.get("items", {}), document, f"{where}[{number}]")
        case str():
            yield from faults_of_text(value, schema, where)
        case int() | float() if not schema.get("minimum", value) <= value <= schema.get("maximum", value):
            yield f"{where}: {value!r} is out of range"


def is_of_type(value: object, wanted: str | list[str] | None) -> bool:
    if wanted is None:
        return True
    kinds = tuple(kind for name in ([wanted] if isinstance(wanted, str) else wanted) for kind in TYPES[name])
    return isinstance(value, kinds) and (bool in kinds or not isinstance(value, bool))


def faults_of_object(value: Json, schema: Json, document: Json, where: str) -> Iterator[str]:
    properties = schema.get("properties", {})
    rest = schema.get("additionalProperties", not properties)
    yield from (f"{where}: {name} is missing" for name in schema.get("required", ()) if name not in value)
    for name, each in value.items():
        inner = properties.get(name, rest if isinstance(rest, dict) else None)
        if inner is not None:
            yield from faults(each, inner, document, f"{where}.{name}")
        elif not rest:
            yield f"{where}: {name} is not in the schema"


def faults_of_text(value: str, schema: Json, where: str) -> Iterator[str]:
    if schema.get("format") in FORMATS:
        try:
            FORMATS[schema["format"]](value)
        except ValueError:
            yield f"{where}: {value!r} is no {schema['format']}"
    if not schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", len(value)):
        yield f"{where}: {value!r} has {len(value)} characters"
    if "pattern" in schema and not re.search(schema["pattern"], value):
        yield f"{where}: {value!r} does not match"


def resolved(reference: str, document: Json) -> Json:
    found: Any = document
    for part in reference.removeprefix("#/").split("/"):
        found = found[part]
    schema: Json = found
    return schema


def examples_of(content: Json) -> list[Any]:
    named = [one["value"] for one in content.get("examples", {}).values()]
    return named or ([content["example"]] if "example" in content else [])


def faults_of(operation: Json, document: Json) -> Iterator[str]:
    yield from (f"no {name}" for name in ("summary", "description") if not operation.get(name))
    for parameter in operation.get("parameters", ()):
        values = parameter["schema"].get("examples", [])
        if not values:
            yield f"no example of {parameter['name']}"
        for value in values:
            yield from faults(value, parameter["schema"], document, parameter["name"])
    for media, content in operation.get("requestBody", {}).get("content", {}).items():
        yield from faults_of_content(f"body {media}", content, document)
    for status, response in operation["responses"].items():
        if not response.get("content"):
            yield f"{status}: no content"
        for media, content in response.get("content", {}).items():
            yield from faults_of_content(f"{status} {media}", content, document)


def faults_of_content(where: str, content: Json, document: Json) -> Iterator[str]:
    if not content.get("schema"):
        yield f"{where}: no schema"
        return
    given = examples_of(content)
    if not given:
        yield f"{where}: no example"
    for value in given:
        yield from faults(value, content["schema"], document, where)


def test_every_route_explains_itself_with_true_examples(sqlite_api: Api) -> None:
    document = sqlite_api.client.get("/openapi.json").json()
    found = [
        f"{method} {path}: {fault}"
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
        for fault in faults_of(operation, document)
    ]
    assert found == []


def test_every_route_documents_problems(sqlite_api: Api) -> None:
    document = sqlite_api.client.get("/openapi.json").json()
    for operations in document["paths"].values():
        for operation in operations.values():
            assert "application/problem+json" in operation["responses"]["422"]["content"]
            assert "application/problem+json" in operation["responses"]["503"]["content"]
            assert "request.nul" in operation["responses"]["400"]["content"]["application/problem+json"]["examples"]
            for status, response in operation["responses"].items():
                for problem in examples_of(response["content"].get("application/problem+json", {})):
                    assert str(problem["status"]) == status
    staff = document["paths"]["/api/v1/supporters"]["get"]
    assert staff["security"] == [{"bearer": []}]
    assert {"401", "403"} <= staff["responses"].keys()


@pytest.mark.parametrize(
    ("value", "schema"),
    [
        ("x", {"type": "integer"}),
        (True, {"type": "integer"}),
        ({}, {"type": "object", "properties": {"a": {}}, "required": ["a"]}),
        ({"b": 1}, {"type": "object", "properties": {"a": {}}}),
        ({"a": "x"}, {"type": "object", "additionalProperties": {"type": "integer"}}),
        ([1, "x"], {"type": "array", "items": {"type": "integer"}}),
        ("2026-02-30", {"type": "string", "format": "date"}),
        ("x", {"enum": ["a"]}),
        (None, {"anyOf": [{"type": "string"}, {"type": "integer"}]}),
        (5, {"type": "integer", "maximum": 4}),
        (1, {"oneOf": []}),
        (1, {"$ref": "#/parts/Text"}),
    ],
)
def test_the_check_itself_finds_faults(value: object, schema: Json) -> None:
    assert list(faults(value, schema, {"parts": {"Text": {"type": "string"}}}))


def test_the_document_is_json(sqlite_api: Api) -> None:
    assert json.loads(sqlite_api.client.get("/openapi.json").content)["info"]["title"] == "Groundswell"
