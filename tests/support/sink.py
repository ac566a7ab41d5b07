"""A real SMTP server for tests: keeps what it took, and answers as it was told."""

import asyncio
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session


class Sink:
    """Answers are given to senders (MAIL), recipients (RCPT) or messages (DATA), each once.

    ``ok`` is the usual one, and ``cut`` ends the connection instead. ``answers`` are given to all recipients of a
    domain. ``at_recipient`` and ``at_message`` are called before an answer, in a thread of their own.
    """

    def __init__(self) -> None:
        self.raw: list[bytes] = []
        self.senders: list[str] = []
        self.recipients: list[str] = []
        self.greeted: set[str] = set()
        self.connections = 0
        self.at_mail: list[str] = []
        self.at_rcpt: list[str] = []
        self.at_data: list[str] = []
        self.answers: dict[str, str] = {}
        self.at_recipient: Callable[[str], object] = lambda _: None
        self.at_message: Callable[[bytes], object] = lambda _: None
        self.pipelining = True
        self.port = 0

    @property
    def url(self) -> str:
        return f"smtp://127.0.0.1:{self.port}"

    @property
    def messages(self) -> list[EmailMessage]:
        found = [message_from_bytes(raw, policy=default) for raw in self.raw]
        assert all(isinstance(one, EmailMessage) for one in found)
        return found

    async def handle_EHLO(  # noqa: N802 - aiosmtpd's names
        self, server: SMTP, session: Session, _envelope: Envelope, hostname: str, responses: list[str]
    ) -> list[str]:
        self.connections += 1
        session.host_name = hostname
        self.greeted.add(hostname)
        del server
        return [responses[0], "250-PIPELINING", *responses[1:]] if self.pipelining else responses

    async def handle_MAIL(  # noqa: N802
        self, server: SMTP, _session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if (answer := _next(self.at_mail, server)) != "ok":
            return answer
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 OK"

    async def handle_RCPT(  # noqa: N802
        self, server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        await asyncio.to_thread(self.at_recipient, address)
        if (answer := _next(self.at_rcpt, server)) != "ok":
            return answer
        if refusal := self.answers.get(address.rpartition("@")[2]):
            return refusal
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802
        assert isinstance(envelope.content, bytes)
        await asyncio.to_thread(self.at_message, envelope.content)
        if (answer := _next(self.at_data, server)) != "ok":
            return answer
        self.raw.append(envelope.content)
        self.senders.append(envelope.mail_from or "")
        self.recipients += envelope.rcpt_tos
        return "250 taken"


def _next(answers: list[str], server: Any) -> str:  # noqa: ANN401 - aiosmtpd is untyped here
    """Return the next answer; what it is where the connection is cut, nobody hears."""
    answer = answers.pop(0) if answers else "ok"
    if answer == "cut":
        server.transport.abort()
    return answer


@contextmanager
def running_sink() -> Iterator[Sink]:
    sink = Sink()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        sink.port = free.getsockname()[1]
    controller = Controller(sink, hostname="127.0.0.1", port=sink.port, enable_SMTPUTF8=True)
    controller.start()
    try:
        yield sink
    finally:
        controller.stop()
