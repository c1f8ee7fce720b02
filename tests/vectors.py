"""Finds the test vectors that others publish; they are not part of the project."""

import json
import os
from pathlib import Path
from typing import Any

import pytest


def vector_path(name: str) -> Path:
    """The file or folder of that name under $WAYPOST_VECTORS, else ../shared/vectors; skips the test where absent."""
    default = Path(__file__).parents[2] / "shared" / "vectors"
    root = Path(os.environ.get("WAYPOST_VECTORS") or default)
    if not (root / name).exists():
        pytest.skip(f"no test vectors {name} in {root}: set WAYPOST_VECTORS to the folder that holds them")
    return root / name


def load_vectors(name: str) -> Any:
    """The parsed JSON file of that name."""
    return json.loads(vector_path(name).read_text())
