"""The edge task from images to scores: detectors, folders of maps, rows, intervals, what it refuses, and the command line."""

from __future__ import annotations

import csv
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy.io import savemat
from skimage.segmentation import felzenszwalb

import sambench
from sambench import cards, tasks
from sambench.errors import DataError, ModelError, RunError, UsageError
from sambench.loaders.open import open_dataset
from sambench.loaders.subsets import choose_subset
from sambench.metrics.bootstrap import cluster_weights
from sambench.metrics.edges import edge_counts, edge_counts_of_maps, edge_intervals, edge_scores, threshold_values
from sambench.models.edges.felz_hutt import felz_hutt, segmentations
from sambench.models.edges.folder import EdgeFolder
from sambench.models.edges.gradients import canny, gradient, sobel, surviving_threshold
from sambench.pixels.edge_maps import canny_nms, seg2bdry
from sambench.results.rescore import rescore
from sambench.store.lookup import find_cells
from sambench.tasks.edge import EdgeSettings, EdgeTask, map_of
from sambench.tasks.prompted import Context
from sambench.tasks.summary import Bootstrap
from sambench.types import Sample
from tests import helpers
from tests.helpers.bsds import put

HEIGHT, WIDTH, N_IMAGES = 48, 64, 6


def scene(seed: int) -> tuple[np.ndarray, list[np.ndarray]]:
    """A picture of bright boxes on noise, and two annotators who drew their outlines a pixel apart."""
    rng = np.random.RandomState(seed)
    labels = np.zeros((HEIGHT, WIDTH), int)
    for k in range(1, 4):
        y, x = rng.randint(0, HEIGHT - 16), rng.randint(0, WIDTH - 16)
        labels[y : y + rng.randint(8, 16), x : x + rng.randint(8, 16)] = k
    image = np.clip(60 * labels[..., None] + rng.randint(0, 40, (HEIGHT, WIDTH, 3)), 0, 255).astype(np.uint8)
    return image, [thin_lines(labels), thin_lines(np.roll(labels, 1, axis=1))]


def thin_lines(labels: np.ndarray) -> np.ndarray:
    from sambench.metrics.edges import thin

    return thin(seg2bdry(labels)).astype(np.uint8)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder for SAMBENCH_DATA with a small BSDS500."""
    data = tmp_path / "data" / "bsds500" / "data"
    for i in range(N_IMAGES):
        image, maps = scene(i)
        put(data, f"im{i}", maps, suffix=".png")
        Image.fromarray(image).save(data / "images" / "test" / f"im{i}.png")
    return tmp_path / "data"


def sample_of(seed: int, **more: object) -> Sample:
    image, maps = scene(seed)
    boundaries = tuple(m != 0 for m in maps)
    return Sample(
        "set", f"im{seed}", HEIGHT, WIDTH, (), lambda: image, boundaries=boundaries, boundary_max_dist=0.0075, **more
    )


def frame_of(rows: list[dict]) -> pd.DataFrame:
    return pd.DataFrame([{**dict.fromkeys(EdgeTask().columns), **row} for row in rows])


# Detectors


def hysteresis(values: np.ndarray, low: float, high: float) -> np.ndarray:
    n, labels = cv2.connectedComponents((values >= low).astype(np.uint8), connectivity=8)
    kept = np.zeros(n, bool)
    kept[np.unique(labels[values >= high])] = True
    return kept[labels] & (values >= low)


@pytest.mark.parametrize("low_ratio", [0.4, 0.7, 1.0])
def test_one_canny_map_is_hysteresis_at_every_threshold(low_ratio: float) -> None:
    rng = np.random.RandomState(0)
    values = np.round(cv2.GaussianBlur(rng.rand(60, 80), (0, 0), 1.5), 3)  # rounded: with ties
    values = np.where(values > np.quantile(values, 0.4), values / values.max(), 0)
    for sweep in ("high", "low"):
        survived = surviving_threshold(values, low_ratio, sweep)
        for t in [*threshold_values(), *np.unique(values)[1::40]]:
            low, high = (low_ratio * t, t) if sweep == "high" else (t, min(1, t / low_ratio))
            assert (hysteresis(values, low, high) == (survived >= t)).all()
        assert (survived[values == 0] == 0).all()


def test_canny_and_sobel_of_a_step() -> None:
    image = np.zeros((40, 60, 3), np.uint8)
    image[:, 30:] = 200
    for model in (sobel(), canny()):
        found = model.edges(image)
        assert found.dtype == np.float64
        assert found.max() == 1
        assert set(np.nonzero(found)[1].tolist()) <= {29, 30}
        assert (np.count_nonzero(found, axis=1) == 1).all()
    flat = np.full((20, 20, 3), 7, np.uint8)
    assert not sobel().edges(flat).any()
    assert not canny().edges(flat).any()


def test_sobel_options() -> None:
    image, _ = scene(3)
    exact = sobel(eight_bit=False).edges(image)
    assert (sobel().edges(image) == np.rint(exact * 255) / 255).all()
    g = gradient(image, 2.0)
    wanted = canny_nms(np.minimum(g.magnitude / np.float32(2), 1), g.x, g.y)
    assert (sobel(sigma=2, scale=2.0, eight_bit=False).edges(image) == wanted).all()
    for options in ({"sigma": -1}, {"scale": 0}):
        with pytest.raises(UsageError):
            sobel(**options)
    with pytest.raises(UsageError, match="low_ratio"):
        canny(low_ratio=0)
    with pytest.raises(UsageError, match="sweep"):
        canny(sweep="both")
    with pytest.raises(ModelError, match="fp32"):
        canny(precision="bf16")


def test_felz_hutt_segments_as_scikit_image() -> None:
    rng = np.random.RandomState(0)
    image = np.clip(cv2.GaussianBlur(rng.rand(70, 90, 3), (0, 0), 3) * 900 - 300, 0, 255).astype(np.uint8)
    scales = (5.0, 60.0, 500.0)
    for k, ours in zip(scales, segmentations(image, scales, 0.8, 20), strict=True):
        theirs = felzenszwalb(image, scale=k, sigma=0.8, min_size=20)
        pairs = {(int(a), int(b)) for a, b in zip(ours.ravel(), theirs.ravel(), strict=True)}
        assert len(pairs) == len(np.unique(ours)) == len(np.unique(theirs)) > 1


def test_felz_hutt_family_and_mean() -> None:
    image, _ = scene(0)
    family = felz_hutt(n_scales=5).edges(image)
    assert (family.shape, family.dtype) == ((5, HEIGHT, WIDTH), np.dtype(bool))
    assert (felz_hutt(n_scales=5, combine="mean").edges(image) == family.mean(axis=0)).all()
    with pytest.raises(UsageError, match="did you mean 'mean'"):
        felz_hutt(combine="meen")
    with pytest.raises(UsageError, match="k_min"):
        felz_hutt(k_min=0)


# Folders


def test_maps_of_every_form(tmp_path: Path) -> None:
    strength = np.random.RandomState(0).randint(0, 256, (12, 15)).astype(np.uint8)
    fine, wanted = strength.astype(np.uint16) * 257, strength / 255
    Image.fromarray(strength).save(tmp_path / "png8.png")
    Image.fromarray(fine).save(tmp_path / "png16.png")
    Image.fromarray(strength > 99).save(tmp_path / "png1.png")
    for name, array in (("f8", wanted), ("u1", strength), ("u2", fine), ("b", strength > 99), ("f4", wanted.astype(np.float32))):
        np.save(tmp_path / f"npy_{name}.npy", array)
    doubled = np.zeros((25, 31))
    doubled[2::2, 2::2] = wanted
    labels = np.arange(12)[:, None] // 4 + np.zeros((1, 15), int)
    segs = np.empty((1, 2), object)
    segs[0, 0], segs[0, 1] = labels.astype(np.uint16), (labels // 2).astype(np.uint16)
    savemat(tmp_path / "ucm.mat", {"ucm2": doubled})
    savemat(tmp_path / "segs.mat", {"segs": segs})
    savemat(tmp_path / "named.mat", {"E": wanted, "threshold": 0.5})
    savemat(tmp_path / "logical.mat", {"edge": (strength > 99).astype(np.uint8)})
    folder = EdgeFolder(tmp_path)
    for name in ("png8", "png16", "npy_f8", "npy_u1", "npy_u2", "ucm", "named"):
        assert (folder.edge_map(name, (12, 15)) == wanted).all(), name
    for name in ("png1", "npy_b", "logical"):
        assert (folder.edge_map(name, (12, 15)) == (strength > 99)).all(), name
    assert np.abs(folder.edge_map("npy_f4", (12, 15)) - wanted).max() < 1e-7
    family = folder.edge_map("segs", (12, 15))
    assert (family == np.stack([seg2bdry(labels), seg2bdry(labels // 2)])).all()


def test_maps_that_cannot_be_used(tmp_path: Path) -> None:
    good = np.zeros((10, 14))
    np.save(tmp_path / "turned.npy", good.T)
    np.save(tmp_path / "padded.npy", np.zeros((11, 14)))
    np.save(tmp_path / "nan.npy", np.where(np.eye(10, 14) > 0, np.nan, good))
    np.save(tmp_path / "loud.npy", good + 3)
    np.save(tmp_path / "deep.npy", np.zeros((2, 10, 14)))
    np.save(tmp_path / "wide.npy", good.astype(np.complex64))
    (tmp_path / "cut.npy").write_bytes(b"\x93NUMPY\x01\x00")
    (tmp_path / "torn.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    Image.fromarray(np.arange(420, dtype=np.uint8).reshape(10, 14, 3)).save(tmp_path / "colour.png")
    savemat(tmp_path / "two.mat", {"a": good, "b": good})
    folder = EdgeFolder(tmp_path)
    for name, message in (
        ("turned", "transposed"),
        ("padded", "14 x 10"),
        ("nan", "10 NaN"),
        ("loud", "scale the map"),
        ("deep", r"\[2, 10, 14\]"),
        ("wide", "complex64"),
        ("cut", "cut.npy"),
        ("torn", "torn.png"),
        ("colour", "one channel"),
        ("two", "key=VARIABLE"),
        ("tornn", "the nearest named 'torn'"),
    ):
        with pytest.raises(DataError, match=message):
            folder.edge_map(name, (10, 14))
    assert EdgeFolder(tmp_path, key="b").edge_map("two", (10, 14)).shape == (10, 14)


def test_folders_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no such folder"):
        EdgeFolder(tmp_path / "nowhere")
    with pytest.raises(ModelError, match="no edge maps"):
        EdgeFolder(tmp_path)
    np.save(tmp_path / "1.npy", np.zeros((4, 4)))
    before = EdgeFolder(tmp_path).identity
    assert EdgeFolder(tmp_path).identity == before
    np.save(tmp_path / "1.npy", np.ones((4, 4)))
    assert EdgeFolder(tmp_path).identity != before
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(tmp_path / "1.png")
    with pytest.raises(ModelError, match=r"1.npy and 1.png"):
        EdgeFolder(tmp_path)


# Rows and scores


def test_rows_hold_the_benchmarks_counts_and_the_map() -> None:
    sample = sample_of(0)
    rows = EdgeTask().rows(sample, sobel(), Context())
    found = map_of(rows[0]["edge_map"])
    assert (found == sobel().edges(sample.image)).all()
    wanted = edge_counts(found, sample.boundaries).as_array()
    assert [[row[c] for c in ("cnt_r", "sum_r", "cnt_p", "sum_p")] for row in rows] == wanted.tolist()
    assert [row["t"] for row in rows] == threshold_values().tolist()
    assert {(row["n_annotators"], row["max_dist"], row["n_masks"]) for row in rows} == {(2, 0.0075, None)}
    assert all("edge_map" not in row for row in rows[1:])
    assert "edge_map" not in EdgeTask().rows(sample, sobel(), Context(save_masks="none"))[0]
    assert set(rows[0]) <= set(EdgeTask().columns)


def test_settings_change_counts_and_identity() -> None:
    sample = sample_of(1)
    wide = EdgeTask(EdgeSettings(max_dist=0.05, thresholds=10)).rows(sample, sobel(), Context())
    wanted = edge_counts(sobel().edges(sample.image), sample.boundaries, max_dist=0.05, thresholds=10)
    assert [row["cnt_r"] for row in wide] == wanted.cnt_r.tolist()
    assert wide[0]["max_dist"] == 0.05
    identities = {
        str(tasks.build("edge", s).identity()) for s in ({}, {"nms": "dollar"}, {"max_dist": 0.011}, {"grid": 8}, {"nms_iou": 0.9})
    }
    assert len(identities) == 5
    for bad in ({"nms": "cany"}, {"thresholds": 0}, {"max_dist": 4.3}, {"grid": 0}, {"nms_iou": 2.0}):
        with pytest.raises(UsageError):
            EdgeSettings(**bad)
    with pytest.raises(DataError, match="no annotated boundaries"):
        EdgeTask().rows(Sample("s", "i", HEIGHT, WIDTH, (), lambda: sample.image), sobel(), Context())


def test_a_family_has_a_row_a_map() -> None:
    sample, model = sample_of(2), felz_hutt(n_scales=4)
    rows = EdgeTask().rows(sample, model, Context())
    wanted = edge_counts_of_maps(list(model.edges(sample.image)), sample.boundaries).as_array()
    assert [[row[c] for c in ("cnt_r", "sum_r", "cnt_p", "sum_p")] for row in rows] == wanted.tolist()
    mixed = [*rows, *EdgeTask().rows(sample_of(3), sobel(), Context())]
    with pytest.raises(RunError, match="4 thresholds, 99 thresholds"):
        EdgeTask().reduce(frame_of(mixed), Bootstrap(100))


def test_a_detector_that_breaks_its_contract() -> None:
    class Wrong:
        def edges(self, image: np.ndarray) -> np.ndarray:
            return np.zeros((3, 3))

    with pytest.raises(ModelError, match=r"\[3, 3\]"):
        EdgeTask().rows(sample_of(0), Wrong(), Context())


def test_scores_and_intervals_equal_those_of_drawn_sets() -> None:
    counts = np.stack([edge_counts(sobel().edges(s.image), s.boundaries).as_array() for s in map(sample_of, range(5))])
    t, clusters = threshold_values(), ["a", "b", "a", "c", "d"]
    low, high = edge_intervals(counts, t, clusters, n_resamples=300, level=0.9, seed=3)
    drawn = []
    members = [np.flatnonzero(np.array(clusters) == c) for c in "abcd"]
    for _, weights in cluster_weights(4, 300, 3):
        for row in weights.astype(int):
            images = np.concatenate([np.tile(members[c], n) for c, n in enumerate(row) if n])
            s = edge_scores(counts[images], t)
            drawn.append((s.ods, s.ois, s.ap, s.r50))
    assert np.allclose([low, high], np.quantile(drawn, [0.05, 0.95], axis=0), rtol=0, atol=1e-12)
    assert np.isnan(edge_intervals(counts[:1], t, ["a"], n_resamples=100, level=0.9, seed=0)).all()


# Runs


def run(root: Path, out: Path, *args: str, code: int = 0) -> tuple[str, str]:
    done = helpers.sambench("run", "edge", "--workers", "1", "-o", str(out), *args, env={"SAMBENCH_DATA": str(root)})
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout, done.stderr


def test_from_the_command_line_to_pictures(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "runs"
    table, _ = run(root, out, "--model", "sobel")
    assert "ODS" in table
    (cell,) = find_cells(str(out))
    dataset = open_dataset(cards.dataset_card("bsds500"), root=root / "bsds500")
    samples = [dataset.load(f"im{i}") for i in range(N_IMAGES)]
    wanted = edge_scores(
        np.stack([edge_counts(sobel().edges(s.image), s.boundaries).as_array() for s in samples]), threshold_values()
    )
    stored = cell.metrics().set_index("metric")
    assert {m: stored["value"][m] for m in ("ods", "ois", "ap", "r50")} == {
        m: getattr(wanted, m) for m in ("ods", "ois", "ap", "r50")
    }
    assert (stored["ci_low"] <= stored["value"])[["ods", "ois", "ap", "r50"]].all()
    assert set(stored["n_objects"]) == {2 * N_IMAGES}
    again = pd.DataFrame(rescore(cell)).set_index("metric")
    assert (again["value"] == stored["value"]).all()
    assert cell.record.dataset.options["max_dist"] == 0.0075
    assert cell.record.model.options == {"sigma": 1.0, "eight_bit": True}
    _, err = run(root, out, "--model", "sobel")
    assert "nothing to compute" in err
    done = helpers.sambench("plot", str(cell.path), "--to", str(tmp_path / "p"), env={"SAMBENCH_DATA": str(root)})
    assert done.returncode == 0, done.stderr
    sheet = np.asarray(Image.open(tmp_path / "p" / "sheet_bsds500-sobel.png"))
    assert (sheet < 255).any(axis=2).mean() > 0.1
    curve = list(csv.DictReader((tmp_path / "p" / "pr_curve.csv").open()))
    assert [float(r["recall"]) for r in curve] == wanted.recall.tolist()
    best = list(csv.DictReader((tmp_path / "p" / "ois_bsds500-sobel.csv").open()))
    assert {r["image_id"]: float(r["best_f"]) for r in best} == {f"im{i}": f for i, f in enumerate(wanted.image_f)}
    assert Image.open(tmp_path / "p" / "pr_curve.png").width > 400


def test_a_folder_with_missing_wrong_and_nan_maps(root: Path, tmp_path: Path) -> None:
    dataset = open_dataset(cards.dataset_card("bsds500"), root=root / "bsds500")
    order = choose_subset(dataset, cards.dataset_card("bsds500"), "paper").image_ids
    folder, out = tmp_path / "maps", tmp_path / "runs"
    folder.mkdir()
    for image_id in order:
        np.save(folder / f"{image_id}.npy", sobel().edges(dataset.load(image_id).image))
    good = {image_id: np.load(folder / f"{image_id}.npy") for image_id in order}
    missing, turned, nan = order[-3:]
    (folder / f"{missing}.npy").unlink()
    np.save(folder / f"{turned}.npy", good[turned].T)
    np.save(folder / f"{nan}.npy", np.where(good[nan] > 0, np.nan, 0))
    model = f"edges:{folder}"
    table, err = run(root, out, "--model", model, code=1)
    for image_id, said in ((missing, "no edge map"), (turned, "transposed"), (nan, "NaN")):
        line = next(x for x in err.splitlines() if x.startswith("failed:") and f"image {image_id}:" in x)
        assert said in line
        assert "what to do" in line
    assert "no scores" in " ".join(table.split())
    assert "ODS" not in table
    (cell,) = find_cells(str(out))
    assert rescore(cell) == []
    assert (cell.metrics() is None) or cell.metrics().empty
    done = helpers.sambench("rescore", str(cell.path))
    assert "no scores of a part of a set (3 images failed)" in done.stderr
    done = helpers.sambench("plot", str(cell.path))
    assert done.returncode == 2
    assert "no curve of a part of a set" in done.stderr
    table, _ = run(root, out, "--model", model, "--limit", "3")
    assert "PARTIAL" in table
    assert "ODS" in table
    for image_id, array in good.items():
        np.save(folder / f"{image_id}.npy", array)
    table, _ = run(root, out, "--model", model)
    (whole,) = [c for c in find_cells(str(out)) if c.record.status == "complete"]
    assert whole.record.cell_id != cell.record.cell_id  # other maps, another model
    values = whole.metrics().set_index("metric")["value"]
    alone = sambench.run("edge", "bsds500", "sobel", out=tmp_path / "other", root=str(root / "bsds500"), workers=1).metrics()
    assert (values == alone.set_index("metric")["value"]).all()


def test_models_and_datasets_of_other_tasks_are_refused(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAMBENCH_DATA", str(root))
    with pytest.raises(UsageError, match="'sobel' is not one for the point task"):
        sambench.run("point", "demo", "sobel")
    with pytest.raises(UsageError, match="'grabcut' is not one for the edge task"):
        sambench.run("edge", "bsds500", "grabcut")
    with pytest.raises(UsageError, match="annotated boundaries"):
        sambench.run("edge", "bsds500_regions", "sobel", root=root / "bsds500")
    with pytest.raises(UsageError, match="annotated masks"):
        sambench.run("box", "bsds500", "otsu")
    with pytest.raises(UsageError, match="is not one for the box task"):
        sambench.run("box", "demo", f"edges:{root}")


def test_a_detector_of_ones_own(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAMBENCH_DATA", str(root))
    file = tmp_path / "mine.py"
    file.write_text(
        "import numpy as np\nclass Mine:\n    def edges(self, image):\n"
        "        return np.random.RandomState(0).rand(*image.shape[:2])\ndef make():\n    return Mine()\n"
    )
    found = sambench.run("edge", "bsds500", f"python:{file}:make", out=tmp_path / "runs", workers=1, limit=2)
    assert found.rows(["t"]).shape[0] == 2 * 99
    with pytest.raises(UsageError, match="point task"):
        sambench.run("point", "demo", f"python:{file}:make", out=tmp_path / "runs")


@pytest.mark.shared
def test_real_images_with_sobel_and_canny(shared: Path) -> None:
    """Ten images of the real test set."""
    dataset = open_dataset(cards.dataset_card("bsds500"), root=shared / "data" / "bsds500")
    samples = [dataset.load(r.image_id) for r in dataset.index()[:10]]
    scores = {}
    for name, model in (("sobel", sobel()), ("canny", canny())):
        rows = [row for s in samples for row in EdgeTask().rows(s, model, Context(save_masks="none"))]
        metrics = EdgeTask().reduce(frame_of(rows), Bootstrap(100))
        scores[name] = {m["metric"]: m["value"] for m in metrics}
    assert 0.45 < scores["sobel"]["ods"] < scores["canny"]["ods"] < 0.75
    assert scores["canny"]["r50"] > scores["sobel"]["r50"]
