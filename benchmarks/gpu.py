"""All that a GPU's speed is made of, as one table: `python -m benchmarks.gpu` (or `make bench-gpu`). Needs torch, no network.

Ratios are of one run, against PyPI's `segment-anything` and a plain loop of its predictor with a full-frame clicker (left out where
it is not installed). Weights are random and made on the device (`gpu_world`). `--devices cpu --quick` tries the script out: what it
prints then are times of a toy.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import torch

from benchmarks.gpu_measuring import Row, Setup, choose, forget, line, setup_of
from benchmarks.gpu_models import compiled_rows, decoder_rows, encoder_rows, precision_rows
from benchmarks.gpu_tasks import automatic_rows, point_rows
from benchmarks.gpu_workers import worker_rows

PARTS: dict[str, Callable[[Setup], Iterator[Row]]] = {
    "precision": precision_rows,
    "encoder": encoder_rows,
    "decoder": decoder_rows,
    "point": point_rows,
    "automatic": automatic_rows,
    "workers": worker_rows,
    "compiled": compiled_rows,  # last: compiling takes about a minute
}


def main(argv: list[str]) -> int:
    """Measure, and print each row when it is there."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__.partition("\n\n")[0])
    parser.add_argument("--devices", default="cuda:0", help="one device of torch's: cuda:0, or cpu with --quick")
    parser.add_argument("--quick", action="store_true", help="a toy model and one round: to see that the script runs")
    parser.add_argument("--only", choices=list(PARTS), action="append", help="this part; may be repeated")
    parser.add_argument("--json", type=Path, help="the rows, also as a file")
    flags = parser.parse_args(argv)
    if flags.devices.startswith("cuda") and not torch.cuda.is_available():
        print(f"there is no device {flags.devices!r} that torch {torch.__version__} can use; to try the script out: "
              "python -m benchmarks.gpu --devices cpu --quick", file=sys.stderr)  # fmt: skip
        return 2
    setup = setup_of(flags.devices, quick=flags.quick)
    choose(setup)
    name = torch.cuda.get_device_name(flags.devices) if setup.kind == "cuda" else "the CPU"
    print(f"{name}, torch {torch.__version__}, {setup.arch}{', a toy: no figure of it means anything' if flags.quick else ''}\n")
    print(f"{'':<74}{'ours':>9} {'':<9}{'peer':>9}{'ratio':>9}  goal")
    rows = []
    for part in flags.only or PARTS:
        for row in PARTS[part](setup):
            print(line(row), flush=True)
            rows.append({**vars(row), "ratio": row.ratio})
        forget(setup)
    if flags.json is not None:
        flags.json.write_text(json.dumps({"device": name, "torch": torch.__version__, "rows": rows}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
