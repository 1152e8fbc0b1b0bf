"""Publishes models without end, as a trainer that never sleeps; made to be killed.

Run as `python -m faults.trainer MODELS_DIR NAME COUNT`: versions NAME-0, NAME-1 ...
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from feed.domain import ConflictError, NotFoundError
from feed.models.registry import ModelRegistry
from lab.faults.bundles import LOUD, tellable_bundle

ARTICLES = 20_000
KEPT = 5
PAUSE_S = 0.5


def main() -> None:
    """Publish, make live and prune, COUNT times."""
    registry = ModelRegistry(Path(sys.argv[1]))
    name, count = sys.argv[2], int(sys.argv[3])
    bundle_ids = [f"article-{n:05d}" for n in range(ARTICLES)]
    for number in range(count):
        bundle = tellable_bundle(f"{name}-{number}", bundle_ids, LOUD)
        try:
            registry.set_live(registry.publish(bundle))
        except (ConflictError, NotFoundError) as error:  # the other was faster, or deleted it
            print(error, file=sys.stderr)
        registry.prune(KEPT)
        time.sleep(PAUSE_S)


if __name__ == "__main__":
    main()
