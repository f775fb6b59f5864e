"""Scores of whole sets, compared: a draw scores as a set in which images stand several times, and both runs have the same draws."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import sambench
from sambench import Prediction, Prompt
from sambench.errors import UsageError
from sambench.layout import is_missing
from sambench.metrics.edges import counts_to_draw, edge_scores, scores_of_draws
from sambench.metrics.instances import AREAS, AveragePrecision, Batch, Group, batch_of
from sambench.results.compare import compare_cells
from sambench.results.draws import score_and_draws
from sambench.results.tables import metric_rows_of
from sambench.store.views import CellView
from sambench.tasks.set_measures import SumMeasure
from sambench.tasks.summary import Bootstrap
from tests.helpers.inprocess import Cli

QUICK = Bootstrap(n_resamples=60)
N = 7


def _images(rng: np.random.Generator) -> dict[int, list[Group]]:
    """Groups of N images of three categories; no score twice but within an image, as copies of an image have them side by side."""

    def group() -> Group:
        found, truth = int(rng.integers(0, 6)), int(rng.integers(0, 4))
        sizes = rng.choice([100.0, 2000.0, 20000.0], found), rng.choice([100.0, 2000.0, 20000.0], truth)
        ious, crowd = rng.choice([0.2, 0.5, 0.62, 0.8, 0.97], (found, truth)), rng.random(truth) < 0.2
        return Group(rng.random(found), sizes[0], ious, sizes[1], crowd)

    return {category: [group() for _ in range(N)] for category in (3, 5, 9)}


def _repeated(images: dict[int, list[Group]], weights: np.ndarray) -> Batch:
    return batch_of({c: [g for g, w in zip(of, weights, strict=True) for _ in range(int(w))] for c, of in images.items()})


@pytest.mark.parametrize("seed", range(6))
def test_ap_of_a_draw_is_that_of_images_several_times(seed: int) -> None:
    rng = np.random.default_rng(seed)
    images = _images(rng)
    counted = AveragePrecision(by_image=True)
    counted.add(batch_of(images))
    draws = counted.draws()
    weights = np.stack([np.ones(N), *rng.multinomial(N, np.full(N, 1 / N), 4)]).astype(np.float64)
    found = draws.precision(weights, np.arange(N))
    for r, of in enumerate(weights):
        again = AveragePrecision()
        again.add(_repeated(images, of))
        expected = again.evaluation()
        for k, category in enumerate(draws.category_ids.tolist()):
            for a, area in enumerate(AREAS):
                ap = expected.ap(area=area, categories=[category])
                assert found[r, k, a].mean() == pytest.approx(ap, abs=1e-12, nan_ok=True)


def test_edge_scores_of_a_draw_are_those_of_images_several_times() -> None:
    rng = np.random.default_rng(0)
    sums = rng.integers(40, 90, (N, 1, 2)) + np.zeros((N, 9, 1), np.int64)
    hits = (sums * rng.random((N, 9, 2))).astype(np.int64)
    counts = np.stack([hits[..., 0], sums[..., 0], hits[..., 1], sums[..., 1]], axis=-1)
    thresholds = np.linspace(0.1, 0.9, 9)
    weights = rng.multinomial(N, np.full(N, 1 / N), 5)
    found = scores_of_draws(counts_to_draw(counts), thresholds, weights.astype(np.float64))
    for drawn, of in zip(found, weights, strict=True):
        expected = edge_scores(np.repeat(counts, of, axis=0), thresholds)
        assert drawn.tolist() == [expected.ods, expected.ois, expected.ap, expected.r50]


class Gradient:
    """Edges: how much a channel changes, to the right or down."""

    def __init__(self, axis: int) -> None:
        self.axis = axis

    def edges(self, image: np.ndarray) -> np.ndarray:
        grey = image.astype(np.float32).mean(axis=2)
        strength = np.abs(np.diff(grey, axis=self.axis, prepend=grey.take([0], axis=self.axis)))
        return np.where(strength > 24, strength / 256, 0).astype(np.float32)


class Filled:
    """The middle of the box, or around a click: a share of its sides."""

    def __init__(self, share: float) -> None:
        self.share = share

    def encode(self, image: np.ndarray) -> tuple[int, ...]:
        return image.shape[:2]

    def decode(self, size: tuple[int, int], prompts: list[Prompt]) -> list[Prediction]:
        return [Prediction(self.mask(size, p)[None], np.ones(1, np.float32)) for p in prompts]

    def mask(self, size: tuple[int, int], prompt: Prompt) -> np.ndarray:
        x, y = prompt.points_xy[0] if prompt.box_xyxy is None else (0, 0)
        x0, y0, x1, y1 = prompt.box_xyxy or (x - 9, y - 9, x + 9, y + 9)
        cut_x, cut_y = (x1 - x0) * (1 - self.share) / 2, (y1 - y0) * (1 - self.share) / 2
        rows, columns = np.mgrid[: size[0], : size[1]]
        return (columns >= x0 + cut_x) & (columns <= x1 - cut_x) & (rows >= y0 + cut_y) & (rows <= y1 - cut_y)


def ran(model: object, task: str, name: str, limit: int = 4, **settings: object) -> list[CellView]:
    found = sambench.evaluate(model, task, "demo", name=name, limit=limit, settings=settings)  # type: ignore[arg-type]
    return list(found.cells)


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Cli:
    monkeypatch.chdir(tmp_path)
    return Cli(monkeypatch, capsys)


def _stored(cell: CellView, variant: str = "") -> dict[str, float]:
    """The values of metric rows of all thresholds and groups."""
    rows = [r for r in metric_rows_of(cell) if is_missing(r["threshold"]) and is_missing(r["group"])]
    return {r["metric"]: r["value"] for r in rows if r["variant"] == variant}


def test_edges_are_compared(cli: Cli) -> None:
    a, b = (ran(Gradient(axis), "edge", f"edges_{axis}", thresholds=5) for axis in (0, 1))
    found = compare_cells(a, b, bootstrap=QUICK)
    assert [d.score for d in found.differences] == ["ODS", "OIS", "AP", "R50"]
    for side, cells in (("mean_a", a), ("mean_b", b)):
        for d in found.differences:
            assert getattr(d.paired, side) == pytest.approx(_stored(cells[0])[d.score.lower()], abs=1e-12)
    (by_image,) = compare_cells(a, b, metric="image_f", bootstrap=QUICK).differences
    assert (by_image.paired.n, by_image.paired.n_clusters) == (4, 4)
    same = compare_cells(a, a, metric="ods", bootstrap=QUICK).differences[0].paired
    assert (same.mean, same.low, same.high, same.p_value) == (0, 0, 0, 1)
    assert "R50" in cli("compare", "edges_0", "edges_1").out


def test_instances_are_compared(cli: Cli) -> None:
    a, b = (ran(Filled(share), "instances", name) for share, name in ((1.0, "whole"), (0.8, "less")))
    found = compare_cells(a, b, bootstrap=QUICK)
    of = {d.score: d.paired for d in found.differences}
    assert of["AP"].mean_a == pytest.approx(_stored(a[0], "mask")["ap"], abs=1e-12)
    assert of["AP"].mean_a > of["AP"].mean_b > 0
    by_category = compare_cells(a, b, metric="category_ap", bootstrap=QUICK)
    assert np.mean([d.paired.mean_b for d in by_category.differences]) == pytest.approx(of["AP"].mean_b, abs=1e-12)
    alone = [d.paired for d in by_category.differences if d.paired.n_clusters == 1]
    assert alone
    assert np.isnan([[p.low, p.p_value] for p in alone]).all()
    score, draws = score_and_draws(a[0], "ap", None, QUICK, 0)
    assert (score, None if draws is None else len(draws)) == (pytest.approx(of["AP"].mean_a), 60)
    assert compare_cells(a, b, metric="iou_best", per="image", bootstrap=QUICK).differences[0].paired.n == 4
    assert "AP medium" in cli("compare", "whole", "less").out
    for wrong, says in (
        (("-k", "1"), "-k"),
        (("--per", "image"), "--per"),
        (("--metric", "category_pa"), "category_ap"),
        (("--per", "imgae"), "image"),
    ):
        ended = cli("compare", "whole", "less", *wrong)
        assert (ended.code, says in ended.err) == (2, True), ended.err


def test_a_suites_mean_has_an_interval_for_every_task(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "home" / "cards" / "datasets"
    home.mkdir(parents=True)
    (home / "mine.toml").write_text('kind = "suite"\nid = "mine"\nname = "My sets"\nmembers = ["demo"]\n')
    monkeypatch.setenv("SAMBENCH_HOME", str(tmp_path / "home"))
    for task, key, settings in (("instances", "ap_ci", {}), ("proposals", "ar@1000_ci", {"grid": 8}), ("box", "miou_ci", {})):
        ran(Filled(1.0), task, task, 24, **settings)
        told = cli("table", task, "--suite", "mine", "--format", "csv").out.splitlines()
        mean = dict(zip(told[0].split(","), told[-1].split(","), strict=True))
        low, high = float(mean[f"{key}_low"]), float(mean[f"{key}_high"])
        assert 0 <= low <= float(mean[key.removesuffix("_ci")]) <= high < 1, task
        assert low < high, task
    frame = sambench.load("box").table(suite="mine")
    assert [frame["dataset"].iloc[-1], frame["miou_ci_low"].iloc[-1]] == ["mean of mine", low]
    with pytest.raises(UsageError, match="did you mean 'mine'"):
        sambench.load("box").tables(suite=["mien"])


def test_a_score_of_sums_is_one_of_any_draw() -> None:
    import pandas as pd

    class Rows:
        def frame(self) -> pd.DataFrame:
            return pd.DataFrame({"image_id": [*"aabc"], "cluster_id": [*"xxxy"], "tp": [1, 2, 0, 4], "n": [2, 3, 5, 4]})

        def parts(self, columns: list[str]) -> list[pd.DataFrame]:
            return [self.frame()[columns]]

    found = SumMeasure(("tp", "n"), lambda f: f[["tp", "n"]], lambda s: s[..., 0] / s[..., 1], "F").scored(Rows())  # type: ignore[arg-type]
    assert (list(found.image_ids), list(found.cluster_ids)) == ([*"abc"], [*"xxy"])
    values = found.of_draws(np.array([[1.0, 1, 1], [2, 0, 1]]))
    assert values[:, 0].tolist() == [7 / 14, 10 / 14]
