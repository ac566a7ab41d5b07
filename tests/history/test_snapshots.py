"""Snapshots: a long stream loads like a short one, and nothing else can be told from them."""

import dataclasses
import functools
import json
import re
import uuid
from collections.abc import Callable
from datetime import UTC
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, cast
from uuid import UUID

import pytest
import sqlalchemy as sa
from hypothesis import given as for_all
from hypothesis import strategies

from domain.campaigns import Amend, Campaign, Frame
from domain.kernel import ERASED, Aggregate, Event, Sealed, identify
from domain.pledges import Amend as AmendPledge
from domain.pledges import Make
from domain.slices import Slice
from domain.supporters import Erase, RecordConsent, Register, Supporter
from history import snapshots as rules
from history.engine import Engine
from history.loading import Loader
from history.mapper import Mapper
from history.snapshots import BYTES_PER_EVENT, EVERY, Snapshot, codec, due, take
from history.tables import events, snapshots
from tests.history.sample import disarm
from tests.support.examples import AT, aggregates
from tests.support.long_streams import CAMPAIGN, long_campaign
from tests.support.movement import wander
from tests.support.rooms import ANNA, Room, ask, engine_at, enter, outcomes
from tests.support.store import Store

GOLDEN: Final = Path(__file__).parent / "golden"
MAPPER: Final = Mapper(aggregates())
LONG: Final = 100_000


class CountingMapper(Mapper):
    """Counts the events that are read."""

    read = 0

    def decode(self, *given: Any, **named: Any) -> tuple[Event, str | None]:  # noqa: ANN401 - passed on
        self.read += 1
        return super().decode(*given, **named)


@functools.cache
def counting(slices: tuple[Slice, ...]) -> CountingMapper:
    return CountingMapper(aggregate for one in slices for aggregate in one.aggregates)


def load(engine: Engine, stream: UUID) -> tuple[Aggregate, int]:
    """Load an aggregate as a process that has just started does; return (it, the number of events read)."""
    mapper = counting(engine.slices)
    mapper.read = 0
    with engine.database.read() as connection:
        loaded = Loader(mapper, engine.persons).load(connection, [stream])[stream]
    assert loaded is not None
    return loaded, mapper.read


def delete_all(engine: Engine) -> None:
    with engine.database.write() as connection:
        connection.execute(snapshots.delete())


def versions(engine: Engine) -> dict[UUID, int]:
    """The version that each snapshot was taken at."""
    with engine.database.read() as connection:
        found = connection.execute(sa.select(snapshots.c.stream_id, snapshots.c.version))
        return {row.stream_id: row.version for row in found}


def frame(engine: Engine, *titles: str) -> None:
    """Append one event for each title to the long campaign, in one batch."""
    commands = [Frame(campaign="long", locale="pt", title=title) for title in titles]
    assert outcomes(engine, *map(ask, commands)) == ["accepted"] * len(commands)


# --- as fast as a short one ---


def test_a_stream_of_100_000_events_is_read_from_its_last_snapshot_on(engine: Engine, other: Engine) -> None:
    long_campaign(engine, LONG)
    assert load(engine, CAMPAIGN)[1] == LONG
    frame(engine, "Ouvir")
    assert load(engine, CAMPAIGN)[1] == 1
    for number in range(15):
        frame(other if number % 2 else engine, *(f"Ouvir {number} {each}" for each in range(7)))
        assert load(other, CAMPAIGN)[1] < EVERY
    assert load(other, CAMPAIGN)[0].version == LONG + 106
    assert versions(engine) == {CAMPAIGN: LONG + 106}


def test_a_batch_leaves_a_snapshot_of_what_it_made_long(engine: Engine) -> None:
    long_campaign(engine, 4)
    frame(engine, *(f"Ouvir {number}" for number in range(EVERY - 5)))
    assert versions(engine) == {}
    frame(engine, *(f"Escutar {number}" for number in range(2 * EVERY)))
    assert versions(engine) == {CAMPAIGN: 3 * EVERY - 1}
    assert load(engine, CAMPAIGN)[1] == 0


def test_what_nobody_appends_to_gets_its_snapshot_from_the_next_who_needs_it(engine: Engine) -> None:
    long_campaign(engine, EVERY + 1)
    assert outcomes(engine, ask(Amend(campaign="long", title="Listening"))) == ["campaign.unchanged"]
    assert versions(engine) == {CAMPAIGN: EVERY + 1}


def test_a_rehearsal_and_a_failed_batch_leave_none(engine: Engine) -> None:
    long_campaign(engine, EVERY + 1)
    with engine.rehearse() as writer:
        (answer,) = writer.write([ask(Frame(campaign="long", locale="pt", title="Ouvir"))])
        assert answer.status == "accepted"
    assert versions(engine) == {}
    assert outcomes(engine, enter("anna", then="spoil")) == ["internal.error"]
    assert versions(engine) == {}


def test_what_is_refused_is_undone_on_a_long_stream(engine: Engine) -> None:
    batch = [*(enter(f"{n}") for n in range(2 * EVERY)), enter("b", then="refuse"), enter("c", then="break")]
    assert outcomes(engine, *batch)[-2:] == ["room.refused", "internal.error"]
    assert outcomes(engine, enter("d"), enter("e", then="refuse"), enter("f")) == [
        "accepted",
        "room.refused",
        "accepted",
    ]
    hall, read = load(engine, identify("room", "hall"))
    assert isinstance(hall, Room)
    assert hall.people == [*map(str, range(2 * EVERY)), "d", "f"]
    assert read == 2


def test_a_snapshot_that_would_be_large_waits_for_more_events() -> None:
    state = b"x" * (3 * EVERY * BYTES_PER_EVENT)
    last = Snapshot(CAMPAIGN, EVERY, "campaigns", b"", state), Campaign.__new__(Campaign)
    assert [version // EVERY for version in range(EVERY, 9 * EVERY, EVERY) if due(version, last)] == [4, 5, 6, 7, 8]
    assert next(version for version in range(3 * EVERY) if due(version, None)) == EVERY


# --- the same state ---


@pytest.mark.parametrize("seed", [1, 2])
def test_with_snapshots_everything_is_as_its_events_say(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.setattr(rules, "EVERY", 2)
    monkeypatch.setattr(rules, "BYTES_PER_EVENT", 1_000_000)
    with Store(database_url, tmp_path) as store:
        wander(store, seed=seed, batch=100)
        engine = store.engine
        with engine.database.read() as connection:
            streams = connection.scalars(sa.select(events.c.stream_id).distinct()).all()
        assert versions(engine).keys() == {stream for stream in streams if engine.log.version(stream) > 1}
        kept = {stream: load(engine, stream) for stream in streams}
        delete_all(engine)
        for stream, (aggregate, read) in kept.items():
            replayed, all_of_them = load(engine, stream)
            assert read < 2
            assert all_of_them == replayed.version
            assert (type(aggregate), vars(aggregate)) == (type(replayed), vars(replayed))


STREAM: Final = uuid.uuid5(uuid.NAMESPACE_URL, "groundswell:snapshot")
MOMENTS: Final = strategies.datetimes(timezones=strategies.just(UTC))
strategies.register_type_strategy(float, strategies.floats(allow_nan=False, allow_infinity=False))  # what JSON can say


@pytest.mark.parametrize("kind", aggregates(), ids=lambda kind: kind.prefix)
@for_all(data=strategies.data())
def test_whatever_an_aggregate_holds_survives(kind: type[Aggregate], data: strategies.DataObject) -> None:
    aggregate = object.__new__(kind)
    aggregate.__base_init__(STREAM, data.draw(strategies.integers(1, 2**31)), data.draw(MOMENTS))
    aggregate.modified_on = data.draw(MOMENTS)
    for each in dataclasses.fields(cast("Any", kind)):
        hint = cast("Any", Sealed | None if each.name in codec(kind).personal else each.type)
        setattr(aggregate, each.name, data.draw(strategies.from_type(hint)))
    snapshot = take(aggregate)
    assert snapshot is not None
    read = codec(kind).read(snapshot)
    assert read is not None
    assert (type(read), vars(read)) == (kind, vars(aggregate))


# --- not to be relied on ---


def spoilt(engine: Engine, **values: object) -> None:
    with engine.database.write() as connection:
        connection.execute(snapshots.update().values(**values))


def a_bit_less(engine: Engine) -> None:
    with engine.database.read() as connection:
        (state,) = connection.scalars(sa.select(snapshots.c.state)).all()
    spoilt(engine, state=state.replace(b"Ouvir", b"Ouvis"))


DAMAGE: Final[dict[str, Callable[[Engine], None]]] = {
    "another title": a_bit_less,
    "no state": lambda engine: spoilt(engine, state=b""),
    "another digest": lambda engine: spoilt(engine, digest=bytes(32)),
    "an earlier version": lambda engine: spoilt(engine, version=EVERY - 1),
    "beyond the end": lambda engine: spoilt(engine, version=EVERY + 1),
    "an unknown aggregate": lambda engine: spoilt(engine, aggregate="tomorrow"),
    "another aggregate": lambda engine: spoilt(engine, aggregate="chapters"),
    "of another stream": lambda engine: spoilt(engine, stream_id=identify("campaign", "other")),
    "deleted": delete_all,
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_what_is_wrong_with_a_snapshot_costs_time_and_is_replaced(engine: Engine, other: Engine, damage: str) -> None:
    long_campaign(engine, EVERY - 1)
    frame(engine, "Ouvir")
    long_campaign(engine, 4, "other")
    campaign, read = load(engine, CAMPAIGN)
    assert read == 0
    DAMAGE[damage](engine)
    again, read = load(engine, CAMPAIGN)
    assert read == EVERY
    assert vars(again) == vars(campaign)
    assert load(engine, identify("campaign", "other"))[1] == 4
    frame(other, "Escutar")
    assert load(engine, CAMPAIGN)[1] == 1


def test_a_damaged_file_stops_nobody(tmp_path: Path) -> None:
    with engine_at(f"sqlite:///{tmp_path / 'groundswell.sqlite3'}", tmp_path) as engine:
        long_campaign(engine, EVERY - 1)
        frame(engine, "Ouvir")
        with engine.database.write() as connection:
            connection.exec_driver_sql("UPDATE snapshots SET state = CAST(state AS TEXT)")
        assert load(engine, CAMPAIGN)[1] == EVERY


def test_a_snapshot_that_is_not_reached_is_not_believed(engine: Engine) -> None:
    """As in a store of which an older copy of the log was brought back."""
    long_campaign(engine, EVERY - 1)
    campaign, _ = load(engine, CAMPAIGN)
    frame(engine, "Ouvir")
    disarm(engine.database)
    with engine.database.write() as connection:
        connection.execute(events.delete().where(events.c.stream_id == CAMPAIGN, events.c.version == EVERY))
    assert vars(load(engine, CAMPAIGN)[0]) == vars(campaign)


@pytest.mark.parametrize("change", ["class_version", "fields"])
def test_another_release_does_not_believe_it(engine: Engine, monkeypatch: pytest.MonkeyPatch, change: str) -> None:
    assert outcomes(engine, *(enter(f"{n}") for n in range(EVERY))) == ["accepted"] * EVERY
    hall = identify("room", "hall")
    assert load(engine, hall)[1] == 0
    if change == "class_version":
        monkeypatch.setattr(Room, "class_version", 2)
    else:
        (people,) = dataclasses.fields(cast("Any", Room))
        monkeypatch.setattr(people, "type", list[str | None])
    codec.cache_clear()
    assert load(engine, hall)[1] == EVERY + 1
    codec.cache_clear()


@pytest.mark.parametrize("held", [{"people": {"anna": object()}}, {"guests": ["ben"]}])
def test_what_cannot_be_written_down_stops_nobody(
    held: dict[str, Any], engine: Engine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def apply(_event: Event, room: Any) -> None:  # noqa: ANN401 - the library's signature
        room.__dict__.update(held)

    monkeypatch.setattr(Room.Entered, "apply", apply)
    assert outcomes(engine, *(enter(f"{n}") for n in range(EVERY))) == ["accepted"] * EVERY
    assert "No snapshot can be taken of Room" in caplog.text
    assert versions(engine) == {}


def test_what_does_not_fit_its_type_is_not_believed(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Room.Entered, "apply", lambda _self, room: setattr(room, "people", "anna"))
    assert outcomes(engine, *(enter(f"{n}") for n in range(EVERY))) == ["accepted"] * EVERY
    hall = identify("room", "hall")
    assert versions(engine) == {hall: EVERY + 1}
    assert load(engine, hall)[1] == EVERY + 1


# --- personal data ---


def test_a_snapshot_holds_what_is_personal_as_the_log_does(engine: Engine) -> None:
    long_campaign(engine, 4)
    anna = Register(supporter="anna", name="Anna Secret", email="anna@example.org")
    pledge = Make(campaign="long", ask="listen", supporter="anna", note="a secret note")
    promised = pledge.streams()[0]
    consents = [RecordConsent(supporter="anna", topic="digest", granted=True, wording="Yes") for _ in range(EVERY)]
    notes = [AmendPledge(campaign="long", ask="listen", supporter="anna", note=f"secret {n}") for n in range(EVERY)]
    assert set(outcomes(engine, *map(ask, [anna, pledge, *consents, *notes]))) == {"accepted"}
    assert versions(engine).keys() == {ANNA, promised}
    with engine.database.read() as connection:
        kept = b"".join(connection.scalars(sa.select(snapshots.c.state)))
    assert kept.count(b'"box"') == 3
    assert not re.search(rb"secret|anna|example\.org", kept, re.IGNORECASE)
    (supporter, read), (made, _) = load(engine, ANNA), load(engine, promised)
    assert read == 0
    assert (vars(supporter)["name"], vars(supporter)["email"]) == ("Anna Secret", "anna@example.org")
    assert vars(made)["note"] == f"secret {EVERY - 1}"
    assert take(supporter) is take(made) is None  # opened
    assert outcomes(engine, ask(Erase(supporter="anna"), reason="asked for it")) == ["accepted"]
    (supporter, read), (made, _) = load(engine, ANNA), load(engine, promised)
    assert read == 1
    assert vars(supporter)["name"] is vars(supporter)["email"] is None
    assert vars(made)["note"] is ERASED


def test_who_is_erased_in_the_batch_that_makes_the_stream_long(engine: Engine) -> None:
    consents = [RecordConsent(supporter="anna", topic="digest", granted=True, wording="Yes") for _ in range(EVERY - 2)]
    registered = Register(supporter="anna", name="Anna Secret")
    assert set(outcomes(engine, *map(ask, [registered, *consents]))) == {"accepted"}
    assert outcomes(engine, ask(Erase(supporter="anna"), reason="asked for it")) == ["accepted"]
    assert versions(engine) == {ANNA: EVERY}
    supporter, read = load(engine, ANNA)
    assert read == 0
    assert isinstance(supporter, Supporter)
    assert supporter.erased
    assert supporter.name is None


# --- golden files: what the events of each aggregate mean ---


@pytest.mark.parametrize("kind", aggregates(), ids=lambda kind: kind.prefix)
def test_the_same_events_mean_the_same_state_in_all_releases(kind: type[Aggregate]) -> None:
    """Where this fails for events as they were, raise the aggregate's ``class_version``: old snapshots mislead."""
    path = GOLDEN / "states" / f"{kind.prefix}.v{kind.class_version}.json"
    fingerprint = sha256(codec(kind).fingerprint).hexdigest()
    meant = {topic: state_after(kind, topic) for topic in kind.events}
    golden = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {"fields": None, "states": {}}
    if golden["fields"] != fingerprint or meant.keys() - golden["states"].keys():
        path.parent.mkdir(exist_ok=True)
        told = {"fields": fingerprint, "states": meant}
        path.write_text(json.dumps(told, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        pytest.fail(f"{path.name} was missing or of other fields; it was made now: look at it and commit it")
    assert meant == golden["states"]


def state_after(kind: type[Aggregate], topic: str) -> Any:  # noqa: ANN401
    """What an aggregate holds after its opening event and one other, both as they stand in their golden files."""
    aggregate: Aggregate | None = None
    topics = dict.fromkeys([kind.opening().TOPIC, topic])
    for version, each in enumerate(topics, start=1):
        golden = json.loads((GOLDEN / f"{each}.v{kind.events[each].class_version}.json").read_text(encoding="utf-8"))
        event, _ = MAPPER.decode(each, json.dumps(golden["data"]).encode(), STREAM, version)
        vars(event)["timestamp"] = AT
        aggregate = event.mutate(aggregate)
    assert aggregate is not None
    snapshot = take(aggregate)
    assert snapshot is not None
    return json.loads(snapshot.state)
