"""The mail desk of the staff pages: it shows how the mails stand, and only a manager's buttons act."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from html import unescape
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from httpx2 import Response

from api.accounts import Role
from api.app import create_app
from api.bootstrap import Groundswell, open_groundswell
from api.settings import Settings
from domain.kernel import Actor
from history.envelope import Envelope, new_id
from notifications.caps import MailRole
from notifications.tables import mail_runs, outbox
from tests.support.due import LONG_AGO, due
from tests.support.sink import Sink, running_sink

MANAGER = Actor("staff", "staff@example.org")


@dataclass
class Office:
    """A store in which two digests are due, a mail server, and a browser."""

    groundswell: Groundswell
    browser: TestClient
    sink: Sink

    def sign_in(self, role: Role) -> None:
        secret = self.groundswell.accounts.create_link(MANAGER.name, role)
        assert self.browser.post(f"/signin/{secret}", follow_redirects=False).status_code == 303

    def run(self, command: str, **data: object) -> None:
        envelope = Envelope(id=new_id(), command=command, at=LONG_AGO, reason="Asked.", data=data)
        (answer,) = self.groundswell.engine.write([self.groundswell.engine.catalogue.request(envelope, MANAGER)])
        assert answer.error is None

    def page(self, path: str = "/staff/mail") -> str:
        return seen(self.browser.get(path))

    def warning(self) -> str:
        """What the overview says of mails that need somebody."""
        found = re.search('<p class="notice error" id="mails">.*', self.browser.get("/staff").text)
        return found[0] if found else ""

    def press(self, action: str, **filled: str) -> Response:
        return self.browser.post(f"/staff/mail/{action}", data=filled)

    def send(self) -> None:
        self.groundswell.notifications.tick()


def seen(answer: Response) -> str:
    assert answer.status_code == 200, answer.text
    assert "<script" not in answer.text
    assert not re.search("(anna|ben)@", answer.text)
    return " ".join(unescape(re.sub("<[^>]*>", "", answer.text)).split())


@pytest.fixture
def caps() -> dict[str, int | None]:
    return {}


@pytest.fixture
def office(database_url: str, tmp_path: Path, caps: dict[str, int | None]) -> Iterator[Office]:
    with running_sink() as sink:
        settings = Settings(data_dir=tmp_path, database_url=database_url, smtp_url=sink.url, mail_caps=caps)
        with open_groundswell(settings) as store:
            browser = TestClient(create_app(store, work=False), headers={"Accept": "text/html"})
            made = Office(store, browser, sink)
            for command, data in due("anna", "ben"):
                made.run(command, **data)
            store.catch_up()
            yield made


# --- who may ---


def test_only_staff_may_look(office: Office) -> None:
    assert office.page().startswith("Sign in")
    office.sign_in(Role.ADVOCATE)
    assert office.browser.get("/staff/mail").status_code == 403


@pytest.mark.parametrize("role", [Role.AUDITOR, Role.ADVOCATE])
@pytest.mark.parametrize("action", ["send", "halt", "resume", "unknown/00000000-0000-4000-8000-000000000000/accept"])
def test_only_a_manager_may_act(office: Office, role: Role, action: str) -> None:
    office.sign_in(role)
    head = office.groundswell.engine.log.head()
    assert office.press(action, reason="No.").status_code == 403
    assert office.groundswell.engine.log.head() == head
    if role is Role.AUDITOR:
        html = office.browser.get("/staff/mail").text
        assert "Due now" in html
        assert 'action="/staff/mail' not in html


def test_an_empty_store_says_so(tmp_path: Path) -> None:
    with open_groundswell(Settings(data_dir=tmp_path, database_url=f"sqlite:///{tmp_path / 'empty'}")) as store:
        office = Office(store, TestClient(create_app(store, work=False), headers={"Accept": "text/html"}), Sink())
        office.sign_in(Role.MANAGER)
        page = office.page()
        assert "digest is due and not sent yet" in page
        assert "No mail has been sent yet" in page
        assert "Of unknown fate" not in page
        assert 'href="/staff/mail"' in office.browser.get("/staff").text


def test_a_store_that_was_restored_says_that_mails_went_out_before(office: Office) -> None:
    office.sign_in(Role.MANAGER)
    office.press("send")
    office.send()
    office.groundswell.catch_up()
    with office.groundswell.engine.database.write() as connection:
        for not_in_an_archive in (outbox, mail_runs):
            connection.execute(not_in_an_archive.delete())
    assert "The history tells of digests that went out before this store was restored." in office.page()


# --- sending ---


def test_a_manager_lets_go_what_is_due_and_a_worker_sends_it(office: Office) -> None:
    office.sign_in(Role.MANAGER)
    assert "2 digests are due now (2 daily)" in office.page()
    assert office.sink.raw == []
    assert "2 digests let go" in seen(office.press("send"))
    assert "Waiting2" in office.page()
    assert office.sink.raw == []
    office.send()
    assert len(office.sink.raw) == 2
    assert "Sent222" in office.page().replace(" ", "")


@pytest.mark.parametrize("caps", [{"manager": 1}])
def test_beyond_the_cap_the_number_must_be_typed(office: Office) -> None:
    office.sign_in(Role.MANAGER)
    assert "more than the 1 that go without asking again" in office.page()
    for typed, status, said in (
        ("", 409, "more than the 1 allowed"),
        ("1", 409, "more than the 1 allowed"),
        ("all", 422, "Type the number"),
    ):
        answer = office.press("send", audience=typed)
        assert answer.status_code == status
        assert said in answer.text
    assert office.groundswell.notifications.desk.status().waiting.waiting == 0
    assert "2 digests let go" in seen(office.press("send", audience=" 2 "))


@pytest.mark.parametrize("caps", [{"work": 1}])
def test_what_a_worker_holds_is_said_and_can_be_let_go(office: Office) -> None:
    office.send()
    assert office.sink.raw == []
    office.sign_in(Role.MANAGER)
    assert "2 digests are held" in office.warning()
    assert "2 digests are due and held" in office.page()
    office.press("send")
    office.send()
    assert len(office.sink.raw) == 2
    assert "held" not in office.page()


# --- the switch ---


def test_halting_takes_a_reason_and_holds_until_somebody_resumes(office: Office) -> None:
    office.sign_in(Role.MANAGER)
    assert office.press("halt", reason=" ").status_code in {409, 422}
    assert "Mails are halted" not in office.page()
    page = seen(office.press("halt", reason="The <links> are wrong."))
    assert "Mails are halted since" in page
    assert "by staff:staff@example.org: The <links> are wrong." in page
    assert "All mail is halted" in office.warning()
    assert "2 digests let go: they go out when mails are resumed." in seen(office.press("send"))
    office.send()
    assert office.sink.raw == []
    assert office.press("halt", reason="Twice").status_code == 409
    assert "Mails go out again." in seen(office.press("resume"))
    assert office.warning() == ""
    office.send()
    assert len(office.sink.raw) == 2


# --- the unknown ---


def test_mails_of_unknown_fate_are_settled_by_buttons(office: Office) -> None:
    office.sign_in(Role.MANAGER)
    office.sink.at_data = ["cut", "cut"]
    office.send()
    assert "Nobody knows whether these went out" in office.page()
    sent, again = (one.id for one in office.groundswell.notifications.desk.unsettled())
    html = office.browser.get("/staff/mail").text
    assert f"/staff/mail/unknown/{sent}/accept" in html
    assert "counts as sent" in seen(office.press(f"unknown/{sent}/accept"))
    assert office.press(f"unknown/{sent}/accept").status_code == 409
    assert "sent again" in seen(office.press(f"unknown/{again}/resend"))
    office.send()
    assert len(office.sink.raw) == 1
    assert "Of unknown fate" not in office.page()
    decided = [fact for fact in office.groundswell.engine.log.facts(0, 500) if fact.actor == MANAGER]
    assert [fact.topic for fact in decided[-2:]] == ["mails.Accepted", "mails.Deferred"]


def test_all_mails_of_unknown_fate_are_settled_by_one_button(office: Office) -> None:
    office.sign_in(Role.MANAGER)
    office.sink.at_data = ["cut", "cut"]
    office.send()
    assert "Send all 2 again" in office.page()
    assert "2 mails are of unknown fate" in office.warning()
    office.run("supporters.erase", supporter="ben")
    office.groundswell.notifications.purge()
    answer = office.press("unknown/all/resend")
    assert answer.status_code == 409
    assert "1 mail stayed: The message of this mail is no longer kept" in answer.text
    office.send()
    assert office.sink.recipients == ["anna@example.org"]
    assert "counts as sent" in seen(office.press("unknown/all/accept"))
    assert office.groundswell.notifications.desk.unsettled() == []


def test_a_get_changes_nothing(office: Office) -> None:
    office.sign_in(Role.MANAGER)
    head = office.groundswell.engine.log.head()
    for action in ("send", "halt", "resume"):
        assert office.browser.get(f"/staff/mail/{action}").status_code in {404, 405}
    office.page("/staff/mail?done=halted")
    office.page("/staff/mail?let_go=7")
    assert office.groundswell.engine.log.head() == head


# --- measured ---


def measured(office: Office) -> dict[str, float]:
    lines = [line for line in office.browser.get("/metrics").text.splitlines() if line.startswith("groundswell_mails_")]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


@pytest.mark.parametrize("caps", [{"work": 1}])
def test_a_monitoring_system_sees_what_is_held_halted_waiting_and_unknown(office: Office) -> None:
    before = measured(office)
    assert before["groundswell_mails_held"] == before["groundswell_mails_due"] == 2
    assert {value for name, value in before.items() if not name.endswith(("_held", "_due"))} == {0}
    desk = office.groundswell.notifications.desk
    desk.let_go(MailRole.MANAGER)
    desk.turn_off(MANAGER, "Wait.")
    halted = measured(office)
    assert (halted["groundswell_mails_halted"], halted["groundswell_mails_waiting"]) == (1, 2)
    assert halted["groundswell_mails_held"] == halted["groundswell_mails_due"] == 0
    assert 0 < halted["groundswell_mails_oldest_seconds"] < 3600
    desk.turn_on(MANAGER)
    office.run("supporters.consent", supporter="ben", topic="digest", granted=False, wording="No.")
    office.sink.at_data = ["cut"]
    office.send()
    after = measured(office)
    assert after["groundswell_mails_unknown"] == 1
    assert after['groundswell_mails_last_day{outcome="unknown"}'] == 1
    assert after['groundswell_mails_last_day{outcome="suppressed"}'] == 1
    assert after['groundswell_mails_suppressed_last_day{reason="no_consent"}'] == 1
    assert after["groundswell_mails_waiting"] == 0
