"""What a public number rests on: the query that gives it again, its rules, its point of history, what was left out."""

from datetime import datetime
from typing import Any, Final
from urllib.parse import urlencode

from pydantic import BaseModel


class Excluded(BaseModel):
    """Something that is not counted; ``what`` is a stable name, ``says`` a sentence."""

    what: str
    says: str


class Evidence(BaseModel):
    """Where a number comes from.

    ``query`` gives the same answer again however history goes on (with names as they may be shown then); ``rules`` is
    the address of the scoring rules, null where none were needed.
    """

    query: str
    rules: str | None
    rules_version: int | None
    as_of: int
    occurred_by: datetime | None
    excluded: list[Excluded]


EVIDENCE: Final[dict[str, Any]] = {
    "query": "/api/v1/leaderboards/movement?window=month&on=2026-03-31&as_of=812",
    "rules": "/api/v1/scoring/rules",
    "rules_version": 1,
    "as_of": 812,
    "occurred_by": None,
    "excluded": [
        {"what": "no_points", "says": "Whoever has no points, or fewer than none, does not stand here."},
        {"what": "later", "says": "What was recorded after position 812."},
    ],
}


def evidence(
    path: str,
    as_of: int,
    occurred_by: datetime | None,
    excluded: dict[str, str],
    *,
    rules_version: int | None = None,
    **query: str | None,
) -> Evidence:
    """Return the evidence of an answer at a path of the API; ``excluded`` by its stable names."""
    point = {"as_of": str(as_of), "occurred_by": occurred_by.isoformat() if occurred_by else None}
    asked = urlencode({name: value for name, value in (query | point).items() if value is not None})
    not_counted = excluded | {"later": f"What was recorded after position {as_of:,}."}
    if occurred_by is not None:
        not_counted["happened_later"] = f"What happened after {occurred_by.isoformat()}."
    return Evidence(
        query=f"/api/v1{path}?{asked}",
        rules=None if rules_version is None else "/api/v1/scoring/rules",
        rules_version=rules_version,
        as_of=as_of,
        occurred_by=occurred_by,
        excluded=[Excluded(what=what, says=says) for what, says in not_counted.items()],
    )
