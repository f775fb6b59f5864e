"""Scoring in torch against scoring in numpy: overlaps, RLE and clicks of the same answers, and a whole run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from sambench.conformance import scenes
from sambench.device.depth import deepest_of
from sambench.device.erosion import eroded
from sambench.device.masks import LogitBatch, TensorMasks
from sambench.device.runs import rle_counts
from sambench.device.scoring import Objects
from sambench.device.windows import Stack, logits_on, stacks, windows_above
from sambench.errors import DataError
from sambench.loaders.demo import Demo
from sambench.models.sam.nano import sam_nano
from sambench.models.sam.segmenter import resized_size
from sambench.pixels import depth, erosion
from sambench.pixels.candidates import DenseMasks, Geometry, LogitMasks
from sambench.pixels.region import Region
from sambench.tasks.box import BoxTask
from sambench.tasks.device_scoring import DeviceScoring
from sambench.tasks.point import PointSettings, PointTask
from sambench.tasks.prompted import Context, Target
from sambench.tasks.scoring import Answer, HostScoring, Overlaps, top_rles
from sambench.types import Instance, Prediction, Sample

GOLDEN = Path(__file__).parents[1] / "golden"
NEAR_ZERO = 1e-5  # of a logit: there the order of float32 sums may decide
SIZES = ((1, 1), (1, 90), (7, 5), (40, 64), (64, 64), (75, 100), (97, 31), (120, 160), (150, 100), (256, 256), (300, 200))


def deepest_pixels(masks: npt.NDArray[np.bool_], excluded: Sequence[tuple[int, int, int]]) -> list[depth.Deepest | None]:
    """The numpy way, one mask after the other; excluded: (mask, y, x)."""
    return [
        depth.deepest(np.ascontiguousarray(m).view(np.uint8), excluded=[(y, x) for k, y, x in excluded if k == i])
        for i, m in enumerate(masks)
    ]


@pytest.mark.parametrize("density", [0.3, 0.9, 0.99, 0.999, 1.0])
def test_deepest_pixels_are_those_of_the_exact_transform(density: float) -> None:
    rng = np.random.default_rng(int(density * 1000))
    for _ in range(25):
        h, w = (int(n) for n in rng.integers(1, 60, 2))
        masks = rng.random((4, h, w)) < density
        excluded = [(int(rng.integers(4)), int(rng.integers(-1, h + 1)), int(rng.integers(-1, w + 1))) for _ in range(3)]
        found = deepest_of(torch.from_numpy(masks), tuple(zip(*excluded, strict=True)))  # type: ignore[arg-type]
        assert found == deepest_pixels(masks, excluded)


def test_deepest_pixels_of_shapes_that_bounds_along_axes_say_little_of() -> None:
    """Discs, diamonds and diagonal bars: far from the outside along rows and columns, near to it across."""
    y, x = np.mgrid[:121, :121]
    discs = [np.hypot(y - 60, x - 60) < r for r in (3, 17.5, 58)]
    bars = [abs(y - x) < t for t in (1, 2, 9)]
    masks = np.stack([*discs, *bars, abs(y - 60) + abs(x - 60) < 50, np.ones_like(discs[0]), np.zeros_like(discs[0])])
    top = [(i, d.y, d.x) for i, d in enumerate(deepest_of(torch.from_numpy(masks))) if d is not None]
    for excluded in ([], top):  # then the first of each cannot be chosen
        places = tuple(zip(*excluded, strict=True)) if excluded else ((), (), ())
        assert deepest_of(torch.from_numpy(masks), places) == deepest_pixels(masks, excluded)  # type: ignore[arg-type]


def test_lookups_in_parts_find_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    masks = np.random.default_rng(1).random((3, 50, 70)) < 0.995
    monkeypatch.setattr("sambench.device.depth._MOST_LOOKUPS", 100)
    assert deepest_of(torch.from_numpy(masks)) == deepest_pixels(masks, [])


def test_masks_in_parts_have_the_same_deepest_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    masks = np.random.default_rng(2).random((5, 40, 30)) < 0.99
    top = [(i, d.y, d.x) for i, d in enumerate(deepest_of(torch.from_numpy(masks))) if d is not None]
    monkeypatch.setattr("sambench.device.depth._MOST_PIXELS", 2 * 40 * 30)
    assert deepest_of(torch.from_numpy(masks), tuple(zip(*top, strict=True))) == deepest_pixels(masks, top)  # type: ignore[arg-type]


def test_deepest_of_nothing() -> None:
    assert deepest_of(torch.zeros(2, 3, 4, dtype=torch.bool)) == [None, None]
    assert deepest_of(torch.zeros(2, 0, 4, dtype=torch.bool)) == [None, None]
    one = torch.ones(1, 1, 1, dtype=torch.bool)
    assert deepest_of(one) == [depth.Deepest(1, 0, 0)]
    assert deepest_of(one, ([0], [0], [0])) == [None]


def test_erosion_by_squares() -> None:
    rng = np.random.default_rng(0)
    for by in (0, 1, 2, 5, 12):
        masks = rng.random((3, 33, 47)) < 0.99
        found = eroded(torch.from_numpy(masks), by).numpy()
        assert all(np.array_equal(f, m if by == 0 else erosion.eroded(m, by) != 0) for f, m in zip(found, masks, strict=True))


def test_rle_of_windows_is_that_of_the_frame() -> None:
    rng = np.random.default_rng(3)
    for h, w in ((9, 13), (20, 13), (20, 30)):  # inside the frame, as high as it, all of it
        masks = rng.random((4, h, w)) < 0.5
        masks[2], masks[3] = False, True
        y0, x0 = rng.integers(0, 21 - h, 4), rng.integers(0, 31 - w, 4)
        stack = Stack(np.arange(4), y0, x0, h, w, torch.device("cpu"))
        wanted = [
            Region.from_window(m, int(a), int(b), 20, 30).rle()["counts"] for m, a, b in zip(masks, y0, x0, strict=True)
        ]
        assert rle_counts(torch.from_numpy(masks), stack, (20, 30)) == wanted


def test_stacks_hold_every_window_within_the_image_and_little_else() -> None:
    rng = np.random.default_rng(0)
    corners = rng.integers(0, 900, (200, 2))
    windows = np.concatenate([corners, np.minimum(corners + rng.integers(0, 400, (200, 2)), 1000)], axis=1)
    found = stacks(windows, (1000, 1000), torch.device("cpu"))
    members = np.concatenate([s.members for s in found])
    full = np.flatnonzero((windows[:, 2:] > windows[:, :2]).all(axis=1))
    assert sorted(members.tolist()) == full.tolist()
    for s in found:
        y0, x0 = s.y0, s.x0
        of = windows[s.members]
        assert (y0 >= 0).all()
        assert (y0 <= of[:, 0]).all()
        assert (of[:, 2] <= y0 + s.height).all()
        assert (y0 + s.height <= 1000).all()
        assert (x0 <= of[:, 1]).all()
        assert (of[:, 3] <= x0 + s.width).all()
        assert (x0 + s.width <= 1000).all()
    held = (windows[full, 2:] - windows[full, :2]).prod(axis=1).sum()
    assert sum(len(s.members) * s.height * s.width for s in found) < 2.5 * held
    assert len(found) < 20


# Whole answers


@dataclass
class Case:
    """Objects of one image, and a batch of answers, one an object, as both ways of scoring see them."""

    targets: list[Target]
    batch: LogitBatch

    def answers(self, which: Sequence[int] | None = None, *, on_device: bool) -> list[Answer]:
        scores = np.linspace(0, 1, self.batch.logits.shape[1], dtype=np.float32)
        out = []
        for k, target in enumerate(self.targets):
            masks = self.batch.masks(k) if on_device else LogitMasks(self.batch.on_host[k], self.batch.geometry)
            out.append(Answer(target, Prediction(masks, scores), which))
        return out


def random_case(rng: np.random.Generator, n: int = 5) -> Case:
    """Smooth logits of about SAM's range, for objects that are such masks moved a little; at times some of the image is ignored."""
    h, w = (int(v * rng.uniform(0.8, 1.3)) or 1 for v in SIZES[rng.integers(len(SIZES))])
    side, low = 256, 64
    if rng.random() < 0.3:
        geometry = Geometry(low=(low, low), size=(h, w))
    else:
        geometry = Geometry(low=(low, low), square=(side, side), crop=resized_size(h, w, side), size=(h, w))
    coarse = torch.from_numpy(rng.standard_normal((n, 3, 8, 8)).astype(np.float32))
    logits = torch.nn.functional.interpolate(coarse, (low, low), mode="bicubic") * float(rng.uniform(1, 12)) - rng.uniform(0, 8)
    logits += torch.from_numpy(rng.standard_normal(logits.shape).astype(np.float32)) * float(rng.choice([0, 0.5, 3]))
    logits[rng.random((n, 3)) < 0.1] = -3.0  # empty answers
    batch = LogitBatch(logits, geometry)
    regions = []
    for k in range(n):
        mask = np.roll(LogitMasks(batch.on_host[k], geometry).array(1), tuple(rng.integers(-3, 4, 2)), (0, 1))
        if not mask.any() or rng.random() < 0.2:
            mask[rng.integers(h), rng.integers(w)] = True
        regions.append(Region.from_array(mask))
    ignore = None
    if rng.random() < 0.4:
        full = rng.random((h, w)) < rng.choice([0.02, 0.3])
        for r in regions:  # one pixel of every object counts
            y, x = np.argwhere(r.array)[0] + (r.y0, r.x0)
            full[y, x] = False
        ignore = Region.from_array(full)
    return Case(_targets(regions, ignore, (h, w)), batch)


def _targets(regions: Sequence[Region], ignore: Region | None, size: tuple[int, int]) -> list[Target]:
    instances = tuple(Instance(str(k), r) for k, r in enumerate(regions))
    sample = Sample("made", "0", *size, instances, lambda: np.zeros((*size, 3), np.uint8), ignore=ignore)
    assert len(sample.instances) == len(regions)
    return [Target(i, sample) for i in sample.instances]


def compare(case: Case) -> int:
    """Both ways on one case; gives how many candidates had a mask that differs, which may be where a logit is 0 alone."""
    host, device = HostScoring(), DeviceScoring(case.targets, "cpu", HostScoring())
    ours, theirs = case.answers(on_device=True), case.answers(on_device=False)
    assert device.first_clicks(case.targets) == host.first_clicks(case.targets)
    counts = (device.counts(ours), host.counts(theirs))
    same = [[a == b for a, b in zip(x, y, strict=True)] for x, y in zip(*counts, strict=True)]
    for answer, flags, x in zip(theirs, same, counts[0], strict=True):
        for i in np.flatnonzero(np.logical_not(flags)).tolist():
            _near_zero_alone(answer.prediction.masks, i, x[i])  # type: ignore[arg-type]
    for flags, a, b in zip(same, device.overlaps(ours), host.overlaps(theirs), strict=True):
        _same_overlaps(a, b, flags)
    assert [[o.ious for o in device.overlaps(ours)]] == [device.ious(ours)]
    for i in range(case.batch.logits.shape[1]):
        clicked = [[c[:2]] for c in host.first_clicks(case.targets)]
        one, other = case.answers([i], on_device=True), case.answers([i], on_device=False)
        for flags, a, b in zip(same, device.next_clicks(one, clicked), host.next_clicks(other, clicked), strict=True):
            assert not flags[i] or a == b
    return sum(not f for flags in same for f in flags)


def _same_overlaps(a: Overlaps, b: Overlaps, same: Sequence[bool]) -> None:
    for x, y in ((a.ious, b.ious), *((a.boundary_ious[c], b.boundary_ious[c]) for c in b.boundary_ious)):
        assert max((abs(p - q) for p, q, s in zip(x, y, same, strict=True) if s), default=0.0) <= 1e-12


def _near_zero_alone(masks: LogitMasks, i: int, counts: bytes) -> None:
    found = Region.from_rle({"size": [masks.height, masks.width], "counts": counts}).full()
    assert np.abs(masks.logits(i)[found != masks.array(i)]).max() < NEAR_ZERO


def test_random_answers_of_many_sizes() -> None:
    rng = np.random.default_rng(0)
    assert sum(compare(random_case(rng)) for _ in range(16)) < 4  # of 240 candidates


@pytest.mark.slow
def test_two_thousand_random_answers_of_many_sizes() -> None:
    rng = np.random.default_rng(1)
    differing = sum(compare(random_case(rng, n=4)) for _ in range(167))  # 2,004 candidates
    assert differing < 20


def test_logits_on_windows_are_those_of_the_host() -> None:
    rng = np.random.default_rng(5)
    for _ in range(8):
        case = random_case(rng)
        low = case.batch.logits[:, 0]
        windows = windows_above(low, case.batch.geometry, -1.0)
        for stack in stacks(windows, case.batch.geometry.size, low.device):
            values = logits_on(low, stack, case.batch.geometry).numpy()
            for found, k, y, x in zip(values, stack.members, stack.y0.tolist(), stack.x0.tolist(), strict=True):
                whole = LogitMasks(case.batch.on_host[k, :1], case.batch.geometry).logits(0)
                assert np.abs(found - whole[y : y + stack.height, x : x + stack.width]).max() < NEAR_ZERO


def test_answers_of_both_kinds_come_back_in_order() -> None:
    case = random_case(np.random.default_rng(2))
    arrays = [a.prediction.masks.array(0)[None] for a in case.answers(on_device=False)]
    dense = [Prediction(DenseMasks(a), np.ones(1, np.float32)) for a in arrays]
    mixed = [a if k % 2 else Answer(a.target, dense[k]) for k, a in enumerate(case.answers([0], on_device=True))]
    device = DeviceScoring(case.targets, "cpu", HostScoring())
    assert device.overlaps(mixed) == HostScoring().overlaps(mixed)
    assert device.counts(mixed) == HostScoring().counts(mixed)
    assert device.next_clicks(mixed, [[]] * len(mixed)) == HostScoring().next_clicks(mixed, [[]] * len(mixed))


def test_first_ranked_masks_as_rle() -> None:
    case = random_case(np.random.default_rng(8))
    ours = [a.prediction for a in case.answers(on_device=True)]
    ours[1] = Prediction(DenseMasks(ours[1].masks.array(2)[None]), np.ones(1, np.float32))
    assert top_rles(ours, Context(scoring="device")) == top_rles(ours, Context())


def test_a_second_round_of_answers_is_not_taken_for_the_first() -> None:
    rng = np.random.default_rng(4)
    case = random_case(rng)
    device = DeviceScoring(case.targets, "cpu", HostScoring())
    for turn in range(3):
        moved = Case(case.targets, LogitBatch(case.batch.logits.roll(turn, 0), case.batch.geometry))
        found = device.overlaps(moved.answers([turn], on_device=True))
        wanted = HostScoring().overlaps(moved.answers([turn], on_device=False))
        assert [o.ious for o in found] == [o.ious for o in wanted]


def test_an_object_that_cannot_be_clicked_is_the_error_of_the_host() -> None:
    region = Region.from_array(np.ones((4, 4), np.bool_))
    ignore = Region.from_array(np.ones((4, 4), np.bool_))
    targets = [Target(Instance("a", region), Sample("d", "i", 4, 4, (), lambda: np.zeros((4, 4, 3), np.uint8), ignore=ignore))]
    assert Objects([region], [1, 1], ignore, "cpu").deepest() == [None]
    with pytest.raises(DataError, match="no pixel of an object can be clicked"):
        DeviceScoring(targets, "cpu", HostScoring()).first_clicks(targets)


def test_a_batch_is_copied_to_the_host_once_and_only_if_it_is_asked_for() -> None:
    made = random_case(np.random.default_rng(6)).batch
    batch = LogitBatch(made.logits, made.geometry)
    first, second = batch.masks(0), batch.masks(1)
    assert "on_host" not in vars(batch)
    assert np.array_equal(first.low_res, batch.logits[0].numpy())
    assert second.low_res.base is first.low_res.base or np.shares_memory(second.low_res, batch.on_host)
    assert len(first) == 3
    with pytest.raises(ValueError, match="float32"):
        LogitBatch(batch.logits.half(), batch.geometry)


# Pictures


def nuclei(shared: Path) -> Iterator[Sample]:
    from sambench.loaders.bbbc038v1 import BBBC038v1

    root = next((p for p in (shared / "data").rglob("*") if p.is_dir() and p.name.startswith("bbbc038")), None)
    if root is None:
        pytest.skip("the nuclei are not there")
    dataset = BBBC038v1(root, "bbbc038v1")
    few = sorted(dataset.index(), key=lambda r: (abs(r.n_masks - 12), r.image_id))[:2]
    for record in few:
        yield dataset.load(record.image_id)


def rows_of(task: Any, sample: Sample, where: str, model: Any) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = task.rows(sample, model, Context(scoring=where))  # type: ignore[arg-type]
    return [{k: v for k, v in r.items() if not k.endswith("_ms")} for r in rows]


def same_rows(task: Any, samples: Iterator[Sample]) -> None:
    model = sam_nano()
    means: dict[str, list[float]] = {"host": [], "device": []}
    for sample in samples:
        host, device = (rows_of(task, sample, where, model) for where in ("host", "device"))
        assert len(host) == len(device) > 0
        for a, b in zip(host, device, strict=True):
            assert a["clicks_xy"] == b["clicks_xy"]
            assert a["clicks_label"] == b["clicks_label"]
            if a["mask_rles"] == b["mask_rles"] and len(a["mask_rles"]) == len(a["ious"]):
                assert a == b
        for name, rows in (("host", host), ("device", device)):
            means[name] += [r["iou_top"] for r in rows]
    assert abs(np.mean(means["host"]) - np.mean(means["device"])) < 1e-6


def test_a_whole_point_run_has_the_same_clicks() -> None:
    same_rows(PointTask(), iter([scenes.two_discs(), scenes.of_parts()]))


def test_runs_that_leave_objects_early_and_boxes() -> None:
    same_rows(PointTask(PointSettings(clicks=(1, 2), until_iou=0.6)), iter([scenes.of_parts()]))
    same_rows(BoxTask(), iter([scenes.of_parts()]))


@pytest.mark.slow
def test_a_whole_point_run_on_the_demo_has_the_same_clicks(tmp_path: Path) -> None:
    dataset = Demo(tmp_path / "demo")
    same_rows(PointTask(), (dataset.load(r.image_id) for r in dataset.index()))


@pytest.mark.shared
def test_the_real_nuclei_have_the_same_clicks(shared: Path) -> None:
    same_rows(PointTask(PointSettings(clicks=(1, 3))), nuclei(shared))


def test_golden_logits() -> None:
    """SAM's own logits of the golden file, brought to their picture both ways."""
    files = sorted(GOLDEN.rglob("*.npz"))
    found = [(f, name) for f in files for name in np.load(f, allow_pickle=False).files if name.endswith("low_res_full_f16")]
    assert found
    for file, name in found[:4]:
        low = torch.from_numpy(np.load(file)[name].astype(np.float32))
        low = low.reshape(1, -1, *low.shape[-2:])
        for size in ((600, 800), (480, 640), (1024, 700)):
            geometry = Geometry(low=tuple(low.shape[-2:]), square=(1024, 1024), crop=resized_size(*size, 1024), size=size)  # type: ignore[arg-type]
            masks = LogitMasks(low[0].numpy(), geometry)
            region = next((masks.region(i) for i in range(len(masks)) if masks.region(i).area), None)
            if region is not None:
                case = Case(_targets([region], None, size), LogitBatch(low, geometry))
                assert isinstance(case.batch.masks(0), TensorMasks)
                compare(case)
