"""Receipts are checked offline: by the how-to as it stands there, and by the command line."""

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from history.checkpoints import Checkpoints, how_to
from history.engine import Engine
from history.notes import VerifierKey
from tests.history.sample import found, opened, register
from tests.support.cli import Cli

pytestmark = pytest.mark.skipif(not shutil.which("openssl"), reason="there is no openssl here")

SCRIPT = "".join(block.split("```")[0] for block in how_to("RECEIPT.md").split("```sh\n")[1:])


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Engine, Checkpoints]]:
    folder = tmp_path_factory.mktemp("log")
    with opened(f"sqlite:///{folder}/g.sqlite3", folder) as engine:
        yield engine, Checkpoints(engine.database, folder, "https://climate.example/")


def follow(path: Path, key: object) -> subprocess.CompletedProcess[str]:
    environment = {"receipt": str(path), "key": str(key), "PATH": "/usr/local/bin:/usr/bin:/bin"}
    return subprocess.run(["sh", "-c", SCRIPT], env=environment, capture_output=True, text=True, check=False)  # noqa: S607


def test_the_how_to_finds_good_receipts_good(log: tuple[Engine, Checkpoints], tmp_path: Path) -> None:
    engine, checkpoints = log
    path = tmp_path / "receipt"
    for size in (1, 2, 7, 8):
        found(engine, size - engine.log.head(), start=engine.log.head())
        checkpoints.make()
        for position in sorted({1, 5, size} & set(range(1, size + 1))):
            path.write_text(checkpoints.receipt(position))
            done = follow(path, checkpoints.keys().verifiers[0])
            assert (done.returncode, done.stderr) == (0, ""), (size, position)
            assert f'"position":{position},' in done.stdout


def swap_the_entry(receipt: str) -> str:
    lines = receipt.split("\n")
    return "\n".join([lines[0], "extra eyJ4IjoxfQ==", *lines[2:]])


def move(receipt: str) -> str:
    return receipt.replace("index 3", "index 2")


def leave_out_a_hash(receipt: str) -> str:
    lines = receipt.split("\n")
    return "\n".join([*lines[:3], *lines[4:]])


def claim_another_size(receipt: str) -> str:
    return receipt.replace("climate.example/log\n300\n", "climate.example/log\n301\n")


def claim_another_root(receipt: str) -> str:
    head, _, note = receipt.partition("\n\n")
    lines = note.split("\n")
    return f"{head}\n\n" + "\n".join([*lines[:2], "A" * 43 + "=", *lines[3:]])


def sign_with_nothing(receipt: str) -> str:
    return receipt[: receipt.rindex("\n\n") + 2] + "— climate.example/log " + "A" * 92 + "\n"


def name_another_log(receipt: str) -> str:
    return receipt.replace("climate.example/log\n300", "weather.example/log\n300")


TAMPER = (
    swap_the_entry,
    move,
    leave_out_a_hash,
    claim_another_size,
    claim_another_root,
    sign_with_nothing,
    name_another_log,
)


@pytest.mark.parametrize("tamper", TAMPER)
def test_both_find_a_changed_receipt_bad(
    log: tuple[Engine, Checkpoints], tmp_path: Path, tamper: Callable[[str], str]
) -> None:
    engine, checkpoints = log
    if (head := engine.log.head()) < 300:
        found(engine, 300 - head, start=head)
        checkpoints.make()
    good = checkpoints.receipt(4)
    bad = tamper(good)
    assert bad != good
    path, key, cli = tmp_path / "receipt", checkpoints.keys().verifiers[0], Cli(tmp_path)
    path.write_text(good)
    assert follow(path, key).returncode == 0
    assert cli("verify", "--receipt", path, "--key", str(key)).status == 0
    path.write_text(bad)
    assert follow(path, key).returncode != 0
    ran = cli("verify", "--receipt", path, "--key", str(key))
    assert (ran.status, ran.out.startswith("Not sound. ")) == (1, True)


def test_a_key_of_somebody_else_is_not_believed(log: tuple[Engine, Checkpoints], tmp_path: Path) -> None:
    engine, checkpoints = log
    found(engine, 1, start=engine.log.head())
    path = tmp_path / "receipt"
    path.write_text(checkpoints.receipt(1))
    other = VerifierKey("climate.example/log", b"1" * 32)
    assert follow(path, other).returncode != 0
    cli = Cli(tmp_path)
    assert cli("verify", "--receipt", path, "--key", str(other), "--json").json["sound"] is False
    assert cli("verify", "--receipt", path).code == "arguments.key"
    assert not (tmp_path / "var").exists()


def test_a_receipt_after_a_rotation_is_believed_by_both_keys(tmp_path: Path) -> None:
    with opened(f"sqlite:///{tmp_path}/g.sqlite3", tmp_path) as engine:
        register(engine, "anna")
        checkpoints = Checkpoints(engine.database, tmp_path, "https://climate.example/")
        checkpoints.make()
        checkpoints.keys().rotate()
        checkpoints.make()
        receipt, keys = checkpoints.receipt(1), checkpoints.keys().verifiers
    assert len(keys) == 2
    path = tmp_path / "receipt"
    path.write_text(receipt)
    for key in keys:
        assert follow(path, key).returncode == 0
        entry = Cli(tmp_path)("verify", "--receipt", path, "--key", str(key), "--json").json["entry"]
        assert (entry["topic"], entry["position"]) == ("supporters.Registered", 1)
    assert Cli(tmp_path, GROUNDSWELL_DATA_DIR=str(tmp_path))("verify", "--receipt", path).status == 0
    assert "anna" not in receipt.lower()
