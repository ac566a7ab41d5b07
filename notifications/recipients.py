"""One person as a mail sees them: folded from their own stream of the log, so that no read model's delay matters."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection

from domain.kernel import Sealed, Unavailable, Unset
from domain.slices import Fact
from domain.subscriptions import Subscription
from domain.supporters import Supporter
from history.mapper import RAW
from history.persons import Persons, open_box
from history.reading import Log
from history.statements import select_among, uuid_of
from history.tables import events

Personal = dict[str, object]
"""Personal data by the field it belongs to."""

_STREAMS: Final = f"SELECT {', '.join(RAW)} FROM events"  # noqa: S608 - names


@dataclass
class Recipient(Subscription):
    """What is known of one supporter now. Personal data is in the clear; what was erased is None."""

    supporter: UUID = field(kw_only=True)
    version: int = 0
    """Of the supporter's stream."""
    first_position: int = 0
    email: str | None = None
    email_version: int = 0
    """The version that set the address: what a link to confirm it is good for."""
    name: str | None = None
    display_name: str | None = None
    locale: str | None = None
    source: str | None = None
    public: bool = False
    chapters: list[UUID] = field(default_factory=list)
    answered_at: datetime | None = None
    """When the address was confirmed last, or digests were consented to or refused."""
    declined_at: datetime | None = None
    """When digests were refused again after they had been: that is a "no" to the mail that asks."""
    muted: set[UUID] = field(default_factory=set)
    """The campaigns that digests leave out."""


def load(log: Log, supporter: UUID) -> Recipient | None:
    """Return one supporter as of now, or None where there is none; raise what ``load_all`` returns."""
    found = load_all(log, [supporter]).get(supporter)
    if isinstance(found, Exception):
        raise found
    return found


def load_all(log: Log, supporters: Iterable[UUID]) -> dict[UUID, Recipient | Exception]:
    """Return supporters as of now, read together: without those who do not exist.

    Whoever cannot be read, as by a release older than their events or with a damaged key, comes as the error it was.
    """
    with log.database.read() as connection:
        rows = select_among(connection, _STREAMS, events.c.stream_id, supporters, "ORDER BY position")
        streams: defaultdict[Any, list[Any]] = defaultdict(list)
        for row in rows:
            streams[row[1]].append(row)
        read = [_read(log, stream) for stream in streams.values()]
        damaged = _open(log.persons, connection, read)
    return {key: damaged.get(key, one) for key, one, _ in read}


def _read(log: Log, rows: Sequence[Any]) -> tuple[UUID, Recipient | Exception, Personal]:
    """Return one supporter, and as it is sealed what is personal."""
    key, personal = uuid_of(rows[0][1]), Personal()
    recipient = Recipient(supporter=key)
    try:
        for row in rows:
            _take(recipient, personal, log.mapper.raw_fact(row))
    except Exception as error:  # noqa: BLE001 - whatever it is, it concerns one person
        return key, error, {}
    return key, recipient, personal


def _open(
    persons: Persons, connection: Connection, read: Iterable[tuple[UUID, Recipient | Exception, Personal]]
) -> dict[UUID, Exception]:
    """Give each of those who could be read what is personal in the clear; return the errors of the others.

    A damaged key concerns one person; where none of several opens, it is the master key: that raises Unavailable.
    """
    sealed = [(key, one, name, box) for key, one, personal in read for name, box in personal.items()]
    keys, damaged = keys_of(persons, connection, {box.person for *_, box in sealed if isinstance(box, Sealed)})
    if not keys and len(damaged) > 1:
        raise next(iter(damaged.values()))
    for key, one, name, box in sealed:
        if key not in damaged:
            try:
                text = open_box(box, keys) if isinstance(box, Sealed) else None
            except ValueError as error:
                damaged[key] = error
            else:
                setattr(one, name, text if isinstance(text, str) else None)
    return damaged


def keys_of(
    persons: Persons, connection: Connection, people: Collection[UUID]
) -> tuple[dict[UUID, bytes], dict[UUID, Exception]]:
    """Return (the keys of people, the errors of those whose key does not open)."""
    try:
        return persons.keys(connection, people), {}
    except Unavailable as error:
        if error.code != "keys.wrong":
            raise
    keys: dict[UUID, bytes] = {}
    damaged: dict[UUID, Exception] = {}
    for person in people:
        try:
            keys |= persons.keys(connection, [person])
        except Unavailable as error:
            if error.code != "keys.wrong":
                raise
            damaged[person] = error
    return keys, damaged


def _answered(recipient: Recipient, fact: Fact, *, refused: bool) -> None:
    recipient.answered_at = fact.occurred_at
    if isinstance(fact.event, Supporter.ConsentRecorded):
        recipient.declined_at = fact.occurred_at if refused and not recipient.consented else None


def _take(recipient: Recipient, personal: Personal, fact: Fact) -> None:
    recipient.version = fact.version
    refused = recipient.consented is False
    recipient.follow(fact.event, fact.occurred_at)
    match fact.event:
        case Supporter.Registered() as event:
            recipient.first_position, recipient.source = fact.position, event.source
            _particulars(recipient, personal, fact, event)
        case Supporter.Amended() as event:
            _particulars(recipient, personal, fact, event)
        case Supporter.EmailConfirmed() | Supporter.ConsentRecorded(subject="digest"):
            _answered(recipient, fact, refused=refused)
        case Supporter.VisibilitySet() as event:
            recipient.public, personal["display_name"] = event.public, event.display_name
        case Supporter.ChapterJoined(chapter=chapter):
            recipient.chapters.append(chapter)
        case Supporter.ChapterLeft(chapter=chapter):
            recipient.chapters = [one for one in recipient.chapters if one != chapter]
        case Supporter.CampaignMuted(campaign=campaign):
            recipient.muted.add(campaign)
        case Supporter.CampaignUnmuted(campaign=campaign):
            recipient.muted.discard(campaign)
        case Supporter.Erased():
            recipient.public = False
            personal.clear()
        case _:
            pass


def _particulars(
    recipient: Recipient, personal: Personal, fact: Fact, event: Supporter.Registered | Supporter.Amended
) -> None:
    if not isinstance(event.locale, Unset):
        recipient.locale = event.locale
    if not isinstance(event.name, Unset):
        personal["name"] = event.name
    if not isinstance(event.email, Unset):
        personal["email"], recipient.email_version = event.email, fact.version
