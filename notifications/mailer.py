"""Where messages go, and what becomes of them: files here, a mail server in smtp.py."""

import os
from collections.abc import Collection, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from domain.kernel import Unavailable
from notifications.outbox import State

NO_MAILBOX: Final = "no_mailbox"
"""What a server says without a code (RFC 3463) that refuses a recipient by 550, 551 or 553 (RFC 5321 §4.2.3)."""
HARD: Final = frozenset(
    {NO_MAILBOX, "5.1.0", "5.1.1", "5.1.2", "5.1.3", "5.1.4", "5.1.6", "5.1.10", "5.2.1"},
)
"""What says of an address that it is none, or takes no mail any more: codes of RFC 3463 §3 and RFC 7505 §4.2, or that.

What a policy refuses (5.7.x) may be taken another time; 5.1.7 and 5.1.8 are about the sender.
"""


@dataclass(frozen=True)
class Envelope:
    """One message on its way; ``name`` is unique and the same on every attempt."""

    name: str
    sender: str
    recipient: str
    message: bytes


@dataclass(frozen=True)
class Outcome:
    """What became of one attempt: accepted, deferred, refused or unknown, and what the other side said.

    ``reason`` is a code (RFC 3463, or RFC 5321 where there is none such) or a word; ``lost`` whether it is the mail
    server, and not the recipient, that something is wrong with.
    """

    state: State
    said: str = ""
    reason: str | None = None
    lost: bool = False


class Session(Protocol):
    """One run's way out."""

    def send(self, envelope: Envelope) -> Outcome:
        """Send one message; raise Unavailable (``mail.unreachable``) where none can be sent now."""


class Mailer(Protocol):
    """Where messages go."""

    def session(self) -> AbstractContextManager[Session]:
        """Open one run's way out."""

    def forget(self, names: Collection[str]) -> list[str]:
        """Destroy what is kept here of these messages; return the names of those there were."""


# --- files ---


class FileMailer:
    """Writes each message into a file of its own; the same message again replaces it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @contextmanager
    def session(self) -> Iterator[Session]:
        """Make the folder."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise Unavailable("mail.unreachable", f"{self.folder} cannot be made: {error.strerror}.") from None
        yield self

    def send(self, envelope: Envelope) -> Outcome:
        """Write ``NAME.eml``, whole or not at all."""
        path = self.folder / f"{envelope.name}.eml"
        draft = path.with_suffix(f".{os.getpid()}.part")
        try:
            descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(envelope.message)
            draft.replace(path)
        except OSError as error:
            with suppress(OSError):
                draft.unlink()
            raise Unavailable("mail.unreachable", f"{path} cannot be written: {error.strerror}.") from None
        return Outcome(State.ACCEPTED, str(path))

    def forget(self, names: Collection[str]) -> list[str]:
        """Delete the files of these messages, and drafts of them that a killed sender left."""
        found = []
        try:
            for path in self.folder.iterdir() if names else ():
                name, _, kind = path.name.partition(".")
                if name in names:
                    path.unlink(missing_ok=True)
                    found += [name] if kind == "eml" else []
        except FileNotFoundError:
            return []  # no mail was ever written here
        except OSError as error:
            raise Unavailable(
                "mail.undeletable", f"{self.folder} keeps mails of the erased: {error.strerror}."
            ) from None
        return found
