"""cgF1 against SAM 3's released evaluator, through the concept task's own rows; and its parts against plain sums."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import json
import os
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sambench.metrics import concepts as metric
from sambench.metrics.bootstrap import cluster_weights, resampled_sums
from tests.helpers import ROOT
from tests.helpers.concept_worlds import reference_names, scored, world

GOLDEN = ROOT / "tests" / "golden" / "concepts.json"


def test_equal_to_the_reference_on_stored_annotations() -> None:
    """Values of `cgf1_eval.py` of PyPI sam3 0.1.4, stored with the annotations that it was given."""
    stored = json.loads(GOLDEN.read_text())
    for case in stored["cases"]:
        found = scored(case["files"], case["results"])
        for key, name in reference_names().items():
            assert found[key] == pytest.approx(case["values"][name], abs=1e-12), (key, len(case["files"]))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(12))
def test_equal_to_the_reference(seed: int, tmp_path: Path) -> None:
    evaluator = _reference()
    files, results = world(100 + seed, n_pairs=80, annotators=1 + seed % 3)
    values = run_reference(evaluator, files, results, tmp_path)
    found = scored(files, results)
    assert len(reference_names()) == len(values)
    for key, name in reference_names().items():
        assert found[key] == pytest.approx(values[name], abs=1e-12), key


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["nothing answered", "all absent", "all present", "all answered"])
def test_equal_to_the_reference_where_a_side_is_empty(kind: str, tmp_path: Path) -> None:
    files, results = world(200, n_pairs=30, annotators=2)
    annotated = {a["image_id"] for f in files for a in f["annotations"]}
    answered = {r["image_id"] for r in results}
    if kind == "nothing answered":
        results = []
    elif kind == "all absent":
        files = [{**f, "annotations": []} for f in files]
    else:
        kept = annotated if kind == "all present" else answered
        files = [{**f, "images": [i for i in f["images"] if i["id"] in kept]} for f in files]
    values = run_reference(_reference(), files, results, tmp_path)
    found = scored(files, results)
    for key, name in reference_names().items():
        if values[name] == -1:  # of no pair: it has none, and says so by a number
            assert key not in found
        else:
            assert found[key] == pytest.approx(values[name], abs=1e-12), key


def _reference() -> Any:
    """cgf1_eval.py by its path, for the package around it needs CUDA: of an installed sam3, or of $SAM3_CGF1_EVAL."""
    path = os.environ.get("SAM3_CGF1_EVAL", "")
    if not path:
        with contextlib.suppress(metadata.PackageNotFoundError):
            path = str(metadata.distribution("sam3").locate_file("sam3/eval/cgf1_eval.py"))
    if not path or not Path(path).is_file():
        pytest.skip("the reference is not here: pip download --no-deps sam3==0.1.4, unzip it, SAM3_CGF1_EVAL=its cgf1_eval.py")
    spec = importlib.util.spec_from_file_location("cgf1_eval", path)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules["cgf1_eval"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run_reference(module: Any, files: list[Any], results: list[Any], folder: Path) -> dict[str, float]:
    """Its numbers, by its names."""
    paths = [str(folder / f"truth_{i}.json") for i in range(len(files))]
    for path, file in zip(paths, files, strict=True):
        Path(path).write_text(json.dumps(file))
    (folder / "results.json").write_text(json.dumps(results))
    with contextlib.redirect_stdout(io.StringIO()):
        found: dict[str, float] = module.CGF1Evaluator(paths).evaluate(str(folder / "results.json"))
    return found


def _pairs(rng: np.random.Generator, n: int = 40) -> Iterator[tuple[int, int, Any]]:
    for _ in range(n):
        truth, found = int(rng.integers(0, 4)), int(rng.integers(0, 4))
        hits = np.sort(rng.integers(0, min(truth, found) + 1, 10))[::-1]
        yield truth, found, hits


def test_any_part_of_a_set_is_scored_by_sums() -> None:
    """A resample's value, of sums by cluster, is that of the rows drawn, written out."""
    rng = np.random.default_rng(3)
    truth, found, hits = (np.array(c) for c in zip(*_pairs(rng), strict=True))
    clusters = np.repeat(np.arange(8), 5)
    counts = metric.counts_of(truth, found, hits)
    drawn = resampled_sums(counts, clusters, n_resamples=5, seed=4)
    (_, weights), *_ = cluster_weights(8, 5, 4)
    for r, times in enumerate(weights.astype(int)):
        index = np.concatenate([np.flatnonzero(clusters == c) for c, n in enumerate(times) for _ in range(n)])
        written_out = metric.counts_of(truth[index], found[index], hits[index]).sum(axis=0)
        for ours, theirs in zip(metric.concept_scores(drawn[r]), metric.concept_scores(written_out), strict=True):
            np.testing.assert_allclose(ours, theirs, atol=1e-12)


def test_average_precision_is_cocos_over_phrases() -> None:
    """A phrase as a category, a pair as an image of pycocotools."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    files, results = world(5, n_pairs=30, annotators=1)
    images = files[0]["images"]
    for image in images:
        image["is_instance_exhaustive"] = 1
    files[0]["annotations"] = [a for a in files[0]["annotations"] if not a["iscrowd"]]
    found = scored(files, results)
    truth = {**files[0], "categories": [{"id": c, "name": str(c)} for c in range(5)]}
    truth["annotations"] = [{**a, "category_id": a["image_id"] % 5, "id": n} for n, a in enumerate(truth["annotations"], 1)]
    answers = [{**r, "category_id": r["image_id"] % 5} for r in results]
    for answer in answers:
        answer.pop("bbox")
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = truth
        coco.createIndex()
        evaluation = COCOeval(coco, coco.loadRes(answers), "segm")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    assert found["ap", None] == pytest.approx(evaluation.stats[0], abs=1e-12)
    assert found["ap", 0.5] == pytest.approx(evaluation.stats[1], abs=1e-12)


def test_calibration() -> None:
    scores = np.array([0.05, 0.95, 0.95, 1.0, 0.31, 0.39])
    right = np.array([False, True, True, False, True, False])
    found = metric.reliability(scores, right)
    assert found.n.tolist() == [1, 0, 0, 2, 0, 0, 0, 0, 0, 3]
    by_hand = (1 * 0.05 + 2 * abs(0.5 - 0.35) + 3 * abs(2 / 3 - (0.95 + 0.95 + 1) / 3)) / 6
    assert found.ece == pytest.approx(by_hand)
    assert np.isnan(metric.reliability(np.zeros(0), np.zeros(0, bool)).ece)
    two_on_one = metric.Pair("a", np.array([0.6, 0.9]), np.array([[0.8, 0.0], [0.7, 0.0]]))
    assert metric.right_answers(two_on_one).tolist() == [False, True]  # the second is first, and the instance is taken


def test_annotators() -> None:
    """As the reference chooses: the best mean F1, the first of equals; one who drew nothing where nothing was answered."""
    none, missed = metric.count_pair(np.zeros((0, 0)), np.zeros(0)), metric.count_pair(np.zeros((0, 2)), np.zeros(0))
    assert metric.best_annotator([missed, none, missed]) == 1
    half = metric.count_pair(np.array([[0.6]]), np.ones(1))
    good = metric.count_pair(np.array([[0.9]]), np.ones(1))
    assert metric.best_annotator([half, good, good]) == 1
    assert metric.best_annotator([metric.count_pair(np.zeros((1, 0)), np.ones(1)), half]) == 1
