"""Composes digests from the read models and the range of the log since the last one, for many people at once."""

import logging
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from domain.kernel import Unavailable
from notifications.around import Around
from notifications.digest import Content
from notifications.gathering import KINDS, Gathered, Reader, Told, gather, reader
from notifications.language import spoken
from notifications.own import Own
from notifications.recipients import Recipient
from notifications.surroundings import Surroundings

__all__ = ["KINDS", "compose", "compose_all"]

log = logging.getLogger(__name__)


def compose(shared: Surroundings, person: Recipient, told: Told, now: datetime) -> Content:
    """Return what there is to say to a person since the last digest, up to the position of the read models.

    ``told`` is (the position, the rank) that the last one told, None before the first: it begins with the person.
    """
    one = reader(shared, person, told)
    return _content(shared, gather(shared, [one]), one, now)


def compose_all(
    shared: Surroundings, people: Sequence[tuple[Recipient, Told]], now: datetime
) -> dict[UUID, Content | Exception]:
    """Return what there is to say to each of a batch of people, or the error that one person's data led to.

    Raises Unavailable where the store cannot be read.
    """
    if not people:
        return {}
    readers = [reader(shared, person, told) for person, told in people]
    try:
        gathered = gather(shared, readers)
    except Unavailable:
        raise
    except Exception:
        log.exception("A batch of %d digests cannot be read together", len(readers))
        return {each.person.supporter: _alone(shared, each, now) for each in readers}
    return {each.person.supporter: _safely(shared, gathered, each, now) for each in readers}


def _alone(shared: Surroundings, one: Reader, now: datetime) -> Content | Exception:
    """Read for one person only: somebody else's data is what cannot be read."""
    try:
        gathered = gather(shared, [one])
    except Unavailable:
        raise
    except Exception as error:  # noqa: BLE001 - one person's data must not stop everybody's mail
        return error
    return _safely(shared, gathered, one, now)


def _safely(shared: Surroundings, gathered: Gathered, one: Reader, now: datetime) -> Content | Exception:
    try:
        return _content(shared, gathered, one, now)
    except Unavailable:
        raise
    except Exception as error:  # noqa: BLE001 - as above
        return error


def _content(shared: Surroundings, gathered: Gathered, one: Reader, now: datetime) -> Content:
    language = spoken(one.person.locale, one.person.time_zone)
    own, around = Own(shared, gathered, one, language, now), Around(shared, gathered, one, language)
    rank, board = around.board()
    items = (
        *own.today(),
        *own.recognitions(),
        *own.answers(),
        *own.pledges(),
        *around.policies(),
        *around.illustrated(list(around.campaigns())),
        *around.chapters(),
        *board,
    )
    return Content(language, one.person.name, one.of, items, rank, one.first)
