"""All golden files, and how each is made."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.protocol import golden, golden_custody, golden_directory, golden_hostile, golden_link, golden_seal

FOLDER = Path(__file__).parents[1] / "vectors"
FILES: dict[str, Callable[[], dict[str, Any]]] = {
    "wire.json": golden.build,
    "hostile.json": golden_hostile.build,
    "link.json": golden_link.build,
    "custody.json": golden_custody.build,
    "directory.json": golden_directory.build,
    "seal.json": golden_seal.build,
}


def write() -> None:
    for name, build in FILES.items():
        text = json.dumps(build(), indent=2, ensure_ascii=False)
        (FOLDER / name).write_text(text + "\n", encoding="utf-8")
