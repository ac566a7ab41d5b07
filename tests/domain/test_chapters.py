import pytest

from domain.chapters import Amend, Chapter, Close, Found, Move, Place
from domain.kernel import identify
from domain.slices import Command
from tests.domain.story import given, happened

LISBON = identify("chapter", "lisbon")
FOUND = Found(chapter="lisbon", name="Lisbon", time_zone="Europe/Lisbon")
PLACE = Place(city="Lisbon", latitude=38.7, longitude=-9.1)
TREE = (
    Found(chapter="world", name="World"),
    Found(chapter="portugal", name="Portugal", parent="world"),
    Found(chapter="lisbon", name="Lisbon", parent="portugal"),
)


def test_found() -> None:
    command = Found(
        chapter="lisbon",
        name="Lisbon",
        parent="world",
        place=PLACE,
        locale="pt-PT",
        time_zone="Europe/Lisbon",
        website="https://lisbon.example",
    )
    given(TREE[0]).when(command).then(
        happened(
            Chapter.Founded,
            name="Lisbon",
            reference="lisbon",
            parent=identify("chapter", "world"),
            place=PLACE,
            locale="pt-PT",
            time_zone="Europe/Lisbon",
            website="https://lisbon.example",
        )
    )


def test_a_chapter_named_by_its_id_has_no_reference() -> None:
    given().when(Found(chapter=str(LISBON), name="Lisbon")).then(happened(Chapter.Founded, name="Lisbon"))


def test_a_closed_chapter_is_founded_again_with_new_particulars_only() -> None:
    story = given(FOUND, Close(chapter="lisbon"))
    story.when(Found(chapter="lisbon", name="Lisboa")).then(happened(Chapter.Refounded, name="Lisboa"))
    chapter = story.stage.get(Chapter, LISBON)
    chapter.need_open()
    assert chapter.time_zone is None


def test_amend_changes_what_differs_and_null_clears() -> None:
    given(FOUND).when(Amend(chapter="lisbon", name="Lisbon", time_zone=None, place=PLACE)).then(
        happened(Chapter.Amended, time_zone=None, place=PLACE)
    ).when(Amend(chapter="lisbon", time_zone=None, place=PLACE)).refused("chapter.unchanged")


def test_move_to_another_parent_and_to_none() -> None:
    given(*TREE).when(Move(chapter="lisbon", parent="world")).then(
        happened(Chapter.Moved, parent=identify("chapter", "world"))
    ).when(Move(chapter="lisbon", parent=None)).then(happened(Chapter.Moved))


def test_a_moved_chapter_stays_where_it_was_moved() -> None:
    to_world = Move(chapter="lisbon", parent="world")
    given(*TREE, to_world).when(to_world).refused("chapter.unchanged").and_given(
        Move(chapter="lisbon", parent="portugal")
    )


def test_a_command_names_the_parent_among_what_it_reads() -> None:
    ids = (LISBON, identify("chapter", "world"))
    assert Found(chapter="lisbon", name="Lisbon", parent="world").streams() == ids
    assert Move(chapter="lisbon", parent="world").streams() == ids
    assert Move(chapter="lisbon", parent=None).streams() == (LISBON,)


def test_close() -> None:
    given(FOUND).when(Close(chapter="lisbon")).then(happened(Chapter.Closed))


@pytest.mark.parametrize(
    ("before", "command", "code"),
    [
        ((FOUND,), FOUND, "chapter.exists"),
        ((), Found(chapter="lisbon", name="L", parent="nowhere"), "chapter.unknown"),
        ((), Found(chapter="lisbon", name="L", time_zone="Mars/Base"), "time_zone.unknown"),
        ((), Found(chapter="lisbon", name="L", locale="not a tag"), "locale.malformed"),
        ((*TREE, Close(chapter="world")), Found(chapter="world", name="W", parent="lisbon"), "chapter.cycle"),
        ((), Amend(chapter="lisbon", name="L"), "chapter.unknown"),
        ((FOUND, Close(chapter="lisbon")), Amend(chapter="lisbon", name="L"), "chapter.closed"),
        ((FOUND,), Amend(chapter="lisbon"), "chapter.unchanged"),
        ((FOUND,), Amend(chapter="lisbon", time_zone="Mars/Base"), "time_zone.unknown"),
        ((FOUND,), Amend(chapter="lisbon", locale="not a tag"), "locale.malformed"),
        (TREE, Move(chapter="world", parent="lisbon"), "chapter.cycle"),
        (TREE, Move(chapter="world", parent="world"), "chapter.cycle"),
        (TREE, Move(chapter="lisbon", parent="portugal"), "chapter.unchanged"),
        (TREE, Move(chapter="lisbon", parent="nowhere"), "chapter.unknown"),
        (TREE, Move(chapter="nowhere", parent="lisbon"), "chapter.unknown"),
        ((*TREE, Close(chapter="lisbon")), Move(chapter="lisbon", parent="world"), "chapter.closed"),
        ((), Close(chapter="lisbon"), "chapter.unknown"),
        ((FOUND, Close(chapter="lisbon")), Close(chapter="lisbon"), "chapter.already_closed"),
    ],
)
def test_refused(before: tuple[Command, ...], command: Command, code: str) -> None:
    given(*before).when(command).refused(code)
