"""All benchmarks, side by side: `python -m benchmarks.run [NAME ...]`, NAME being what follows `bench_` in a file's name.

Every `bench_*.py` beside this file has `main() -> list of rows` with name, ours_ms, peer_ms, ratio, equal or maxdiff, and bar (the
ratio that is promised, or None). Exit code 1 where a row is below its bar or not equal to its peer.
"""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path
from typing import Any

HEADER = ("benchmark", "ours ms", "peer ms", "ratio", "bar", "equal", "max diff")


def names() -> list[str]:
    """What can be run, in alphabetical order."""
    return sorted(p.stem.removeprefix("bench_") for p in Path(__file__).parent.glob("bench_*.py"))


def holds(row: dict[str, Any]) -> bool:
    """Whether a row keeps what is promised: fast enough, and the same results."""
    return (row.get("bar") is None or row["ratio"] >= row["bar"]) and row.get("equal", True) is not False


def line(row: dict[str, Any]) -> tuple[str, ...]:
    """One row as text, by column."""
    bar, equal, maxdiff = row.get("bar"), row.get("equal"), row.get("maxdiff")
    return (
        row["name"],
        f"{row['ours_ms']:.3g}" if row["ours_ms"] < 1000 else f"{row['ours_ms']:.0f}",
        f"{row['peer_ms']:.3g}" if row["peer_ms"] < 1000 else f"{row['peer_ms']:.0f}",
        f"{row['ratio']:.2f}x",
        "" if bar is None else f"{bar:g}x {'ok' if holds(row) else 'MISSED'}",
        "" if equal is None else ("yes" if equal else "NO"),
        "" if maxdiff is None else f"{maxdiff:.1e}",
    )


def show(lines: list[tuple[str, ...]]) -> None:
    """An aligned table on the standard output."""
    widths = [max(len(cells[i]) for cells in lines) for i in range(len(HEADER))]
    for cells in lines:
        first = cells[0].ljust(widths[0])
        print("  ".join([first, *(c.rjust(w) for c, w in zip(cells[1:], widths[1:], strict=True))]).rstrip())


def main(argv: list[str]) -> int:
    """Run the benchmarks named (default: all) and print their rows."""
    known = names()
    wrong = [name for name in argv if name not in known]
    if wrong:
        print(f"unknown benchmark {', '.join(wrong)}; there are: {', '.join(known)}", file=sys.stderr)
        return 2
    # As the engine's processes run; BLAS reads these when numpy is loaded, and CPU times would count its waiting threads.
    for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(variable, "1")
    rows: list[dict[str, Any]] = []
    for name in argv or known:
        print(f"running {name} ...", file=sys.stderr, flush=True)
        rows += importlib.import_module(f"benchmarks.bench_{name}").main()
    show([HEADER, *(line(r) for r in rows)])
    return 0 if all(holds(r) for r in rows) else 1


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
