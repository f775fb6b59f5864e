"""How long `sambench --help` takes, whole process, against the limit of 0.3 s.

python benchmarks/bench_startup.py
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

LIMIT_MS = 300.0


def _wall_ms(command: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return (time.perf_counter() - start) * 1e3


def main(rounds: int = 5) -> list[dict[str, Any]]:
    """Rows (name, ours_ms, peer_ms, ratio, equal, bar): medians of wall times; the peer is the limit, so the bar is a ratio of 1.

    The second row says how much of it is Python's own start.
    """
    script = Path(sys.executable).with_name("sambench")
    ours = [str(script)] if script.exists() else [sys.executable, "-m", "sambench"]
    bare = [sys.executable, "-c", "pass"]
    _wall_ms([*ours, "--help"])  # byte code is written on the first start
    times = [(_wall_ms([*ours, "--help"]), _wall_ms(bare)) for _ in range(rounds)]
    help_ms, bare_ms = (statistics.median(t[i] for t in times) for i in (0, 1))
    return [
        {"name": "sambench --help, against the limit", **_against(help_ms), "bar": 1.0},
        {"name": "python -c pass, against the limit", **_against(bare_ms), "bar": None},
    ]


def _against(ms: float) -> dict[str, Any]:
    return {"ours_ms": ms, "peer_ms": LIMIT_MS, "ratio": LIMIT_MS / ms, "equal": True}


if __name__ == "__main__":
    for line in main():
        print(json.dumps({k: round(v, 3) if isinstance(v, float) else v for k, v in line.items()}))
