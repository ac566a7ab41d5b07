"""``groundswell commands``, ``events``: what can be asked for, and what can have happened."""

from typing import Any

import click

from api.bootstrap import SLICES
from api.cli import console
from domain.kernel import Unknown
from history.codec import schema
from history.envelope import Catalogue
from history.mapper import Mapper


@click.command()
@click.argument("name", required=False)
@console.as_json_option
def commands(*, name: str | None, as_json: bool) -> None:
    """List all commands, or show one with the JSON Schema of its data."""
    found = Catalogue(SLICES).commands
    if name is not None:
        if name not in found:
            raise Unknown("command.unknown", f"There is no command “{name}”; “groundswell commands” lists them.")
        _print_one("command", name, schema(found[name]), as_json=as_json)
        return
    schemas = {each: schema(command) for each, command in found.items()}
    _print_all("command", schemas, as_json=as_json)


@click.command()
@click.argument("topic", required=False)
@console.as_json_option
def events(*, topic: str | None, as_json: bool) -> None:
    """List all topics of events, or show one with the JSON Schema of its stored data."""
    mapper = Mapper(aggregate for one in SLICES for aggregate in one.aggregates)
    if topic is not None:
        if topic not in mapper.topics:
            raise Unknown("event.unknown", f"There is no topic “{topic}”; “groundswell events” lists them.")
        _print_one("topic", topic, mapper.schema(topic), as_json=as_json)
        return
    _print_all("topic", {each: mapper.schema(each) for each in mapper.topics}, as_json=as_json)


def _print_all(noun: str, schemas: dict[str, dict[str, Any]], *, as_json: bool) -> None:
    if as_json:
        console.print_json([{noun: name, "schema": found} for name, found in schemas.items()])
        return
    rows = [(name, _fields(found), _first_line(found)) for name, found in schemas.items()]
    described = any(what for _, _, what in rows)
    columns = (noun, "fields (? optional)", "does") if described else (noun, "fields (? optional)")
    console.print_table(columns, rows if described else [row[:2] for row in rows])


def _print_one(noun: str, name: str, found: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        console.print_json({noun: name, "schema": found})
        return
    console.say(f"{name}: {_first_line(found)}" if _first_line(found) else name)
    required = found.get("required", [])
    rows = [
        (field, _kind(each), "yes" if field in required else "", each.get("description", ""))
        for field, each in found.get("properties", {}).items()
    ]
    console.print_table(("field", "type", "required", ""), rows)
    console.say("")
    console.print_schema(found)


def _fields(found: dict[str, Any]) -> str:
    required = found.get("required", [])
    return ", ".join(name if name in required else f"{name}?" for name in found.get("properties", {}))


def _first_line(found: dict[str, Any]) -> str:
    return str(found.get("description", "")).partition("\n")[0]


def _kind(found: dict[str, Any]) -> str:
    """Return the type of a field in a few words."""
    if "anyOf" in found:
        return " or ".join(_kind(each) for each in found["anyOf"])
    if "enum" in found:
        return " | ".join(map(str, found["enum"]))
    if "$ref" in found:
        return str(found["$ref"]).rpartition("/")[2]
    if found.get("type") == "array":
        return f"list of {_kind(found['items'])}" if isinstance(found.get("items"), dict) else "list"
    return str(found.get("format") or found.get("type") or "any")


COMMANDS = {"commands": commands, "events": events}
