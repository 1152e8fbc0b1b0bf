"""The worker class in the real server, with the oldest and the newest gunicorn allowed."""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import sys
import time
import tomllib
from collections import Counter
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.requirements import Requirement

APPLICATION = """
import os
import gunicorn

def application(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/nothing":
        start_response("204 No Content", [])
        return []
    bodies = {"/large": b"x" * 600_000, "/version": gunicorn.__version__.encode()}
    body = bodies.get(path, str(os.getpid()).encode())
    headers = [] if path == "/parts" else [("Content-Length", str(len(body)))]
    start_response("200 OK", headers)
    return [body[:2], body[2:]]
"""
CONFIG = "python:feed.service.gunicorn_config"
ROOT = Path(__file__).parents[2]
OLDEST = (ROOT / "tests" / "oldest-gunicorn.lock").read_text().split()[0].removeprefix("gunicorn==")
NEWEST = version("gunicorn")


@pytest.fixture(scope="module", params=["oldest", "newest"])
def gunicorn_version(request):
    return OLDEST if request.param == "oldest" else NEWEST


@pytest.fixture(scope="module")
def port(gunicorn_version, tmp_path_factory):
    tmp_path = tmp_path_factory.mktemp("gunicorn")
    (tmp_path / "tiny.py").write_text(APPLICATION)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    environment = {**os.environ, "FEED_PORT": str(port), "FEED_WEB": "2"}
    if gunicorn_version == OLDEST:
        environment["PYTHONPATH"] = os.pathsep.join(
            [str(installed_oldest()), *filter(None, [os.environ.get("PYTHONPATH")])]
        )
    command = [sys.executable, "-m", "gunicorn", "--config", CONFIG, "tiny:application"]
    process = subprocess.Popen(command, env=environment, cwd=tmp_path)
    try:
        wait_until(lambda: len(pids(port, 8)) == 2 or process.poll() is not None)
        assert process.poll() is None, f"gunicorn {gunicorn_version} ended"
        yield port
    finally:
        process.terminate()
        process.wait(30)


def installed_oldest():
    """Return the directory into which scripts/test installs tests/oldest-gunicorn.lock."""
    directory = Path(sys.prefix) / "oldest-gunicorn"
    assert directory.is_dir(), "scripts/test makes the environment that these tests need"
    return directory


def pids(port, count):
    """Return how many of `count` connections, open at once, each process took."""
    connections = [http.client.HTTPConnection("127.0.0.1", port, timeout=10) for _ in range(count)]
    try:
        return Counter(ask(connection, "/") for connection in connections)
    except OSError:
        return Counter()
    finally:
        for connection in connections:
            connection.close()


def ask(connection, path):
    connection.request("GET", path)
    return connection.getresponse().read()


def wait_until(condition):
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def test_the_project_allows_the_versions_from_the_oldest_to_the_newest_tried():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    allowed = next(
        requirement.specifier
        for requirement in map(Requirement, project["dependencies"])
        if requirement.name == "gunicorn"
    )
    assert {str(bound) for bound in allowed} == {f">={OLDEST}", f"<={NEWEST}"}


def test_the_server_has_the_version_under_test(port, gunicorn_version):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    assert ask(connection, "/version").decode() == gunicorn_version
    connection.close()


def test_kept_alive_connections_are_shared_out_evenly(port):
    for _ in range(3):  # the processes notice a moment later that connections are closed
        wait_until(lambda: sorted(pids(port, 8).values()) == [4, 4])


def test_the_fewest_connections_are_those_of_a_living_process():
    program = (
        "from types import SimpleNamespace as Worker\n"
        "from feed.service import gunicorn_config, gunicorn_worker as shared\n"
        "dead, living = Worker(age=3, pid=1), Worker(age=4, pid=2)\n"
        "shared._put(dead.age, 1 + 0)\n"
        "shared._put(living.age, 1 + 5)\n"
        "print(shared.fewest_connections())\n"
        "gunicorn_config.child_exit(None, dead)\n"
        "print(shared.fewest_connections())\n"
    )
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert said.stdout.split() == [b"0", b"5"]


def test_a_process_that_fails_at_its_start_leaves_no_files_and_the_next_one_waits(tmp_path):
    program = (
        "import time\n"
        "from types import SimpleNamespace as Worker\n"
        "from feed.service import gunicorn_config\n"
        "now, slept = [100.0], []\n"
        "time.monotonic, time.sleep = lambda: now[0], slept.append\n"
        "for age, pid, life_s in ((1, 11, 50.0), (2, 12, 0.2), (3, 13, 50.0)):\n"
        "    gunicorn_config.pre_fork(None, Worker(age=age))\n"
        "    now[0] += life_s\n"
        "    gunicorn_config.child_exit(None, Worker(age=age, pid=pid))\n"
        "print(*slept)\n"
    )
    for pid in (11, 12, 13):
        (tmp_path / f"counter_{pid}.db").touch()
        (tmp_path / f"gauge_livemax_{pid}.db").touch()
    environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    command = [sys.executable, "-c", program]
    said = subprocess.run(command, env=environment, capture_output=True, check=True)
    assert said.stdout.split() == [b"0.0", b"0.0", b"1.0"]
    left = [path.name for path in sorted(tmp_path.glob("*_1[123].db"))]
    assert left == ["counter_11.db", "counter_13.db"]


def test_answers_of_every_shape_arrive_whole_over_one_connection(port):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    for _ in range(2):
        assert ask(connection, "/nothing") == b""
        assert ask(connection, "/large") == b"x" * 600_000
        assert ask(connection, "/parts").isdigit()
        connection.request("HEAD", "/")
        assert connection.getresponse().read() == b""
    connection.close()


def test_requests_sent_in_one_piece_are_answered_in_order(port):
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" * 3)
        received = b""
        while received.count(b"HTTP/1.1 200") < 3 or not received[-1:].isdigit():
            received += connection.recv(65_536)
    bodies = {part.rpartition(b"\r\n\r\n")[2] for part in received.split(b"HTTP/1.1 200")[1:]}
    assert len(bodies) == 1
    assert bodies.pop().isdigit()


def test_more_busy_connections_than_threads_are_all_served(port):
    connections = [http.client.HTTPConnection("127.0.0.1", port, timeout=10) for _ in range(60)]
    for _ in range(3):
        for connection in connections:
            connection.request("GET", "/")
        assert all(connection.getresponse().read().isdigit() for connection in connections)
    for connection in connections:
        connection.close()


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"M@ /v1/feed?user_id=u HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: -5\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\r\n\r\n", 400),
        (b"GET /" + b"x" * 9_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414),
        (b"GET / HTTP/1.1\r\nX: " + b"x" * 9_000 + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\n" + b"X: 1\r\n" * 101 + b"\r\n", 431),
    ],
)
def test_what_is_no_request_gets_a_problem(port, sent, status):
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(sent)
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        assert answer.headers["Content-Type"] == "application/problem+json"
        problem = json.loads(answer.read())
        assert (answer.status, problem["status"]) == (status, status)
        assert problem["detail"]


def test_a_connection_closed_by_its_client_ends_quietly(port):
    for _ in range(30):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        assert ask(connection, "/").isdigit()
        connection.close()
    assert sum(pids(port, 4).values()) == 4
