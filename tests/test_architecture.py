"""The rules of architecture.md that a machine can hold: who may import whom."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("domain", "history", "projections", "notifications", "api")
"""One direction: each room may import itself and those before it."""

SHARED = {"domain.kernel", "domain.slices"}
"""What all slices, and the log, may know."""

BANNED_IN_DOMAIN = {"sqlalchemy", "fastapi", "starlette", "jinja2", "psycopg", "alembic", "msgspec", "pydantic"}


def modules(root: Path) -> Iterator[tuple[str, Path]]:
    for room in ROOMS:
        for path in sorted((root / room).rglob("*.py")):
            yield ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__"), path


def imports(path: Path) -> set[str]:
    """Every module that the file imports, also inside functions and behind TYPE_CHECKING."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            assert node.module is not None
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def broken_rules(root: Path) -> list[str]:
    broken = []
    slices: dict[str, set[str]] = {}
    for name, path in modules(root):
        room, _, rest = name.partition(".")
        used = imports(path)
        tops = {module.partition(".")[0] for module in used}
        later = set(ROOMS[ROOMS.index(room) + 1 :])
        broken += [f"{name} imports {other}, against the direction" for other in sorted(tops & later)]
        if tops & {"tests", "benchmarks"}:
            broken.append(f"{name} imports tests or benchmarks")
        if room == "domain":
            broken += [f"{name} imports {other}: the domain does no I/O" for other in sorted(tops & BANNED_IN_DOMAIN)]
            if rest == "kernel":
                strange = tops - sys.stdlib_module_names - {"eventsourcing"}
                broken += [f"domain.kernel imports {other}" for other in sorted(strange)]
            elif rest:
                slices[name] = {m for m in used if m.count(".") == 1 and m.startswith("domain.")} - {
                    "domain.kernel",
                    "domain.slices",
                }
        if room == "history":
            known = {
                m for m in used if m.startswith("domain.") and not m.startswith(("domain.kernel", "domain.slices"))
            }
            broken += [f"{name} imports {other}: the log knows no slice" for other in sorted(known)]
    return broken + [f"{' → '.join(cycle)} is a cycle" for cycle in cycles(slices)]


def cycles(graph: dict[str, set[str]]) -> list[list[str]]:
    found: list[list[str]] = []

    def visit(node: str, trail: list[str]) -> None:
        if node in trail:
            found.append([*trail[trail.index(node) :], node])
            return
        for other in sorted(graph.get(node, set()) & graph.keys()):
            visit(other, [*trail, node])

    for node in graph:
        visit(node, [])
    return found


def test_every_import_goes_the_one_direction() -> None:
    assert not broken_rules(ROOT)


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("domain/pledges.py", "import history.tables"),
        ("domain/pledges.py", "from sqlalchemy import select"),
        ("domain/campaigns.py", "from domain.pledges import Pledge"),
        ("domain/kernel.py", "import msgspec"),
        ("history/writer.py", "from domain.pledges import Pledge"),
        ("history/writer.py", "def late() -> None:\n    import projections.runner"),
        ("projections/runner.py", "from notifications import digest"),
        ("projections/runner.py", "from api.settings import Settings"),
        ("notifications/__init__.py", "from api.settings import Settings"),
        ("api/app.py", "from tests.support import store"),
    ],
)
def test_a_broken_rule_is_found(tmp_path: Path, module: str, line: str) -> None:
    for name, path in modules(ROOT):
        del name
        copy = tmp_path / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(path.read_text())
    target = tmp_path / module
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text((target.read_text() if target.exists() else "") + "\n" + line + "\n")
    assert broken_rules(tmp_path)
