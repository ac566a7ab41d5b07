"""The real data, imported into an empty store on both databases, leads to exactly the answers it must lead to."""

import json
import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from api.accounts import Role
from api.bootstrap import PROJECTIONS, Groundswell, open_groundswell
from api.imports import Import, Interruption, Source
from api.settings import Settings
from projections.campaigns import Campaigns
from projections.chapters import Chapters
from projections.officials import Officials
from projections.policies import Policies
from projections.rebuild import compare, rebuild
from projections.supporters import Supporters
from projections.timeline import Timeline
from tests.api.conftest import Api

pytestmark = pytest.mark.timeout(600)  # four minutes of work for both together, on a machine that may be busy

Json = dict[str, Any]

ANSWERING = (Campaigns, Chapters, Officials, Policies, Supporters, Timeline)
"""The read models behind these answers; the others are built anew to be compared."""


class RealInput:
    """A store with all files imported, and what is expected of each."""

    def __init__(self, groundswell: Groundswell, files: list[Path]) -> None:
        self.groundswell, self.files = groundswell, files
        self.expected = {
            file.name.partition(".")[0]: json.loads(
                file.with_name(f"{file.name.partition('.')[0]}.expected.json").read_bytes()
            )
            for file in files
        }
        self.api = Api(groundswell)
        self.first = self.run_import()

    def run_import(self) -> dict[str, tuple[Json, Counter[str]]]:
        """Import all files; return by name the summary and how often each code was given."""
        engine = self.groundswell.engine
        done = Import(engine.write, engine.catalogue, Interruption())
        found = {}
        for file in self.files:
            summary, rejects = done.run(Source(str(file)))
            refused = rejects.path.read_text().splitlines() if rejects.path.exists() else []
            found[file.name.partition(".")[0]] = (
                summary.as_json(),
                Counter(json.loads(line)["code"] for line in refused),
            )
        self.groundswell.catch_up()
        return found

    @property
    def head(self) -> int:
        return self.groundswell.engine.log.head()


def conversations(real: RealInput) -> Iterator[tuple[str, Json]]:
    return ((name, expected) for name, expected in real.expected.items() if "campaign" in expected)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def real(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, shared_data: Path
) -> Iterator[RealInput]:
    folder = tmp_path_factory.mktemp("real")
    files = sorted((shared_data / "commands").glob("*.jsonl.gz"))
    assert len(files) == 7
    for file in (shared_data / "commands").iterdir():
        shutil.copy(file, folder)  # what is refused is written beside the file
    with ExitStack() as stack:
        url = f"sqlite:///{folder / 'groundswell.sqlite3'}"
        if request.param == "postgresql":
            url = stack.enter_context(request.getfixturevalue("postgres_server").new_database())
        groundswell = stack.enter_context(open_groundswell(Settings(data_dir=folder, database_url=url)))
        yield RealInput(groundswell, [folder / file.name for file in files])


def test_every_line_is_accepted_or_refused_as_expected(real: RealInput) -> None:
    position = 0
    for name, expected in real.expected.items():
        summary, codes = real.first[name]
        assert summary["lines"] == expected["lines"]
        assert summary["accepted"] == expected["accepted"]
        assert summary["rejected"] == expected["rejected"] == codes.total()
        assert summary["repeated"] == 0
        assert set(codes) <= {expected.get("rejected_code")}
        assert summary["first_position"] == position + 1
        position = summary["last_position"]
    assert real.head == position


def test_a_second_import_changes_nothing(real: RealInput) -> None:
    head = real.head
    again = real.run_import()
    for name, expected in real.expected.items():
        summary, codes = again[name]
        assert (summary["accepted"], summary["repeated"]) == (0, expected["accepted"])
        assert (summary["rejected"], codes) == (expected["rejected"], real.first[name][1])
    assert real.head == head
    check_answers(real)


def test_the_answers_are_those_expected(real: RealInput) -> None:
    check_answers(real)


def test_a_rebuild_leads_to_the_same_answers(real: RealInput) -> None:
    rebuild(real.groundswell.runner, ANSWERING)
    check_answers(real)


def test_what_is_live_equals_what_is_built_anew(real: RealInput) -> None:
    assert compare(real.groundswell.runner, PROJECTIONS) == []


def check_answers(real: RealInput) -> None:
    """Compare everything that is expected, field by field, over HTTP."""
    assert real.api.get("/readyz")["lag"] == 0
    for _, expected in conversations(real):
        check_conversation(real, expected)
    check_supporters(real)
    check_chapters(real, real.expected["civic-chapters"])
    check_congress(real, real.expected["us-congress"])


def check_conversation(real: RealInput, expected: Json) -> None:
    campaign = real.api.get(f"/campaigns/{expected['campaign']}")
    found = {
        one["ask"]: {key: one["counts"][key] for key in ("made", "active", "withdrawn")} for one in campaign["asks"]
    }
    nothing = {"made": 0, "active": 0, "withdrawn": 0}  # what nobody ever pledged is not in the published counts
    assert found == dict.fromkeys(found, nothing) | expected["asks"]
    for ask in campaign["asks"]:
        counts = ask["counts"]
        assert counts["made"] == counts["active"] + counts["kept"] + counts["lapsed"] + counts["withdrawn"]
    assert campaign["counts"]["active"] == expected["active"]
    for key in ("made", "withdrawn"):
        assert campaign["counts"][key] == sum(one[key] for one in expected["asks"].values())


def check_supporters(real: RealInput) -> None:
    total = sum(expected["supporters"] for _, expected in conversations(real))
    assert real.api.get("/supporters", {"limit": 1}, role=Role.MANAGER)["total"] == total
    assert real.api.get("/timeline", {"by": "month"})["buckets"][-1]["totals"]["supporters"] == total


def check_chapters(real: RealInput, expected: Json) -> None:
    found = real.api.pages("/chapters", "chapters", state="open", limit=100)
    assert len(found) == expected["open"]
    assert {one["name"]: published(one) for one in found} == expected["chapters"]
    closed = real.api.pages("/chapters", "chapters", state="closed", limit=100)
    assert len(real.api.pages("/chapters", "chapters", state="all", limit=100)) == len(found) + len(closed)


def published(chapter: Json) -> Json:
    """A chapter as the registry publishes it: without what it does not say."""
    place = {key: value for key, value in (chapter["place"] or {}).items() if value is not None}
    return {key: value for key, value in (("website", chapter["website"]), ("place", place)) if value}


def check_congress(real: RealInput, expected: Json) -> None:
    in_office = real.api.get("/officials", {"limit": 1})
    retired = real.api.get("/officials", {"state": "retired"})
    assert (in_office["total"], retired["total"]) == (expected["officials"], expected["retired"])
    assert len(real.api.pages("/officials", "officials", limit=200)) == expected["officials"]
    bills = {one["reference"]: one["stage"] for one in real.api.pages("/policies", "policies", limit=5)}
    assert bills == expected["stages"]
    for bill, stage in expected["stages"].items():
        assert real.api.get(f"/policies/{bill}")["stages"][-1]["stage"] == stage
