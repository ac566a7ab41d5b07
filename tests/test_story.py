"""Runs the worked story of the README, every command as it stands there, against a real server and SMTP sink."""

import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.sink import running_sink

ROOT = Path(__file__).resolve().parents[1]
MARK = "<<<step>>>"


def steps() -> dict[str, str]:
    """The story's blocks of commands by the bold word before them; the first is called Set up."""
    readme = (ROOT / "README.md").read_text()
    story = readme[readme.index("## A story") : readme.index("## How it is built")]
    found: dict[str, str] = {}
    for before, block in re.findall(r"(.*?)```sh\n(.*?)```", story, re.DOTALL):
        names = re.findall(r"\*\*(\w+)\.\*\*", before)
        found[names[-1] if names else "Set up"] = block
    return found


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


def spare_curl(folder: Path) -> Path:
    """A folder with a curl, to be found where the machine has none."""
    (folder / "bin").mkdir()
    curl = folder / "bin" / "curl"
    curl.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{ROOT / "tests/support/curl.py"}" "$@"\n')
    curl.chmod(0o755)
    return curl.parent


def documents(text: str) -> list[Any]:
    """Every JSON document that stands in the text, one after the other."""
    decoder, found, at = json.JSONDecoder(), [], 0
    while (at := text.find("{", at)) >= 0:
        try:
            document, at = decoder.raw_decode(text, at)
        except ValueError:
            at += 1
        else:
            found.append(document)
    return found


@pytest.mark.timeout(180)
def test_the_story_of_the_readme(tmp_path: Path) -> None:
    blocks = steps()
    assert list(blocks) == ["Set up", "Launch", "Pledge", "Board", "Past", "Digest", "Replay"]
    script = "trap 'kill $(jobs -p) 2>/dev/null; wait' EXIT\nset -eu\n"
    script += "".join(f"echo '{MARK}'\n{block}" for block in blocks.values())
    script = script.replace("8321", str(free_port()))
    bin_folder = Path(sys.executable).parent
    environment = {k: v for k, v in os.environ.items() if not k.startswith("GROUNDSWELL_")}
    with running_sink() as sink:
        environment |= {
            "PATH": f"{bin_folder}:{environment['PATH']}:{spare_curl(tmp_path)}",
            "TMPDIR": str(tmp_path),
            "GROUNDSWELL_SMTP_URL": sink.url,
        }
        ran = subprocess.run(
            ["/bin/bash", "-c", script],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=150,
        )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    _, _, launch, pledge, board, past, digest, replay = ran.stdout.split(MARK)

    assert documents(launch)[-1] == {
        "lines": 8, "accepted": 8, "repeated": 0, "rejected": 0, "first_position": 1, "last_position": 8,
    }  # fmt: skip
    by_token, by_form = documents(pledge)[-2:]
    assert by_token["status"] == "accepted"
    assert by_form["status"] == "received"
    standings, explained = documents(board)
    assert [(e["rank"], e["name"], e["points"]) for e in standings["entries"]] in (
        [(1, "Ana", 1), (1, None, 1)],
        [(1, None, 1), (1, "Ana", 1)],
    )
    assert explained["points"] == 1
    assert [e["topic"] for e in explained["entries"]] == ["pledges.Made"]
    then, changed = documents(past)
    assert then["counts"]["made"] == 0
    (campaign,) = changed["campaigns"]
    assert campaign["changes"]["made"] == {"from": 0, "to": 2}
    assert "Ten minutes of listening" in digest
    to_ana = [message for message in sink.messages if "ana@example.org" in message["To"]]
    assert len(to_ana) == 1, digest + ran.stderr
    assert to_ana[0]["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert "listening" in to_ana[0].get_body(("plain",)).get_content()  # type: ignore[union-attr]
    assert {message["To"].split("<")[-1].rstrip(">") for message in sink.messages} <= {
        "ana@example.org", "ben@example.org",
    }  # fmt: skip
    made = [line for line in documents(replay) if line.get("topic") == "pledges.Made"]
    assert len(made) == 2
