"""docker-compose.yml and the Dockerfile, read as the engines would read them."""

from __future__ import annotations

import re
import shlex
from dataclasses import fields
from pathlib import Path

import pytest
import yaml

from feed.cli import COMMANDS
from feed.config import Settings

ROOT = Path(__file__).parent.parent
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES = COMPOSE["services"]
OURS = ("web", "worker", "trainer")
DOCKERFILE = (ROOT / "Dockerfile").read_text()
IGNORED = (ROOT / ".dockerignore").read_text().splitlines()


def settings_named(text: str) -> set[str]:
    return set(re.findall(r"FEED_[A-Z_]+", text))


def test_it_runs_a_store_the_web_a_worker_and_a_trainer():
    assert set(SERVICES) == {"store", *OURS}


def test_every_variable_is_a_setting():
    known = {f"FEED_{f.name.upper()}" for f in fields(Settings)}
    assert settings_named((ROOT / "docker-compose.yml").read_text()) <= known
    assert settings_named(DOCKERFILE) <= known


def test_the_store_keeps_what_it_acknowledges_and_forgets_nobody():
    words = SERVICES["store"]["command"]
    options = dict(zip(words[1::2], words[2::2], strict=True))
    assert options["--appendonly"] == "yes"
    assert options["--maxmemory-policy"] == "noeviction"
    assert any(volume.endswith(":/data") for volume in SERVICES["store"]["volumes"])


@pytest.mark.parametrize("name", OURS)
def test_our_services_wait_for_the_store_share_the_data_and_have_no_needless_rights(name):
    service = SERVICES[name]
    assert service["depends_on"]["store"]["condition"] == "service_healthy"
    assert service["environment"]["FEED_REDIS_URL"] == "redis://store:6379/0"
    assert service["environment"]["FEED_DATA_DIR"] == "/data"
    assert "data:/data" in service["volumes"]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]


@pytest.mark.parametrize("name", ["store", "web", "worker"])
def test_long_running_services_have_a_health_check(name):
    check = SERVICES[name]["healthcheck"]
    assert check["test"][0] == "CMD"
    assert check["interval"]
    assert check["retries"] >= 3


def test_every_command_exists():
    used = {SERVICES["web"]["command"][0], SERVICES["worker"]["command"][0]}
    used |= {SERVICES[name]["healthcheck"]["test"][2] for name in ("web", "worker")}
    used |= set(re.findall(r"\bfeed ([a-z]+)", SERVICES["trainer"]["command"][0]))
    used.add(re.search(r'CMD \["(\w+)"\]', DOCKERFILE)[1])
    assert used == {"serve", "worker", "health", "retrain"}
    assert used <= set(COMMANDS)


def test_the_web_is_open_to_this_machine_alone_and_wants_keys():
    assert SERVICES["web"]["environment"]["FEED_HOST"] == "0.0.0.0"  # inside its own network
    assert SERVICES["web"]["ports"] == ["127.0.0.1:${FEED_PORT:-8000}:8000"]
    assert SERVICES["web"]["environment"]["FEED_API_KEYS"].startswith("${FEED_API_KEYS:?")


def test_our_services_read_every_setting_of_the_file_beside_it():
    for name in OURS:
        assert SERVICES[name]["env_file"] == [{"path": ".env", "required": False}]


def test_the_workers_metrics_are_open_to_this_machine_alone():
    assert SERVICES["worker"]["environment"]["FEED_WORKER_METRICS_PORT"] == "9464"
    assert SERVICES["worker"]["ports"] == ["127.0.0.1:${FEED_WORKER_METRICS_PORT:-9464}:9464"]


def test_every_volume_is_declared():
    mounted = {v.split(":")[0] for s in SERVICES.values() for v in s.get("volumes", [])}
    assert mounted == set(COMPOSE["volumes"])


def test_the_image_copies_only_what_is_there_and_is_not_ignored():
    copied = [
        source
        for line in re.findall(r"^COPY (.+)$", DOCKERFILE, re.MULTILINE)
        for source in shlex.split(line)[:-1]
    ]
    assert copied
    for source in copied:
        assert (ROOT / source).exists()
        assert f"!{source.removeprefix('./')}" in IGNORED


def test_the_image_is_installed_by_the_steps_of_the_demo_and_does_not_run_as_root():
    steps = re.findall(r"^RUN \. scripts/environment.sh && (\w+) (.+)$", DOCKERFILE, re.MULTILINE)
    assert steps == [
        ("create_environment", "/opt/feed requirements-image.lock python3"),
        ("install_project", "/opt/feed/bin/python ."),
    ]
    demo = (ROOT / "scripts" / "environment.sh").read_text()
    assert all(f"\n    {name} " in demo for name, _ in steps)
    assert "pip install" not in DOCKERFILE
    assert re.search(r"^USER feed$", DOCKERFILE, re.MULTILINE)
    assert "libgomp1" in DOCKERFILE
