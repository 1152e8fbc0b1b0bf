"""What docs/front-end.md tells a newsroom's backend to do makes tokens that the service accepts."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from feed.config import Settings
from feed.service.reader_tokens import ReaderTokens

from .conftest import ROOT, find_tool

GUIDE = (ROOT / "docs" / "front-end.md").read_text()
SECRET = "a secret that the newsroom and the service share"
USER_ID = "reader-1/ä"

LANGUAGES: dict[str, tuple[str, str, Callable[[], Sequence[str]]]] = {
    "python": ("mint.py", f"print(feed_token({USER_ID!r}))", lambda: [sys.executable]),
    "js": ("mint.mjs", f"console.log(feedToken({USER_ID!r}));", lambda: [find_tool("node")]),
    "php": ("mint.php", f"echo feed_token({USER_ID!r});", lambda: ["php"]),
}


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_backend_makes_tokens_as_the_guide_says(language, tmp_path: Path):
    if language == "php" and not shutil.which("php"):
        pytest.skip("there is no PHP here")
    name, use, command = LANGUAGES[language]
    code = re.search(rf"```{language}\n(.*?)```", GUIDE, re.DOTALL)
    assert code
    opening = "<?php\n" if language == "php" else ""
    (tmp_path / name).write_text(f"{opening}{code[1]}\n{use}\n")
    made = subprocess.run(
        [*command(), str(tmp_path / name)],
        env={**os.environ, "FEED_TOKEN_SECRET": SECRET},
        check=True,
        capture_output=True,
        text=True,
    )
    tokens = ReaderTokens(replace(Settings(), token_secret=SECRET), lambda: b"\0" * 32)
    now = time.time()
    claims = tokens.verify(made.stdout.strip(), now)
    assert claims.user_id == USER_ID
    assert now < claims.expires_at <= now + 900
