"""A valid annotation file says the same whatever types its numbers and flags have: each JSON reader gives the same rows."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sambench import cards, fixtures
from sambench.loaders.coco_results import read_results
from sambench.loaders.open import open_dataset
from tests.helpers.fuzz_readers import RESULTS, annotation_files

DATASETS = ["coco_2017_val", "lvis_v1_val", "timberseg", "plittersdorf", "ovis", "visor"]  # one for each reader, and its options
FLAGS = ("iscrowd",)


def retyped(value: Any, rng: random.Random, key: str = "") -> Any:
    """The value with its numbers and flags written in other types that say the same."""
    if isinstance(value, dict):
        return {k: retyped(v, rng, k) for k, v in value.items()}
    if isinstance(value, list):
        return [retyped(v, rng, key) for v in value]
    if isinstance(value, bool) or key in FLAGS:
        on = bool(value)
        return rng.choice([on, int(on), float(on), str(int(on)), str(float(on)), str(on).lower()])
    if isinstance(value, int) and abs(value) < 1 << 53:
        return rng.choice([value, float(value), str(value), str(float(value))])
    if isinstance(value, float):
        return rng.choice([value, str(value), repr(value)])
    return value


def rows_of(name: str, root: Path) -> list[Any]:
    """All that a run takes from a dataset: ids, counts, clusters, attributes, masks, and the ground truth for detection."""
    dataset = open_dataset(cards.dataset_card(name), root=root)
    out: list[Any] = []
    for record in dataset.index():
        sample = dataset.load(record.image_id)
        out.append([record.image_id, record.n_masks, sample.cluster_id, sample.height, sample.width, dict(sample.attributes)])
        out += [[i.object_id, i.category, dict(i.attributes), i.region.rle()] for i in sample.instances]
        out.append([dict(sample.left_out), None if sample.ignore is None else sample.ignore.rle()])
        if sample.annotated is not None:
            truth = sample.annotated()
            out.append([truth.negative_ids, truth.not_exhaustive_ids, dict(truth.categories)])
            out += [[o.object_id, o.category_id, o.is_crowd, o.area, o.box_xywh] for o in truth.objects]
    return out


@pytest.fixture(scope="module", params=DATASETS)
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path, dict[Path, Any], list[Any]]:
    root = tmp_path_factory.mktemp("retyped") / request.param
    fixtures.write(request.param, root)
    files = {p: json.loads(p.read_text()) for p in annotation_files(root) if p.suffix == ".json" and not p.name.startswith(".")}
    return request.param, root, files, rows_of(request.param, root)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(rng=st.randoms(use_true_random=False))
def test_rows_are_the_same(world: tuple[str, Path, dict[Path, Any], list[Any]], rng: random.Random) -> None:
    name, root, files, expected = world
    for path, content in files.items():
        path.write_text(json.dumps(retyped(content, rng)))
    assert rows_of(name, root) == expected


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rng=st.randoms(use_true_random=False))
def test_results_are_the_same(tmp_path: Path, rng: random.Random) -> None:
    path = tmp_path / "results.json"

    def read() -> list[Any]:
        results = read_results(path)
        found = [results.of(i) for i in results.image_ids]
        rles = [f.rle(i, 48, 64) for f in found for i in range(len(f)) if f.has_mask(i)]
        return [results.image_ids, results.category_ids, rles, *(v.tolist() for f in found for v in (f.score, f.category_id))]

    path.write_text(json.dumps(RESULTS))
    expected = read()
    path.write_text(json.dumps(retyped(RESULTS, rng)))
    assert read() == expected
