"""Anna, who says something in every personal field, and gets mails: what there is to forget of a person."""

import uuid
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from api.bootstrap import Groundswell
from domain.kernel import Actor, identify
from history.envelope import Envelope, new_id
from notifications.service import Notifications
from tests.support.mails import MONDAY, MailSettings
from tests.support.sink import Sink

ANNA: Final = identify("supporter", "anna")
BEFORE: Final = MONDAY - timedelta(days=12)
FIELDS: Final = ("email", "name", "amended", "display", "pledge", "changed", "renewed", "check_in", "action")
"""What Anna gives: one word that stands nowhere else in each."""

TITLE: Final = f"Listening {uuid.uuid4()}"

Words = dict[str, str]


def run(groundswell: Groundswell, command: str, day: int = 0, /, **data: Any) -> None:  # noqa: ANN401 - any JSON
    at = (BEFORE + timedelta(days=day)).isoformat()
    envelope = Envelope(id=new_id(), command=command, at=at, data=data)
    (answer,) = groundswell.engine.write([groundswell.engine.catalogue.request(envelope, Actor("staff", "test"))])
    assert answer.error is None, answer.error


def tell(groundswell: Groundswell, words: Words) -> None:
    """Let Anna say something everywhere, and others something too."""
    run(groundswell, "campaigns.draft", campaign="c", title=TITLE)
    daily = {"kind": "challenge", "days": 21, "backdating_days": 9}
    run(groundswell, "campaigns.add_ask", campaign="c", ask="daily", statement="I listen.", **daily)
    run(groundswell, "campaigns.add_ask", campaign="c", ask="once", statement="I sign.", kind="once")
    run(groundswell, "campaigns.launch", campaign="c")
    run(groundswell, "policies.track", policy="bill", title="A bill", kind="bill")
    run(groundswell, "chapters.found", chapter="porto", name="Porto")
    for who in ("ben", "cleo"):
        run(groundswell, "supporters.register", supporter=who, email=f"{who}@example.org", name=who)
        run(groundswell, "pledges.make", campaign="c", ask="once", supporter=who)
    run(groundswell, "supporters.register", supporter="anna", email=f"{words['email']}@example.org", name=words["name"])
    run(groundswell, "supporters.amend", supporter="anna", name=words["amended"], chapter="porto")
    run(groundswell, "supporters.confirm_email", supporter="anna")
    run(groundswell, "supporters.consent", supporter="anna", topic="digest", granted=True, wording="Yes.")
    run(groundswell, "supporters.set_digest", supporter="anna", frequency="daily", hour=1)
    run(groundswell, "supporters.set_visibility", supporter="anna", public=True, display_name=words["display"])
    promise = {"campaign": "c", "ask": "daily", "supporter": "anna"}
    run(groundswell, "pledges.make", **promise, note=words["pledge"])
    run(groundswell, "pledges.amend", **promise, note=words["changed"])
    run(groundswell, "pledges.withdraw", **promise)
    run(groundswell, "pledges.make", 1, **promise, note=words["renewed"])
    on = str((BEFORE + timedelta(days=2)).date())
    run(groundswell, "pledges.check_in", 2, **promise, on=on, note=words["check_in"])
    letter = {"action": "letter", "policy": "bill", "supporter": "anna", "kind": "letter"}
    run(groundswell, "actions.log", 2, **letter, on=on, note=words["action"])
    anna = {"kind": "supporter", "id": "anna"}
    run(groundswell, "recognitions.nominate", recognition="r", title="Kind", recipient=anna, citation="She listens.")
    run(groundswell, "recognitions.award", recognition="r")
    groundswell.catch_up()


def mail(groundswell: Groundswell, folder: Path, words: Words, sink: Sink) -> None:
    """Let a digest lie in a file and another in the outbox, with what the mail server said of it."""
    engine, reader = groundswell.engine, groundswell.reader
    to_files = Notifications(engine, reader, MailSettings(folder), lambda: MONDAY)
    assert to_files.run(MONDAY) == {"planned": 1, "accepted": 1}
    run(groundswell, "supporters.set_digest", 3, supporter="anna", frequency="daily", hour=2)
    run(groundswell, "pledges.make", 3, campaign="c", ask="once", supporter="anna")
    groundswell.catch_up()
    sink.at_rcpt = [f"450 <{words['email']}@example.org> is away"]
    tomorrow = MONDAY + timedelta(days=1)
    to_a_server = Notifications(engine, reader, MailSettings(folder, sink.url), lambda: tomorrow)
    assert to_a_server.run(tomorrow) == {"planned": 1, "deferred": 1}
