"""The client as a front-end developer takes it: its behaviour, its types, its package."""

from __future__ import annotations

import json
import re
import shutil
from enum import StrEnum
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from feed.domain import EventKind, Mode, Rung
from feed.reader_schemas import PreferencesBody
from feed.schemas import EventIn
from feed.service import answers
from feed.service.reader_export import ExportOut

from .conftest import CLIENT_DIR, HERE, ROOT, Run

API = (CLIENT_DIR / "api.d.ts").read_text()
PACKAGE = json.loads((CLIENT_DIR / "package.json").read_text())
MOST_LINES = 400

INTERFACES: dict[str, Any] = {
    "Article": answers.ArticleOut,
    "Erased": answers.ErasedOut,
    "Feed": answers.FeedOut,
    "FeedEvent": EventIn,
    "FeedItem": answers.FeedItemOut,
    "Preferences": PreferencesBody,
    "ReaderExport": ExportOut,
    "Reason": answers.ReasonOut,
    "Related": answers.RelatedOut,
    "RelatedItem": answers.RelatedItemOut,
    "Trending": answers.TrendingOut,
    "TrendingItem": answers.TrendingItemOut,
}


def declared_fields(interface: str) -> dict[str, str]:
    body = re.search(rf"export interface {interface} \{{\n(.*?)\n\}}", API, re.DOTALL)
    assert body, interface
    return dict(re.findall(r"^  (\w+)\??: (.*);$", body[1], re.MULTILINE))


def installed_client(run: Run, directory: Path) -> Path:
    """Pack the client and install it into an empty project, without any registry."""
    (tarball,) = json.loads(
        run("npm", "pack", "--json", "--pack-destination", directory, cwd=CLIENT_DIR)
    )
    (directory / "package.json").write_text('{"private": true, "type": "module"}')
    name = directory / tarball["filename"]
    run("npm", "install", "--offline", "--no-audit", "--no-fund", name, cwd=directory)
    return directory


def test_the_client_does_what_it_says_whatever_goes_wrong(run):
    run("node", "--test", "client.test.mjs")


def test_the_client_is_sound_in_strict_typescript_and_declared_as_it_is(tsc, tmp_path):
    # A copy without declarations: where there are some, the compiler reads them, not the code.
    no_declarations = shutil.ignore_patterns("[!a]*.d.ts", "attention.d.ts")
    shutil.copytree(CLIENT_DIR, tmp_path / "client", ignore=no_declarations)
    shutil.copy(HERE / "tsconfig.json", tmp_path)
    tsc("--project", tmp_path)
    kept = {path.name for path in CLIENT_DIR.glob("*.d.ts")} - {"api.d.ts"}
    assert kept == {"attention.d.ts", "feed-client.d.ts", "ids.d.ts", "problem.d.ts"}
    for name in kept:
        made = (tmp_path / "declarations" / name).read_text()
        assert (CLIENT_DIR / name).read_text() == made, (
            f"npm run types in {HERE.name} renews {name}"
        )


def test_a_packed_client_is_imported_and_typed_as_its_users_do(run, tsc, tmp_path):
    project = installed_client(run, tmp_path)
    program = (
        'import { FeedClient } from "feed-client"; import * as seen from "feed-client/attention";'
        'new FeedClient({ userId: "reader-1" }).close();'
        "console.log(Object.keys(seen).sort().join())"
    )
    assert run("node", "-e", program, cwd=project).strip() == "DwellTimer,ImpressionTracker"
    shutil.copy(HERE / "usage.mts", project)
    tsc(
        *("--strict", "--noEmit", "--target", "es2022", "--module", "nodenext"),
        *("--lib", "es2022,dom", "usage.mts"),
        cwd=project,
    )


def test_the_package_holds_the_client_and_nothing_else(run):
    (packed,) = json.loads(run("npm", "pack", "--dry-run", "--json", cwd=CLIENT_DIR))
    names = {entry["path"] for entry in packed["files"]}
    assert names == {path.name for path in CLIENT_DIR.iterdir()}
    assert {"feed-client.js", "feed-client.d.ts", "attention.js", "README.md", "LICENSE"} <= names


def test_the_package_has_the_version_and_licence_of_feed_and_needs_nothing():
    version = re.search(r'^version = "(.*)"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert version
    assert PACKAGE["version"] == version[1]
    assert PACKAGE["license"] == "MIT"
    assert (CLIENT_DIR / "LICENSE").read_text() == (ROOT / "LICENSE").read_text()
    assert not {"dependencies", "peerDependencies", "scripts"} & PACKAGE.keys()
    for target in PACKAGE["exports"].values():
        paths = [target] if isinstance(target, str) else target.values()
        assert all((CLIENT_DIR / path).is_file() for path in paths)


@pytest.mark.parametrize("directory", [HERE, ROOT / "tests" / "desk"], ids=lambda path: path.name)
def test_a_lock_has_hashes_and_no_address(directory):
    lock = json.loads((directory / "package-lock.json").read_text())
    packages = [entry for name, entry in lock["packages"].items() if name]
    assert all(entry["integrity"].startswith("sha512-") for entry in packages)
    assert not any("resolved" in entry for entry in packages)


@pytest.mark.parametrize("interface", INTERFACES)
def test_the_types_name_the_fields_of_the_api(interface):
    model = INTERFACES[interface]
    fields = declared_fields(interface)
    if isinstance(model, type) and issubclass(model, BaseModel):
        told = model.model_json_schema(mode="serialization")["properties"]
        nullable = {
            name for name, rule in told.items() if {"type": "null"} in rule.get("anyOf", [])
        }
        assert nullable == {name for name, text in fields.items() if "null" in text}
    else:
        told = model.__annotations__
    assert fields.keys() == told.keys()


@pytest.mark.parametrize(
    ("words", "pattern"),
    [
        (EventKind, r"export type EventKind =\n(.*?);"),
        (Mode, r"export type FeedMode = (.*?);"),
        (Rung, r"mode_served: (.*?);"),
    ],
)
def test_the_types_name_the_words_of_the_api(words: type[StrEnum], pattern: str):
    declared = re.search(pattern, API, re.DOTALL)
    assert declared
    assert set(re.findall(r'"(\w+)"', declared[1])) == {word.value for word in words}


@pytest.mark.parametrize("path", sorted(CLIENT_DIR.glob("*.js")), ids=lambda path: path.name)
def test_a_module_of_the_client_stays_readable_and_says_what_it_holds(path):
    text = path.read_text()
    assert text.startswith("/**\n * ")
    assert f"@module {path.stem}" in text
    assert len(text.splitlines()) <= MOST_LINES
