"""The five counts of pledges that are always published apart: made = active + kept + lapsed + withdrawn."""

from typing import Any, Final

from sqlalchemy import Column, Integer

from domain.pledges import Pledge

STATES: Final = ("active", "kept", "lapsed", "withdrawn")


def count_columns() -> list[Column[int]]:
    """Return a column for each state a pledge can be in."""
    return [count_column(state) for state in STATES]


def count_column(name: str) -> Column[int]:
    """Return a column that counts from 0."""
    return Column(name, Integer, nullable=False, server_default="0")


def counts(row: Any) -> dict[str, int]:  # noqa: ANN401 - a row with the four columns
    """Return the five counts of a row."""
    found = {state: getattr(row, state) for state in STATES}
    return {"made": sum(found.values()), **found}


def steps(event: Pledge.Event) -> dict[str, int]:
    """Return what an event adds to the counts of pledges by state."""
    if type(event) is Pledge.Renewed:
        return {"active": 1, str(event.previous): -1}
    return _STEPS.get(event.TOPIC, {})


_STEPS: Final = {
    Pledge.Made.TOPIC: {"active": 1},
    **{
        ended.TOPIC: {"active": -1, ended.__name__.lower(): 1}
        for ended in (Pledge.Kept, Pledge.Lapsed, Pledge.Withdrawn)
    },
}


def state_after(event: Pledge.Event) -> str:
    """Return the state that the pledge is in after an event that changes it."""
    match event:
        case Pledge.Kept():
            return "kept"
        case Pledge.Lapsed():
            return "lapsed"
        case Pledge.Withdrawn():
            return "withdrawn"
        case _:
            return "active"
