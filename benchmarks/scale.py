"""How long a run takes on many devices: the scheduler as a discrete-event model, calibrated by what was measured.

python -m benchmarks.scale [--out docs/pictures/scale.svg]

What is simulated is what `sambench.engine.worker` does: every worker goes through the shards of one dataset after the other, takes
what nobody holds, and waits at the end for what others hold; a device that is lost leaves its lease until that is stale, and its
images to the others; the command that began it finishes every cell by itself. The costs of a lease, a look and a finished cell are
measured here, on this machine; an image's time is that of `sambench.device.forecast` (one H200, the lesser of its two figures:
short images ask most of a scheduler). What is assumed is a field of `Costs` whose comment says so.
"""

from __future__ import annotations

import argparse
import heapq
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from sambench import cards
from sambench.device.forecast import MEASURED, WEIGHTS_BYTES
from sambench.engine.plan import SHARD_SIZE
from sambench.store.leases import STALE_S, try_lease
from sambench.store.shards import ImageState, Shard, ShardStore

DEVICES = (1, 8, 64, 512)
REQUEST_S = 0.03
MODEL, PRECISION = "sam_vit_h", "bf16"


@dataclass(frozen=True)
class Costs:
    """Seconds, of one worker. lease: taking and giving back; write: a shard; skip: a look at a shard that is done or held.

    finish: a cell's metrics and digests, an image; start: until a process has built the model from a file that is on its node.
    """

    lease: float
    write: float
    skip: float
    finish: float
    # Assumed: 20 s for Python, CUDA and the weights from a local disk; they come to each node over 1 GB/s.
    start: float = 20.0
    fetch: float = WEIGHTS_BYTES[MODEL] / 1e9
    # Assumed: an image's time varies by a third; one device in fifty is three times slower.
    spread: float = 0.33
    slow_share: float = 0.02
    slow_times: float = 3.0
    # Devices that are lost half-way through their share.
    lost: int = 0
    stale: float = STALE_S


@dataclass(frozen=True)
class Cell:
    """A dataset: images, and the mean seconds of one."""

    name: str
    images: int
    image_s: float

    @property
    def shards(self) -> int:
        return -(-self.images // SHARD_SIZE)


@dataclass
class Result:
    """Seconds from the command to its table, by what went by with it. busy: of all devices, on images that counted."""

    devices: int
    total: float
    computed: float
    first: float
    busy: float
    failed: int
    lost: float = 0.0
    workers_end: list[float] = field(default_factory=list)

    @property
    def efficiency(self) -> float:
        return self.busy / (self.devices * self.total)


def sa23() -> list[Cell]:
    """The suite's datasets with the paper's numbers."""
    known = MEASURED[MODEL][PRECISION]
    an_object = (known.object_ms(0.0) or 0.0) / 1e3
    found = []
    for member in cards.suite_cards()["sa23"].members:
        paper = cards.dataset_card(member).paper
        if paper is not None:
            found.append(Cell(member, paper.images, known.encode_ms / 1e3 + an_object * paper.masks / paper.images))
    return found


def simulate(cells: Sequence[Cell], devices: int, costs: Costs, seed: int = 0) -> Result:
    """One run. Deterministic for a seed."""
    rng = np.random.default_rng(seed)
    sigma = np.sqrt(np.log1p(costs.spread**2))
    # An image's time is its own, whichever device takes it.
    work = [_shard_seconds(c, rng, sigma) for c in cells]
    slow = np.where(rng.random(devices) < costs.slow_share, costs.slow_times, 1.0)
    free_at = [np.zeros(len(w)) for w in work]  # when a shard's lease is free again: inf once it is done
    done_at = [np.zeros(len(w)) for w in work]
    begin = costs.fetch + costs.start  # every node fetches its own, at once
    dies = np.full(devices, np.inf)
    dies[: costs.lost] = begin + sum(float(w.sum()) for w in work) / devices / 2
    queue = [(begin, d, 0, 0, False) for d in range(devices)]
    heapq.heapify(queue)
    busy = lost = 0.0
    failed, ends = 0, []
    while queue:
        now, device, cell, shard, again = heapq.heappop(queue)
        if now >= dies[device]:
            failed += 1
            continue
        if cell == len(cells):
            open_cells = [c for c in range(len(cells)) if not np.isinf(free_at[c]).all()]
            if not open_cells:
                ends.append(now)
            else:  # it waits for what others hold
                soonest = min(free_at[c][~np.isinf(free_at[c])].min() for c in open_cells)
                heapq.heappush(queue, (max(now + 0.5, soonest), device, open_cells[0], 0, True))
            continue
        free = np.flatnonzero(free_at[cell][shard:] <= now)
        skipped = int(free[0]) if len(free) else len(work[cell]) - shard
        now += skipped * costs.skip
        if not len(free):
            heapq.heappush(queue, (now, device, cell + 1, 0, again))
            continue
        n = shard + skipped
        takes = float(work[cell][n] * slow[device])
        end = now + costs.lease + takes + costs.write
        if end > dies[device]:
            lost += dies[device] - now
            free_at[cell][n] = dies[device] + costs.stale
            heapq.heappush(queue, (float(dies[device]), device, cell, n, again))
            continue
        busy += float(work[cell][n])
        free_at[cell][n], done_at[cell][n] = end, end
        heapq.heappush(queue, (end, device, cell, n + 1, again))
        # Whoever looks before `end` finds it held, after it done: neither is free.
        free_at[cell][n] = np.inf
    computed = max(float(d.max()) for d in done_at)
    total = computed + sum(c.images for c in cells) * costs.finish
    return Result(devices, total, computed, begin, busy, failed, lost, ends)


def _shard_seconds(cell: Cell, rng: np.random.Generator, sigma: float) -> np.ndarray:
    each = cell.image_s * rng.lognormal(-(sigma**2) / 2, sigma, cell.shards * SHARD_SIZE)
    each[cell.images :] = 0.0
    return each.reshape(cell.shards, SHARD_SIZE).sum(axis=1)


def measured(n: int = 40, objects: int = 35) -> Costs:
    """The scheduler's costs on this machine's disk: medians."""
    columns = {"image_id": "string", "value": "double", "mask": "string", "shard": "int64"}
    rows = [{"image_id": "", "value": float(i), "mask": "x" * 200} for i in range(objects * 9)]
    with tempfile.TemporaryDirectory() as folder:
        ids = [f"im{i:06d}" for i in range(n * SHARD_SIZE)]
        store = ShardStore(Path(folder), ids, SHARD_SIZE, columns)
        store.folder.mkdir()
        leases, writes, skips = [], [], []
        for k in range(n):
            start = time.perf_counter()
            held = try_lease(store.lease_path(k))
            assert held is not None
            with held:
                taken = time.perf_counter() - start
                images = store.members(k)
                its = {i: [{**r, "image_id": i} for r in rows] for i in images}
                shard = Shard({i: ImageState("ok", objects) for i in images}, its)
                start = time.perf_counter()
                store.write(k, shard)
                writes.append(time.perf_counter() - start)
                start = time.perf_counter()
                assert try_lease(store.lease_path(k)) is None
                skips.append(time.perf_counter() - start)
                start = time.perf_counter()
            leases.append(taken + time.perf_counter() - start)
        start = time.perf_counter()
        store.table(columns=["value"])
        finish = (time.perf_counter() - start) / len(ids)
    return Costs(*(statistics.median(x) for x in (leases, writes, skips)), finish)


def main() -> None:
    """Measure, simulate, print a table, draw the figure."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, help="a picture of it: .svg or .png")
    asked = parser.parse_args()
    costs, cells = measured(), sa23()
    of = f"{len(cells)} datasets, {sum(c.images for c in cells):,} images, {sum(c.shards for c in cells):,} shards"
    print(f"{of}; {sum(c.images * c.image_s for c in cells) / 3600:.1f} hours of one device")
    ms = {name: f"{1e3 * getattr(costs, name):.2f}" for name in ("lease", "write", "skip", "finish")}
    print(f"measured here, in ms: {ms}")
    variants = {"a shared folder": costs, "an object store": store_costs(costs)}
    found = {name: [_middle(cells, d, c) for d in DEVICES] for name, c in variants.items()}
    found["a shared folder, one device lost"] = [_middle(cells, d, replace(costs, lost=1)) for d in DEVICES[1:]]
    print("| devices | results in | minutes | start | images | metrics | devices at work |\n|---|---|---|---|---|---|---|")
    for name, results in found.items():
        for r in results:
            parts = " | ".join(f"{p:.0f} s" for p in (r.first, r.computed - r.first, r.total - r.computed))
            print(f"| {r.devices} | {name} | {r.total / 60:.1f} | {parts} | {r.efficiency:.0%} |")
    if asked.out:
        draw(cells, variants, asked.out)


def store_costs(costs: Costs) -> Costs:
    """Assumed: 30 ms a request; there are four a shard: lease, look at it, write it, give the lease back."""
    return replace(costs, lease=costs.lease + 2 * REQUEST_S, write=costs.write + 2 * REQUEST_S)


def _middle(cells: Sequence[Cell], devices: int, costs: Costs) -> Result:
    """The run of median length, of five."""
    return sorted((simulate(cells, devices, costs, seed) for seed in range(5)), key=lambda r: r.total)[2]


def draw(cells: Sequence[Cell], variants: dict[str, Costs], path: Path) -> None:
    """Minutes over devices, and where they go."""
    import matplotlib

    matplotlib.use("svg" if path.suffix == ".svg" else "agg")
    import matplotlib.pyplot as plt

    many = [2**k for k in range(10)]
    plt.rcParams["svg.hashsalt"] = "scale"
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.8), layout="constrained")
    alone = sum(c.images * c.image_s for c in cells) / 60
    left.plot(many, [alone / d for d in many], "--", color="0.6", label="only the images, shared out evenly")
    for (name, costs), mark in zip(variants.items(), "os", strict=True):
        left.plot(many, [_middle(cells, d, costs).total / 60 for d in many], f"-{mark}", ms=4, label=name)
    left.set(xscale="log", yscale="log", xlabel="devices", ylabel="minutes", xticks=DEVICES, xticklabels=DEVICES)
    left.set(yticks=(minutes := [1, 3, 10, 30, 100]), yticklabels=minutes, ylim=(0.1, None))
    left.minorticks_off()
    left.legend(frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1.0))
    found = [_middle(cells, d, variants["a shared folder"]) for d in many]
    ideal = [60 * alone / r.devices for r in found]
    parts = {
        "images": ideal,
        "start, weights": [r.first for r in found],
        "leases, waiting": [r.computed - r.first - i for r, i in zip(found, ideal, strict=True)],
        "metrics": [r.total - r.computed for r in found],
    }
    shares = np.array(list(parts.values())) / [r.total for r in found]
    right.stackplot(range(len(many)), 100 * shares, labels=list(parts))
    right.set(xticks=[0, 3, 6, 9], xticklabels=DEVICES, xlim=(0, 9), ylim=(0, 100))
    right.set(xlabel="devices", ylabel="% of the time, shared folder")
    right.legend(frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)


if __name__ == "__main__":
    main()
