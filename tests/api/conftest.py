"""A running application on a real store, and callers of every role."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from httpx2 import Response

from api.accounts import Role
from api.app import create_app
from api.bootstrap import Groundswell, open_groundswell
from api.settings import Settings

Body = dict[str, Any]


class Api:
    """The application as its clients see it; ``run`` gives commands as a campaign manager."""

    def __init__(self, groundswell: Groundswell) -> None:
        self.groundswell = groundswell
        self.client = TestClient(create_app(groundswell, work=False), raise_server_exceptions=True)
        self._tokens: dict[Role, str] = {}

    def token(self, role: Role) -> dict[str, str]:
        """The header that says who asks."""
        if role not in self._tokens:
            self._tokens[role] = self.groundswell.accounts.create_token(f"a {role}", role)[1]
        return {"Authorization": f"Bearer {self._tokens[role]}"}

    def run(self, command: str, /, *, at: str | None = None, reason: str | None = None, **data: object) -> Body:
        """Give a command that must be accepted; the read models then show it."""
        answer = self.command(command, data, at=at, reason=reason)
        assert answer.status_code == 201, answer.text
        self.groundswell.catch_up()
        body: Body = answer.json()
        return body

    def run_many(self, envelopes: list[Body]) -> None:
        """Give many commands that must all be accepted; the read models then show them."""
        body = b"".join(json.dumps(one).encode() + b"\n" for one in envelopes)
        headers = self.token(Role.MANAGER) | {"Content-Type": "application/x-ndjson"}
        answer = self.client.post("/api/v1/commands", content=body, headers=headers)
        assert [json.loads(line)["status"] for line in answer.text.splitlines()] == ["accepted"] * len(envelopes)
        self.groundswell.catch_up()

    def command(
        self,
        command: str,
        data: Body,
        *,
        role: Role = Role.MANAGER,
        headers: dict[str, str] | None = None,
        **envelope: object,
    ) -> Response:
        """Give a command; return the response."""
        given = {"command": command, "data": data} | {k: v for k, v in envelope.items() if v is not None}
        if "id" not in given and "Idempotency-Key" not in (headers or {}):
            headers = {"Idempotency-Key": f"test-{next(self._numbers)}"} | (headers or {})
        return self.client.post("/api/v1/commands", json=given, headers=self.token(role) | (headers or {}))

    _numbers = iter(range(1_000_000))

    def get(self, path: str, query: Body | None = None, *, role: Role | None = None, status: int = 200) -> Body:
        """Read; return the body of an answer that must have the status."""
        answer = self.client.get(f"/api/v1{path}", params=query, headers=self.token(role) if role else {})
        assert answer.status_code == status, answer.text
        body: Body = answer.json()
        return body

    def pages(self, path: str, key: str, *, role: Role | None = None, **query: str | int) -> list[Any]:
        """Read a list page by page; return all its items."""
        items: list[Any] = []
        cursor: dict[str, str] = {}
        while True:
            page = self.get(path, {**query, **cursor}, role=role)
            items += page[key]
            if page["next"] is None:
                return items
            cursor = {"cursor": page["next"]}

    def problem(self, path: str, *, role: Role | None = None, status: int, **query: object) -> str:
        """Read what must be refused; return the code."""
        body = self.get(path, query, role=role, status=status)
        assert body["status"] == status
        code: str = body["code"]
        return code


@pytest.fixture
def new_api(tmp_path: Path) -> Iterator[Callable[[str], Api]]:
    """A function that opens the application on a database."""
    opened: list[Groundswell] = []

    def make(url: str) -> Api:
        opened.append(open_groundswell(Settings(data_dir=tmp_path, database_url=url)))
        return Api(opened[-1])

    yield make
    for one in opened:
        one.close()


@pytest.fixture
def api(new_api: Callable[[str], Api], database_url: str) -> Api:
    """The application on an empty database; a test that asks for it runs once on each kind."""
    return new_api(database_url)


@pytest.fixture
def sqlite_api(new_api: Callable[[str], Api], tmp_path: Path) -> Api:
    """The application on an empty SQLite file, for what does not depend on the database."""
    return new_api(f"sqlite:///{tmp_path / 'groundswell.sqlite3'}")
