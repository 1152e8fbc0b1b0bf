"""Readings of the archive hold no thread that readers need; one price is computed at a time."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from feed.config import RankingConfig, Settings
from feed.domain import ArchiveError, ConflictError
from feed.service import front_page_desk
from feed.service.front_page_desk import FrontPageDesk


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path)


class SlowArchive:
    """Answers with the number of the question; from the second on only when it is let go."""

    def __init__(self) -> None:
        self.asked, self.go = 0, threading.Event()

    def __call__(self, module: str, question: Any, limit_s: float) -> dict[str, Any]:
        del module, question, limit_s
        self.asked += 1
        if self.asked > 1:
            self.go.wait(10)
        return {"number": self.asked}


def test_who_comes_while_the_archive_is_read_gets_the_last_reading(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(front_page_desk, "PATIENCE_S", 0.01)
    now, archive = [0.0], SlowArchive()
    desk = FrontPageDesk(settings, lambda: now[0], archive)
    assert desk.read(1.0) == {"number": 1}
    now[0] = 60.0
    with ThreadPoolExecutor() as pool:
        first = pool.submit(desk.read, 1.0)
        while archive.asked < 2:
            time.sleep(0.001)
        assert desk.read(1.0) == {"number": 1}
        with pytest.raises(ArchiveError, match="for somebody else"):
            desk.read(6.0)
        archive.go.set()
        assert first.result() == {"number": 2}
    assert desk.read(6.0) == {"number": 3}


def test_of_those_who_ask_for_a_price_at_once_one_gets_it(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[str] = []
    look = FrontPageDesk.price

    def look_slowly(desk: FrontPageDesk) -> dict[str, Any] | None:
        found = look(desk)
        time.sleep(0.02)
        return found

    monkeypatch.setattr(FrontPageDesk, "price", look_slowly)
    desks = [
        FrontPageDesk(settings, lambda: 0.0, start=lambda module, *_: started.append(module))
        for _ in range(8)
    ]
    together = threading.Barrier(len(desks))

    def ask(desk: FrontPageDesk) -> bool:
        together.wait()
        try:
            desk.start_price([], RankingConfig())
        except ConflictError:
            return False
        return True

    with ThreadPoolExecutor(len(desks)) as pool:
        assert sum(pool.map(ask, desks)) == 1
    assert len(started) == 1


@pytest.mark.parametrize("text", ["[]", "7", "null", "{}"])
def test_a_price_file_of_another_form_is_no_price(settings: Settings, text: str) -> None:
    (settings.data_dir / "desk").mkdir()
    (settings.data_dir / "desk" / "limit-price.json").write_text(text)

    assert FrontPageDesk(settings, lambda: 0.0).price() is None
