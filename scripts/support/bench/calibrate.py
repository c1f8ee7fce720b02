"""What the machine can do just now, and what the interpreter is: figures mean little without them.

The same commit has given 19,000 and 36,000 messages/s within one hour, by what else ran on the host. A calibration
before and after tells whether that changed meanwhile; the ratios of `--against` stay.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any, Final

PACE_S: Final = 0.020  #: between two syncs: a disk that is left alone answers later than one kept busy
_LOOPS: Final = 5
_TURNS: Final = 400_000

# Run by the interpreter that it asks about.
_ASK: Final = """
import json, platform, sqlite3, sys, sysconfig
given = sysconfig.get_config_var("CONFIG_ARGS") or ""
print(json.dumps({
    "python": platform.python_version(),
    "implementation": platform.python_implementation(),
    "compiler": platform.python_compiler(),
    "pgo": "--enable-optimizations" in given,
    "lto": "--with-lto" in given,
    "debug": bool(sysconfig.get_config_var("Py_DEBUG")),
    "free_threaded": bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
    "sqlite": sqlite3.sqlite_version,
}))
"""


def interpreter(python: str) -> dict[str, Any]:
    """Version, compiler and build options of an interpreter."""
    done = subprocess.run([python, "-I", "-c", _ASK], capture_output=True, text=True, check=True)
    facts: dict[str, Any] = json.loads(done.stdout)
    return facts


def calibrate(where: str | None, syncs: int) -> dict[str, float]:
    """A fixed loop of pure Python, and `syncs` writes to the disk of that directory, PACE_S apart; milliseconds.

    More wall time than CPU time means that others had the core.
    """
    walls, cpus = zip(*(_loop_ms() for _ in range(_LOOPS)), strict=True)
    waits = sorted(_sync_ms(where, syncs))
    return {
        "loop_wall_ms": round(statistics.median(walls), 1),
        "loop_cpu_ms": round(statistics.median(cpus), 1),
        "loop_wall_ms_worst": round(max(walls), 1),
        "fdatasync_ms_p50": round(statistics.median(waits), 3),
        "fdatasync_ms_p99": round(waits[int(0.99 * len(waits))], 3),
    }


def _loop_ms() -> tuple[float, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    table: dict[int, int] = {}
    total = 0
    for number in range(_TURNS):
        key = number * 2654435761 & 0xFFF
        table[key] = table.get(key, 0) + 1
        total += table[key] ^ number
    return (time.perf_counter() - wall) * 1e3, (time.process_time() - cpu) * 1e3


def _sync_ms(where: str | None, syncs: int) -> list[float]:
    # macOS has no fdatasync.
    sync = getattr(os, "fdatasync", os.fsync)
    page, waits = os.urandom(4096), []
    with tempfile.TemporaryDirectory(prefix="waypost-bench-", dir=where) as folder:
        file = os.open(Path(folder) / "sync", os.O_CREAT | os.O_WRONLY, 0o600)
        try:
            for _ in range(syncs):
                time.sleep(PACE_S)
                os.write(file, page)
                begun = time.perf_counter()
                sync(file)
                waits.append((time.perf_counter() - begun) * 1e3)
        finally:
            os.close(file)
    return waits
