"""The network of a site of several hosts: what is cut off gets nothing, what is healed does."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from lab.hosts.network import missing

TRIED = """
import http.client, sys, time
from pathlib import Path
from lab.faults.installation import wait_until
from lab.hosts.network import Network

def reaches(host, timeout_s=1.0):
    connection = http.client.HTTPConnection(host.address, 8000, timeout=timeout_s)
    try:
        connection.request("HEAD", "/")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()

with Network() as network:
    one = network.add("one")
    command = [sys.executable, "-m", "http.server", "8000", "--bind", one.address]
    one.run(command, Path(sys.argv[1]))
    wait_until(lambda: reaches(one), "the host to answer")
    network.cut("one")
    assert not reaches(one)
    network.slow("one", 200.0, 0.0)
    assert not reaches(one, 0.1)
    wait_until(lambda: reaches(one, 10.0), "the slow host to answer")
    network.heal("one")
    wait_until(lambda: reaches(one), "the healed host to answer")
    one.kill()
    assert not reaches(one)
    print("all as it should be")
"""


def test_hosts_are_cut_off_slowed_and_healed(tmp_path):
    if missing():
        pytest.skip(missing())
    command = [sys.executable, "-c", TRIED, str(tmp_path / "log")]
    scripts = Path(__file__).parents[2] / "scripts"
    done = subprocess.run(
        command,
        env=os.environ | {"PYTHONPATH": str(scripts)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.stdout == "all as it should be\n", done.stderr
