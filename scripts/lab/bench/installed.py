"""Hides from the processes of a benchmark what only the laboratory's environment has.

Some libraries import others wherever they find them: LightGBM imports pandas, 40 MB in each
process, which no installation has. What `requirements-image.lock` does not name cannot be imported.
"""

from __future__ import annotations

import os
import re
import tempfile
from importlib.metadata import packages_distributions
from pathlib import Path

ROOT = Path(__file__).parents[3]
_OWN = {"feed", "pip", "setuptools"}


def path_without_extras(*kept: str) -> str:
    """Return a PYTHONPATH with which Python starts as an installation from the lock does.

    Args:
        kept: modules that are beyond the lock and can be imported nevertheless.
    """
    folder = Path(tempfile.gettempdir()) / "-".join(["feed-bench-installed", *kept])
    folder.mkdir(exist_ok=True)
    hidden = sorted(modules_beyond(ROOT / "requirements-image.lock") - set(kept))
    text = f"import sys\n\nsys.modules.update(dict.fromkeys({hidden!r}))\n"
    (folder / "sitecustomize.py").write_text(text)
    return os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])


def modules_beyond(lock: Path) -> set[str]:
    """Return the top-level modules of installed packages that a lock file does not name."""
    locked = set(re.findall(r"^([\w.-]+)==", lock.read_text(), re.MULTILINE)) | _OWN
    return {
        module
        for module, packages in packages_distributions().items()
        if not module.startswith("_") and not {_normal(name) for name in packages} & locked
    }


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
