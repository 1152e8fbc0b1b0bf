"""The least a Flask service can do: answer with ready-made bytes. A floor for bench_serving."""

from __future__ import annotations

import os
from pathlib import Path

from flask import Flask, Response

application = Flask(__name__)
_ANSWER = Path(os.environ["BENCH_ANSWER"]).read_bytes() if "BENCH_ANSWER" in os.environ else b"{}"


@application.get("/")
def answer() -> Response:
    """Return the bytes."""
    return Response(_ANSWER, mimetype="application/json")
