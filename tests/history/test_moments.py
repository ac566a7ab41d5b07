"""Moments as they are kept: one text for each, whatever was remembered."""

from datetime import UTC, datetime, timedelta, timezone

from hypothesis import given
from hypothesis import strategies as st

from history import tables
from history.tables import moment_text, read_moment

moments = st.datetimes(datetime(1970, 1, 1), datetime(9998, 1, 1))  # noqa: DTZ001 - as hypothesis wants its bounds
offsets = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@given(moments, offsets)
def test_a_moment_is_read_as_it_was_written_whatever_its_offset(moment: datetime, offset: timezone) -> None:
    here = moment.replace(tzinfo=UTC)
    there = here.astimezone(offset)
    text = moment_text(there)
    assert text == moment.isoformat(timespec="microseconds") + "Z"
    assert read_moment(text) == here
    assert moment_text(here) == moment_text(there) == text


def test_a_text_that_we_would_not_write_is_not_remembered() -> None:
    moment = read_moment("2016-12-13T18:00:00+01:00")
    assert moment_text(moment) == "2016-12-13T17:00:00.000000Z"


def test_no_more_is_remembered_than_some_batches_need() -> None:
    first = datetime(2026, 1, 1, tzinfo=UTC)
    for seconds in range(2 * tables.REMEMBERED):
        read_moment(moment_text(first + timedelta(seconds=seconds)))
        assert len(tables._texts) <= tables.REMEMBERED  # noqa: SLF001 - nobody else can tell
    assert moment_text(first) == "2026-01-01T00:00:00.000000Z"
