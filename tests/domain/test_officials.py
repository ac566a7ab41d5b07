import pytest

from domain.officials import Amend, Official, Register, Retire
from domain.slices import Command
from tests.domain.story import given, happened

REGISTER = Register(official="C000127", name="Maria Cantwell", office="Senator, WA", party="Democrat")
RETIRE = Retire(official="C000127")
PARTICULARS = {
    "name": "Maria Cantwell",
    "office": "Senator, WA",
    "jurisdiction": "us",
    "party": "Democrat",
    "phone": "202-224-3441",
    "address": "511 Hart Senate Office Building",
    "url": "https://www.cantwell.senate.gov",
}


def test_register() -> None:
    given().when(Register(official="C000127", **PARTICULARS)).then(
        happened(Official.Registered, reference="C000127", **PARTICULARS)
    )


def test_who_returns_to_office_is_reinstated_with_new_particulars_only() -> None:
    story = given(REGISTER, RETIRE)
    story.when(Register(official="C000127", name="Maria C.")).then(happened(Official.Reinstated, name="Maria C."))
    story.when(Amend(official="C000127", office=None)).refused("official.unchanged")
    story.when(RETIRE).then(happened(Official.Retired))


def test_amend_changes_what_differs_and_null_clears() -> None:
    given(REGISTER).when(Amend(official="C000127", name="Maria Cantwell", party=None, phone="1")).then(
        happened(Official.Amended, party=None, phone="1")
    ).when(Amend(official="C000127", party=None)).refused("official.unchanged")


@pytest.mark.parametrize("name", PARTICULARS)
def test_each_particular_can_be_amended(name: str) -> None:
    given(Register(official="C000127", name="?")).when(Amend(official="C000127", **{name: PARTICULARS[name]})).then(
        happened(Official.Amended, **{name: PARTICULARS[name]})
    )


@pytest.mark.parametrize(
    ("before", "command", "code"),
    [
        ((REGISTER,), REGISTER, "official.exists"),
        ((REGISTER, RETIRE, REGISTER), REGISTER, "official.exists"),
        ((), Amend(official="C000127", name="M"), "official.unknown"),
        ((REGISTER,), Amend(official="C000127"), "official.unchanged"),
        ((REGISTER, RETIRE), Amend(official="C000127", name="M"), "official.retired"),
        ((), RETIRE, "official.unknown"),
        ((REGISTER, RETIRE), RETIRE, "official.already_retired"),
    ],
)
def test_refused(before: tuple[Command, ...], command: Command, code: str) -> None:
    given(*before).when(command).refused(code)
