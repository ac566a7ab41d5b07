"""Erasing a person with something in every personal field: nothing of it is left, and nothing else has changed.

Searched are the bytes of every file: of the data directory, and on PostgreSQL of the server's whole data directory.
What makes sealed data readable (the wrapped key) and findable (the index entry) is searched for in all files on SQLite,
but on PostgreSQL in all rows only: its own log keeps them, until it is recycled or the master key is replaced.
"""

import json
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient

from api.accounts import Role
from api.app import create_app
from api.bootstrap import PAST, PROJECTIONS, Groundswell, kinds, open_groundswell
from api.settings import Settings
from domain.kernel import ERASED, identify, now
from history import masterkey
from history.checkpoints import open_receipt
from history.tables import events, person_index, person_keys
from history.tree import extends
from history.verify import verify_store
from notifications.outbox import said_of
from notifications.tables import mail_messages, mail_tokens, outbox
from projections.actions import Actions
from projections.boards import Board, Scope
from projections.campaigns import Campaigns
from projections.leaderboards import Leaderboards
from projections.pledges import Pledges
from projections.rebuild import compare, rebuild
from projections.supporters import Supporters
from projections.timeline import Timeline
from projections.views import AsOf
from tests.support.anna import ANNA, FIELDS, TITLE, Words, mail, tell
from tests.support.cli import Cli
from tests.support.movement import contents
from tests.support.postgres import PostgresServer
from tests.support.remains import in_files, in_tables
from tests.support.sink import Sink, running_sink

PERSONAL: Final = (Supporters, Pledges, Actions)
"""The read models that hold what people gave."""


@pytest.fixture
def words() -> Words:
    return {field: f"{field}{uuid.uuid4().hex}" for field in FIELDS}


@pytest.fixture
def groundswell(database_url: str, tmp_path: Path) -> Iterator[Groundswell]:
    with open_groundswell(Settings(data_dir=tmp_path / "var", database_url=database_url)) as opened:
        yield opened


@pytest.fixture
def sink() -> Iterator[Sink]:
    with running_sink() as running:
        yield running


@pytest.fixture
def folders(request: pytest.FixtureRequest, database_url: str, tmp_path: Path) -> list[Path]:
    """Where the store's files lie."""
    if database_url.startswith("sqlite"):
        return [tmp_path]
    server: PostgresServer = request.getfixturevalue("postgres_server")
    return [tmp_path, server.directory / "data"]


def secrets(groundswell: Groundswell) -> dict[str, bytes]:
    """What makes the sealed readable and findable, as it is stored, and the sealed mail."""
    with groundswell.engine.database.read() as connection:
        key = connection.scalar(sa.select(person_keys.c.wrapped_key).where(person_keys.c.person_id == ANNA))
        blind = connection.scalar(sa.select(person_index.c.blind).where(person_index.c.person_id == ANNA))
        (row,) = connection.execute(sa.select(outbox).where(outbox.c.state == "deferred")).all()
        mail = connection.scalar(sa.select(mail_messages.c.sealed).where(mail_messages.c.mail == row.id))
        link = connection.scalar(sa.select(mail_tokens.c.hash).order_by(mail_tokens.c.expires_at))
        assert "is away" in (said_of(connection, groundswell.engine.persons, row) or "")
    assert key
    assert blind
    assert link
    assert mail
    sealed = {"mail": mail.encode()[:200], "said": row.last_error.encode()}
    return {"key": bytes(key), "index": bytes(blind), "link": bytes(link), **sealed}


def write_out(groundswell: Groundswell) -> None:
    """Have PostgreSQL write to its files what it holds in memory."""
    if not groundswell.engine.database.is_sqlite:
        engine = groundswell.engine.database.engine
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("CHECKPOINT")


def opened_texts(groundswell: Groundswell) -> str:
    """Everything personal that can be read."""
    return repr([vars(fact.event) for fact in groundswell.engine.log.follow(opened=True)])


def remembered(groundswell: Groundswell) -> str:
    stage = groundswell.engine.writer._aggregates  # noqa: SLF001 - what this process holds in memory
    return repr([vars(aggregate) for aggregate in stage._cache.values() if aggregate])  # noqa: SLF001


def totals(groundswell: Groundswell) -> Any:  # noqa: ANN401 - any numbers
    """The numbers that are published."""
    groundswell.catch_up()
    with groundswell.reader.open() as views:
        board = views[Leaderboards].top(views.connection, Board(Scope.MOVEMENT))
        assert ANNA in {standing.id for standing in board}
        campaigns = contents(views.connection, views[Campaigns])
        days = contents(views.connection, views[Timeline])["timeline_days"]
    counted = [{name: count for name, count in day.items() if name not in {"day", "supporters_erased"}} for day in days]
    return campaigns, board, [day for day in counted if any(day.values())]


# --- the ways to erase ---


def by_command_line(_groundswell: Groundswell, cli: Cli, words: Words) -> None:
    ran = cli("erase", f"{words['email']}@EXAMPLE.org", "--reason", "asked", "--yes", "--json")
    assert ran.json["purged_at"], ran.err


def by_import(_groundswell: Groundswell, cli: Cli, _words: Words) -> None:
    line = {"id": "erase", "command": "supporters.erase", "reason": "asked", "data": {"supporter": "anna"}}
    assert cli("import", "-", stdin=json.dumps(line).encode()).json["accepted"] == 1


def by_http(groundswell: Groundswell, _cli: Cli, _words: Words) -> None:
    _, secret = groundswell.accounts.create_token("manager", Role.MANAGER)
    caller = {"Authorization": f"Bearer {secret}"}
    envelope = {"id": "erase", "command": "supporters.erase", "reason": "asked", "data": {"supporter": "anna"}}
    client = TestClient(create_app(groundswell, work=False))
    path = "/api/v1/supporters/anna/erasure"
    assert client.get(path, headers=caller).json()["code"] == "supporter.not_erased"
    assert client.post("/api/v1/commands", json=envelope, headers=caller).status_code == 201
    assert client.get(path, headers=caller).json()["purged_at"] is None
    groundswell.catch_up()  # what the worker does all the time
    answer = client.get(path, headers=caller)
    found = answer.json()
    assert answer.status_code == 200
    assert found["purged_at"]
    assert found["supporter"] == str(ANNA)
    assert client.get(found["receipt"]).text.startswith("c2sp.org/tlog-proof@v1\n")
    assert client.get(path).status_code == 401
    assert client.get("/api/v1/supporters/nobody/erasure", headers=caller).json()["code"] == "supporter.unknown"


WAYS: Final = {"command line": by_command_line, "import": by_import, "http": by_http}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_nothing_is_left_of_an_erased_person_and_everything_else_is_as_it_was(
    way: Callable[[Groundswell, Cli, Words], None],
    groundswell: Groundswell,
    database_url: str,
    tmp_path: Path,
    folders: list[Path],
    words: Words,
    sink: Sink,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tell(groundswell, words)
    checkpoints = [groundswell.checkpoints.make()]
    mail(groundswell, tmp_path / "var", words, sink)
    checkpoints.append(groundswell.checkpoints.make())
    sought = {field: word.encode() for field, word in words.items()} | {"title": TITLE.encode()}
    is_sqlite = groundswell.engine.database.is_sqlite
    stored, counted = secrets(groundswell), totals(groundswell)
    states = keep_states_of_the_past(groundswell, monkeypatch)

    # What is searched for can be found before, and what is not personal is found before and after.
    assert all(word in opened_texts(groundswell) for word in words.values())
    assert all(words[field] in remembered(groundswell) for field in ("email", "amended", "renewed"))
    write_out(groundswell)
    here = in_files(folders, sought)  # the mail is the only place where anything stands in the clear
    assert here.pop("title")
    assert here.keys() == {"email", "amended"}
    assert {Path(name).suffix for names in here.values() for name in names} == {".eml"}
    assert in_tables(groundswell.engine.database, sought).keys() == {"title"}
    assert in_tables(groundswell.engine.database, stored).keys() == stored.keys()
    assert not is_sqlite or in_files(folders, stored).keys() == stored.keys()

    way(groundswell, Cli(tmp_path, GROUNDSWELL_DATABASE_URL=database_url), words)

    groundswell.engine.writer.notice()
    assert not any(word in opened_texts(groundswell) + remembered(groundswell) for word in words.values())
    write_out(groundswell)
    assert in_files(folders, sought).keys() == {"title"}
    assert in_tables(groundswell.engine.database, stored) == {}
    assert not is_sqlite or in_files(folders, stored) == {}
    assert totals(groundswell) == counted
    assert all(path.exists() for path in states)
    assert nobody_opens_the_past(groundswell)
    checkpoints.append(groundswell.checkpoints.make())
    all_proofs_hold(groundswell, checkpoints)
    everything_is_computed_again(groundswell)


def keep_states_of_the_past(groundswell: Groundswell, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Have states of the read models that hold what is Anna's kept in files; return them."""
    monkeypatch.setattr("projections.retained.CLOSEST", 4)
    with groundswell.reader.open(PERSONAL, AsOf(groundswell.engine.log.head())):
        pass
    found = list((groundswell.settings.data_dir / PAST).rglob("*.sqlite3"))
    assert found
    return found


def nobody_opens_the_past(groundswell: Groundswell) -> bool:
    """Whether Anna's name of before is erased, as of a point whose state was kept."""
    with groundswell.reader.open(PERSONAL, AsOf(19)) as views:
        row = views[Supporters].several(views.connection, [ANNA])[ANNA]
        return row.name is not None and views.open([row.name]) == [ERASED]


def all_proofs_hold(groundswell: Groundswell, checkpoints: list[Any]) -> None:
    known = groundswell.checkpoints.keys().verifiers
    for position in range(1, checkpoints[-1].size + 1):
        assert open_receipt(groundswell.checkpoints.receipt(position), known).position == position
    for number, old in enumerate(checkpoints):
        for new in checkpoints[number:]:
            proof = groundswell.checkpoints.consistency(old.size, new.size)
            assert extends(old.size, old.root, new.size, new.root, proof)
        verdict = verify_store(groundswell.engine.database, groundswell.settings.data_dir, checkpoint=old.note)
        assert verdict.sound, verdict.why


def everything_is_computed_again(groundswell: Groundswell) -> None:
    assert compare(groundswell.runner, PROJECTIONS) == []
    before = totals(groundswell)
    rebuild(groundswell.runner, kinds([]))
    assert totals(groundswell) == before
    assert compare(groundswell.runner, PROJECTIONS) == []


def test_the_receipt_counts_what_was_destroyed_and_what_survives(
    groundswell: Groundswell, database_url: str, tmp_path: Path, words: Words, sink: Sink
) -> None:
    tell(groundswell, words)
    mail(groundswell, tmp_path / "var", words, sink)
    cli = Cli(tmp_path, GROUNDSWELL_DATABASE_URL=database_url)
    found = cli("erase", "anna", "--reason", "asked", "--yes", "--json").json
    assert found["destroyed"] == {
        "keys": 1,
        "index_entries": 1,
        "mail_bodies": 2,
        "mails_stopped": 1,
        "mail_links": 2,
        "mail_files": 1,
    }
    assert found["survives"] == {
        "actions.Logged": 1,
        "mails.Accepted": 1,
        "mails.Deferred": 1,
        "pledges.Amended": 1,
        "pledges.CheckedIn": 1,
        "pledges.Made": 2,
        "pledges.Renewed": 1,
        "pledges.Withdrawn": 1,
        "recognitions.Awarded": 1,
        "recognitions.Nominated": 1,
        "supporters.Amended": 1,
        "supporters.ChapterJoined": 1,
        "supporters.ConsentRecorded": 1,
        "supporters.DigestSet": 2,
        "supporters.EmailConfirmed": 1,
        "supporters.Registered": 1,
        "supporters.VisibilitySet": 1,
    }
    assert (found["personal_fields_erased"], found["open_texts"], found["mails_sent"]) == (9, 1, 1)
    assert len(found["positions"]) == sum(found["survives"].values())
    assert found["position"] not in found["positions"]
    said = cli("erase", "anna", "--receipt").out
    assert "mails in files" in said
    assert not any(word in said for word in words.values())


def test_an_event_of_a_newer_release_keeps_nobody_from_being_erased(
    groundswell: Groundswell, database_url: str, tmp_path: Path, words: Words
) -> None:
    tell(groundswell, words)
    with groundswell.engine.database.append() as connection:
        last = connection.execute(sa.select(events).order_by(events.c.position.desc()).limit(1)).mappings().one()
        newer = {"position": last["position"] + 1, "stream_id": uuid.uuid4(), "version": 1, "topic": "dreams.Dreamt"}
        connection.execute(events.insert().values({**last, **newer, "data": f'{{"who":"{ANNA}"}}'.encode()}))
    cli = Cli(tmp_path, GROUNDSWELL_DATABASE_URL=database_url)
    found = cli("erase", "anna", "--reason", "asked", "--yes", "--json").json
    assert found["survives"]["dreams.Dreamt"] == 1
    assert found["purged_at"]


def test_what_is_kept_of_a_wrapped_key_is_opened_by_no_key_after_a_rotation(
    groundswell: Groundswell, database_url: str, tmp_path: Path, words: Words, sink: Sink
) -> None:
    tell(groundswell, words)
    mail(groundswell, tmp_path / "var", words, sink)
    wrapped = secrets(groundswell)["key"]  # as a backup, or PostgreSQL's own log, may keep it

    def opens(path: Path) -> bool:
        key = masterkey.read(path)
        return key is not None and key.unwrap(wrapped, ANNA.bytes) is not None

    folder = tmp_path / "var"
    assert opens(folder / "master.key")
    cli = Cli(tmp_path, GROUNDSWELL_DATABASE_URL=database_url)
    assert cli("erase", "anna", "--reason", "asked", "--yes").status == 0
    assert opens(folder / "master.key")
    assert cli("keys", "rotate-master", "--yes").status == 0
    assert [opens(path) for path in sorted(folder.glob("master.key*"))] == [False, True]
    assert name_of(groundswell, "ben") == "ben"


def test_a_process_that_only_serves_remembers_nobody_who_was_erased_elsewhere(
    groundswell: Groundswell, database_url: str, tmp_path: Path, words: Words
) -> None:
    with TestClient(create_app(groundswell, work=False)):
        tell(groundswell, words)
        assert words["email"] in remembered(groundswell)
        cli = Cli(tmp_path, GROUNDSWELL_DATABASE_URL=database_url)
        assert cli("erase", "anna", "--reason", "asked", "--yes").status == 0
        deadline = time.monotonic() + 30
        while words["email"] in remembered(groundswell):
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_addresses_of_staff_are_kept_no_longer_than_they_serve(
    groundswell: Groundswell, monkeypatch: pytest.MonkeyPatch
) -> None:
    accounts = groundswell.accounts
    session = accounts.sign_in(accounts.create_link("one@example.org", Role.MANAGER))
    monkeypatch.setattr("api.accounts.now", lambda: now() + timedelta(days=6))
    accounts.create_link("two@example.org", Role.MANAGER)
    assert accounts.session(session)
    monkeypatch.setattr("api.accounts.now", lambda: now() + timedelta(days=8))
    accounts.create_link("three@example.org", Role.MANAGER)
    kept = in_tables(groundswell.engine.database, {name: f"{name}@".encode() for name in ("one", "two", "three")})
    assert kept.keys() == {"three"}


def name_of(groundswell: Groundswell, who: str) -> object:
    first = events.c.stream_id == identify("supporter", who), events.c.version == 1
    (fact,) = groundswell.engine.log.facts(0, 1, *first, opened=True)
    return vars(fact.event)["name"]
