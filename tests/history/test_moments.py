"""Moments as they are kept: one text for each, whatever was remembered."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
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


@pytest.mark.parametrize(
    "text",
    [
        "2016-12-13T18:00:00+01:00",
        "2016-12-13T18:00:00.0+01:00",
        "2016-12-13 17:00:00.000000Z",
        "2016-12-13T17:00:00,000000Z",
        "2016-12-13T170000.00000000Z",
        "20161213T17:00:00.00000000Z",
        "2016-W50-2T18:00:00.0+01:00",
    ],
)
def test_a_text_that_we_would_not_write_is_not_remembered(text: str) -> None:
    moment = read_moment(text)
    assert moment_text(moment) == "2016-12-13T17:00:00.000000Z"


@given(moments, st.lists(st.tuples(st.integers(0, 26), st.sampled_from("0159 TWZz.,:-+")), min_size=1, max_size=3))
def test_however_a_text_was_spoilt_its_moment_is_written_as_ever(
    moment: datetime, spoilt: list[tuple[int, str]]
) -> None:
    letters = list(moment_text(moment.replace(tzinfo=UTC)))
    for place, letter in spoilt:
        letters[place] = letter
    try:
        read = read_moment("".join(letters))
    except ValueError:
        return  # it is told apart where it is read
    if read.tzinfo is not None:
        assert moment_text(read) == read.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def test_no_more_is_remembered_than_some_batches_need() -> None:
    first = datetime(2026, 1, 1, tzinfo=UTC)
    for seconds in range(2 * tables.REMEMBERED):
        read_moment(moment_text(first + timedelta(seconds=seconds)))
        assert len(tables._texts) <= tables.REMEMBERED  # noqa: SLF001 - nobody else can tell
    assert moment_text(first) == "2026-01-01T00:00:00.000000Z"
