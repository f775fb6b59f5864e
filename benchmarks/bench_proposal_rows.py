"""Metrics of stored proposals, shard by shard, against all objects' rows in one frame. python -m benchmarks.run proposal_rows

    python -m benchmarks.bench_proposal_rows 4500     # 18 million proposals, as of LVIS: some minutes

A cell of four images a shard, 1000 proposals an image, is written and read back by processes of their own, whose peak of
memory counts. The row is equal if both give the same metric rows, and ours grows by less than 64 bytes an object and reference set.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

SHARDS = 150
IMAGES, PROPOSALS, OBJECTS = 4, 1000, 13  # LVIS: 244,707 masks in 18,000 images with any
MOST_BYTES = 64 * 3  # an object: it is in all, in one of the sizes, and in one of the frequencies


def main(n_shards: int = SHARDS) -> list[dict[str, Any]]:
    """One row: CPU time of the metrics of all shards; the name has the peaks at a quarter of the shards and at all."""
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), n_shards)
        quarter, whole = (_apart(folder, n_shards, n, "ours") for n in (n_shards // 4, n_shards))
        peer = _apart(folder, n_shards, n_shards, "frame")
    grown = whole["peak"] - quarter["peak"]
    more = (n_shards - n_shards // 4) * IMAGES * OBJECTS
    mb = [f"{found['peak'] / 1e6:.0f}" for found in (quarter, whole, peer)]
    peaks = f"peak {mb[0]} MB at {n_shards // 4} shards, {mb[1]} at all, {mb[2]}"
    return [
        {
            "name": f"proposals folded: {n_shards * IMAGES * PROPOSALS:,} in {n_shards} shards, {peaks} in one frame",
            "ours_ms": whole["ms"],
            "peer_ms": peer["ms"],
            "ratio": peer["ms"] / whole["ms"],
            "equal": whole["rows"] == peer["rows"] and grown < MOST_BYTES * more + (16 << 20),
            "bar": None,
        }
    ]


def write(folder: Path, n_shards: int) -> None:
    """The shards, with masks as long as COCO's are."""
    from sambench.metrics.proposals import FREQUENCY_SETS
    from sambench.store.shards import ImageState, Shard

    store = _store(folder, n_shards)
    store.folder.mkdir()
    rng = np.random.default_rng(0)
    texts = ["".join(map(chr, rng.integers(48, 112, 120))) for _ in range(64)]
    for n in range(n_shards):
        shard = Shard({}, {})
        for image in store.members(n):
            shared = {"image_id": image, "cluster_id": image, "height": 480, "width": 640, "status": "ok"}
            proposal = {**shared, "kind": "proposal"}
            rows = [{**proposal, "rank": k, "score": 1 / (k + 1), "mask_rle": texts[k % 64]} for k in range(PROPOSALS)]
            for g in range(OBJECTS):
                ranks = np.sort(rng.integers(-1, PROPOSALS, 10)).tolist()
                letter = list(FREQUENCY_SETS)[g % 3]
                size = ("small", "medium", "large")[g % 3]
                kinds = {f"ranks_{name}": ranks for name in ("all", size, letter)}
                rows.append({**shared, "kind": "object", "object_id": str(g), **kinds})
            shard.images[image], shard.rows[image] = ImageState("ok", OBJECTS), rows
        store.write(n, shard)


def _store(folder: Path, n_shards: int) -> Any:
    from sambench.schema import PROPOSAL_COLUMNS
    from sambench.store.shards import ShardStore

    return ShardStore(folder, [f"im{i:06d}" for i in range(n_shards * IMAGES)], IMAGES, PROPOSAL_COLUMNS)


def _apart(folder: str, n_shards: int, read: int, how: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.bench_proposal_rows", "--measure", folder, str(n_shards), str(read), how]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def measure(folder: str, n_shards: int, read: int, how: str) -> None:
    """In a process of its own: the metric rows of the first `read` shards, the time they took, and the peak of memory."""
    import resource

    from sambench import tasks
    from sambench.store.metric_rows import StoredRows
    from sambench.tasks.summary import Bootstrap

    store, task = _store(Path(folder), n_shards), tasks.build("proposals")
    rows = StoredRows(task, store, store.image_ids[: read * IMAGES])
    start = time.process_time_ns()
    found = task.reduce_stored(rows, Bootstrap()) if how == "ours" else task.reduce(rows.frame(), Bootstrap())
    ms = (time.process_time_ns() - start) / 1e6
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"rows": found, "ms": ms, "peak": peak}))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        measure(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), sys.argv[5])
    else:
        print(main(*map(int, sys.argv[1:])))
