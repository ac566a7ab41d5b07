"""An IMAP server that knows just what reading unseen messages takes (RFC 9051), and keeps what it was told."""

import re
import socketserver
import ssl
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from tests.support.certificates import Certificate

USER: Final = ("bounces", "pass word%")
FOLDERS: Final = ("INBOX", 'Reports "x"')


class ImapServer:
    """What a server has, and what happened to it."""

    def __init__(self, messages: Sequence[bytes], certificate: Certificate, *, tls: bool, starttls: bool) -> None:
        self.messages, self.certificate = list(messages), certificate
        self.tls, self.starttls = tls, starttls
        self.seen: set[int] = set()
        self.logins: list[tuple[str, str]] = []
        self.plain_logins = 0
        self.selected: list[str] = []
        self.port = 0


@contextmanager
def running_imap(
    messages: Sequence[bytes], certificate: Certificate, *, tls: bool, starttls: bool = True
) -> Iterator[ImapServer]:
    server = ImapServer(messages, certificate, tls=tls, starttls=starttls)

    class Handler(_Handler):
        told = server

    with _Server(("127.0.0.1", 0), Handler) as listening:
        server.port = listening.server_address[1]
        thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            listening.shutdown()
            thread.join()


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


class _Handler(socketserver.BaseRequestHandler):
    told: ImapServer

    def handle(self) -> None:
        try:
            self._begin(secure=self.told.tls)
            self._say(b"* OK ready")
            while line := self.file.readline():
                self._command(line.decode().strip())
            self.file.close()
        except OSError:
            pass  # who does not trust the certificate goes away
        finally:
            self.request.close()

    def _begin(self, *, secure: bool) -> None:
        if secure:
            self.request = self.told.certificate.serving().wrap_socket(self.request, server_side=True)
        self.file: Any = self.request.makefile("rb")

    def _say(self, *lines: bytes) -> None:
        self.request.sendall(b"".join(line + b"\r\n" for line in lines))

    def _command(self, line: str) -> None:
        tag, _, rest = line.partition(" ")
        name, _, given = rest.partition(" ")
        if name == "UID":
            name, _, given = given.partition(" ")
        answers, result = getattr(self, f"_{name.lower()}")(given)
        self._say(*answers, f"{tag} {result}".encode())
        if name == "STARTTLS":
            self._begin(secure=True)

    def _capability(self, _given: str) -> tuple[list[bytes], str]:
        more = b" STARTTLS" if self.told.starttls else b""
        return [b"* CAPABILITY IMAP4rev1" + more], "OK done"

    def _starttls(self, _given: str) -> tuple[list[bytes], str]:
        return [], "OK go on"

    def _login(self, given: str) -> tuple[list[bytes], str]:
        user, _, password = given.partition(" ")
        self.told.plain_logins += not isinstance(self.request, ssl.SSLSocket)
        pair = user, password.strip('"')
        if pair != USER:
            return [], "NO no such user or password"
        self.told.logins.append(pair)
        return [], "OK done"

    def _select(self, given: str) -> tuple[list[bytes], str]:
        folder = given[1:-1].replace(r"\"", '"')
        if folder not in FOLDERS:
            return [], "NO no such folder"
        self.told.selected.append(folder)
        return [b"* %d EXISTS" % len(self.told.messages)], "OK done"

    def _search(self, _given: str) -> tuple[list[bytes], str]:
        unseen = (number for number in range(len(self.told.messages)) if number not in self.told.seen)
        return [b"* SEARCH " + b" ".join(b"%d" % (number + 100) for number in unseen)], "OK done"

    def _fetch(self, given: str) -> tuple[list[bytes], str]:
        number, most = map(int, re.fullmatch(r"(\d+) \(BODY\.PEEK\[\]<0\.(\d+)>\)", given).groups())  # type: ignore[union-attr]
        raw = self.told.messages[number - 100][:most]
        return [b"* %d FETCH (UID %d BODY[]<0> {%d}\r\n%b)" % (number - 99, number, len(raw), raw)], "OK done"

    def _store(self, given: str) -> tuple[list[bytes], str]:
        number, flags = re.fullmatch(r"(\d+) \+FLAGS\.SILENT (.*)", given).groups()  # type: ignore[union-attr]
        assert flags == r"(\Seen)"
        self.told.seen.add(int(number) - 100)
        return [], "OK done"

    def _logout(self, _given: str) -> tuple[list[bytes], str]:
        return [b"* BYE"], "OK done"
