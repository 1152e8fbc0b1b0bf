"""The structure that HOUSE rules ask for, read from the source itself."""

from __future__ import annotations

import ast
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROOMS = [
    "domain",
    "client",
    "config",
    "newsroom",
    "storage",
    "features",
    "models",
    "ranking",
    "experiments",
    "offline",
    "service",
    "ingest",
    "commands",
    "cli",
    "__main__",
]
PURE = ["features", "models", "ranking", "experiments"]
MODULES = sorted(p for p in (ROOT / "feed").rglob("*.py") if p.name != "__init__.py")
MOST_LINES = 400
TOP_LEVEL = {
    "pyproject.toml",
    "feed",
    "scripts",
    "tests",
    "docker-compose.yml",
    "README.md",
    "LICENSE",
    "CHANGELOG.md",
    "Dockerfile",
    "requirements.lock",
    "requirements-dev.lock",
}
CONVENTIONAL = {"docs", "deploy", "CONTRIBUTING.md", "SECURITY.md"}


def room_of(module: str) -> str:
    return module.removeprefix("feed.").split(".")[0]


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


def imported_modules(tree: ast.AST) -> set[str]:
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return found


@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_imports_point_one_way(path):
    own = ROOMS.index(room_of(module_name(path)))
    rooms = {
        room_of(name)
        for name in imported_modules(ast.parse(path.read_text()))
        if name.startswith("feed.")
    }
    assert {room for room in rooms if ROOMS.index(room) > own} == set()


def test_there_is_no_import_cycle():
    names = {module_name(p) for p in MODULES}
    graph = {module_name(p): imported_modules(ast.parse(p.read_text())) & names for p in MODULES}
    done: set[str] = set()

    def visit(name: str, above: tuple[str, ...]) -> None:
        assert name not in above, " -> ".join([*above, name])
        if name not in done:
            for target in graph[name]:
                visit(target, (*above, name))
            done.add(name)

    for name in graph:
        visit(name, ())


@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_nothing_is_imported_inside_a_function(path):
    tree = ast.parse(path.read_text())
    functions = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)]
    inner = [
        n.lineno
        for f in functions
        for n in ast.walk(f)
        if isinstance(n, ast.Import | ast.ImportFrom)
    ]
    assert inner == []


@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_a_module_stays_readable_and_says_what_it_holds(path):
    text = path.read_text()
    assert ast.get_docstring(ast.parse(text))
    assert len(text.splitlines()) <= MOST_LINES


def test_pure_rooms_read_no_clock_and_no_network():
    forbidden = {"time", "redis", "flask", "socket", "requests"}
    for path in MODULES:
        if room_of(module_name(path)) in PURE:
            roots = {m.split(".")[0] for m in imported_modules(ast.parse(path.read_text()))}
            assert not roots & forbidden, module_name(path)


def test_one_module_knows_implicit_and_one_compares_with_it():
    users = [
        module_name(p)
        for p in MODULES
        if any(m.split(".")[0] == "implicit" for m in imported_modules(ast.parse(p.read_text())))
    ]
    assert users == ["feed.models.factors", "feed.offline.ablation"]


def test_only_the_storage_room_knows_redis():
    users = {
        room_of(module_name(p))
        for p in MODULES
        if any(m.split(".")[0] == "redis" for m in imported_modules(ast.parse(p.read_text())))
    }
    assert users == {"storage"}


def test_nothing_is_pickled():
    for path in MODULES:
        roots = {m.split(".")[0] for m in imported_modules(ast.parse(path.read_text()))}
        assert not roots & {"pickle", "joblib", "dill", "shelve", "marshal"}, module_name(path)


def test_the_top_level_holds_what_convention_wants_and_no_more():
    tracked = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.splitlines()
    visible = {name.split("/")[0] for name in tracked}
    found = {name for name in visible if not name.startswith(".")}
    assert found - CONVENTIONAL == TOP_LEVEL


def test_the_locks_hold_hashes_and_no_addresses():
    for name in ("requirements.lock", "requirements-dev.lock"):
        text = (ROOT / name).read_text()
        assert "http" not in text.replace("flask-httpauth", "").replace("httpauth", "").replace(
            "httpx", ""
        ).replace("httpcore", "")
        pinned = [line for line in text.splitlines() if "==" in line and not line.startswith(" ")]
        assert all(line.rstrip().endswith("\\") for line in pinned)
        assert text.count("--hash=sha256:") >= len(pinned)
