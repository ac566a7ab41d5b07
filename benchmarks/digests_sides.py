"""Both sides of the benchmark of digests, each in a process of its own on one core, and the mail server.

The naive loop is what one writes first: for each person who is due it renders the template, has premailer inline the
CSS, puts the message together with the standard library, opens a connection for it, and commits that it was sent. What
there is to say it gets from our own code, person by person.
"""

import asyncio
import json
import logging
import os
import signal
import smtplib
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from datetime import datetime
from email.message import EmailMessage
from functools import wraps
from itertools import chain, islice
from pathlib import Path
from typing import Any, Final

import jinja2
import premailer
from aiosmtpd.smtp import SMTP, Envelope, Session

from api.bootstrap import Groundswell, open_groundswell
from api.process import tune
from api.settings import Settings
from benchmarks.peak import peak
from notifications import messages, planning, preparing, ranges, render, reporting, sending, templating, transmitting
from notifications.composing import KINDS, compose
from notifications.digest import Links
from notifications.movement import Movement
from notifications.recipients import load
from notifications.surroundings import Surroundings
from notifications.tables import digest_ranges

OUR_CORE, OTHER_CORE = 0, 1
FIRST_ITEMS: Final = 12
STAGES: Final[dict[str, tuple[Any, str]]] = {
    "claim": (sending.SendingRun, "_claim"),
    "read people": (preparing, "load_all"),
    "compose": (preparing, "compose_all"),
    "render": (render, "digest"),
    "put together": (preparing, "build"),
    "seal": (messages, "sealed"),
    "ask again": (transmitting.Transmission, "_asked_again"),
    "commit transmitting and outcomes": (transmitting.Transmission, "_committed"),
    "speak SMTP": (transmitting.Transmission, "_sent"),
    "record in the history": (reporting.Reporter, "report"),
}
"""What a digest goes through; none is within another."""


def pin(core: int) -> None:
    """Stay on one core, where the system has that."""
    if hasattr(os, "sched_setaffinity") and core in os.sched_getaffinity(0):
        os.sched_setaffinity(0, {core})


# --- ours ---


def ours(groundswell: Groundswell, moment: datetime, limit: int) -> int:
    """Plan and send all that is due; return how many mails were accepted."""
    del limit  # all
    return groundswell.notifications.run(moment)["accepted"]


def staged(spent: dict[str, float]) -> None:
    """Let each stage add the seconds that its thread computes."""
    for stage, (owner, name) in STAGES.items():
        setattr(owner, name, _timed(getattr(owner, name), stage, spent))


def _timed(call: Callable[..., Any], stage: str, spent: dict[str, float]) -> Callable[..., Any]:
    @wraps(call)
    def timed(*given: Any, **named: Any) -> Any:  # noqa: ANN401 - whatever it is
        begun = time.thread_time()
        try:
            return call(*given, **named)
        finally:
            spent[stage] += time.thread_time() - begun

    return timed


# --- the naive loop ---


def naive(groundswell: Groundswell, moment: datetime, limit: int) -> int:
    """Send so many of those who are due their digest, one after the other; return how many were accepted."""
    templates = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = templates.from_string(templating.whole("digest.html"))
    log, mailer = groundswell.engine.log, groundswell.notifications.mailer
    sent = 0
    with groundswell.reader.open((*KINDS, *planning.KINDS)) as views:
        shared = Surroundings(views, log, Movement(log, views.position, views.position), groundswell.settings.base_url)
        due = [mail.supporter for mail in islice(chain.from_iterable(planning.due(views, moment)), limit)]
        told = ranges.told(views.connection, due)
        for supporter in due:
            person = load(log, supporter)
            assert person is not None
            content = compose(shared, person, told.get(supporter), moment)
            links = Links.of(groundswell.settings.base_url, f"{supporter}")
            values = render.values_of(content, links, FIRST_ITEMS)
            message = EmailMessage()
            message["From"], message["To"] = "groundswell@example.org", person.email
            message["Subject"], message["Message-ID"] = content.subject, f"<{supporter.hex}@example.org>"
            message["List-Unsubscribe"] = f"<{links.unsubscribe}>"
            message.set_content(templating.text("digest.txt", values))
            html = premailer.transform(template.render(values), cssutils_logging_level=logging.CRITICAL)
            message.add_alternative(html, subtype="html")
            for image in content.images(FIRST_ITEMS):
                message.add_attachment(image.png, "image", "png", cid=f"<{image.cid}>")
            with smtplib.SMTP("127.0.0.1", mailer.port) as smtp:  # type: ignore[attr-defined] # it is one for SMTP
                smtp.send_message(message)
            with groundswell.engine.database.write() as connection:
                connection.execute(digest_ranges.delete().where(digest_ranges.c.supporter == supporter))
                row = {"supporter": supporter, "position": views.position, "at": moment}
                connection.execute(digest_ranges.insert().values(**row))
            sent += 1
    return sent


# --- the mail server ---


class Sink:
    """Takes everything, and commands at once, as mail servers do (RFC 2920)."""

    async def handle_EHLO(  # noqa: D102, N802 - aiosmtpd's
        self, _server: SMTP, session: Session, _envelope: Envelope, hostname: str, responses: list[str]
    ) -> list[str]:
        session.host_name = hostname
        return [responses[0], "250-PIPELINING", *responses[1:]]

    async def handle_DATA(  # noqa: D102, N802
        self, _server: SMTP, _session: Session, _envelope: Envelope
    ) -> str:
        return "250 taken"


async def take() -> None:
    """Be the mail server, on a port that is printed, until the process is ended."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(Sink(), loop=loop, enable_SMTPUTF8=True), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


# --- one process ---


def measured(side: str, store: str, folder: str, smtp_url: str, moment: str, limit: str) -> dict[str, Any]:
    """Run one side on a store; return what was accepted, in which time, and what it took."""
    settings = Settings(data_dir=Path(folder), database_url=store, smtp_url=smtp_url)
    spent: dict[str, float] = defaultdict(float)
    with open_groundswell(settings) as groundswell:
        if side != "naive":
            tune()
        if side == "stages":
            staged(spent)
        run = naive if side == "naive" else ours
        begun, computed = time.perf_counter(), time.process_time()
        accepted = run(groundswell, datetime.fromisoformat(moment), int(limit))
        return {
            "accepted": accepted,
            "seconds": time.perf_counter() - begun,
            "cpu": time.process_time() - computed,
            "peak": peak() / 1024,
            "stages": spent,
        }


def main(side: str, *given: str) -> None:
    """Run the mail server, or a side of which what was measured is printed as JSON."""
    if side == "sink":
        pin(OTHER_CORE)
        signal.signal(signal.SIGTERM, lambda *_: sys.exit())
        asyncio.run(take())
    else:
        pin(OUR_CORE)
        print(json.dumps(measured(side, *given)))


if __name__ == "__main__":
    main(*sys.argv[1:])
