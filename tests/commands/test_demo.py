"""`feed demo` before its tour: what stands in its way is said at once."""

from __future__ import annotations

import socket

from click.testing import CliRunner

from feed.commands.demo import demo


def test_a_port_that_somebody_has_is_refused_before_anything_is_touched(tmp_path):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        data = tmp_path / "demo"
        ended = CliRunner().invoke(demo, ["--once", "--port", str(port), "--data", str(data)])
    assert ended.exit_code == 2
    assert f"port {port}: cannot be bound" in ended.output
    assert "--port" in ended.output
    assert not data.exists()
