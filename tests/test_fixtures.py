"""Every dataset, by one test each: the card, and the reader on a tiny copy in the authors' own layout."""

from __future__ import annotations

import inspect
import os
import pickle
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sambench import api, cards, fixtures
from sambench.cards import load_entry
from sambench.files.content import tree_digest
from sambench.getting import data
from sambench.loaders.open import open_dataset
from sambench.types import Dataset, Prediction, Prompt, Sample

NAMES = fixtures.names()
each_fixture = pytest.mark.parametrize("name", NAMES)


class Disc:
    """A model in a few lines: a disc around the click, another twice as wide; and brightness as edges."""

    max_batch = 8

    def encode(self, image: np.ndarray) -> tuple[int, int]:
        return image.shape[0], image.shape[1]

    def decode(self, state: tuple[int, int], prompts: list[Prompt]) -> list[Prediction]:
        y, x = np.mgrid[: state[0], : state[1]]
        out = []
        for prompt in prompts:
            (px, py) = prompt.points_xy[0]
            distance = np.hypot(x - px, y - py)
            masks = np.stack([distance <= radius for radius in (4, 8, 16)])
            out.append(Prediction(masks, np.array([0.3, 0.2, 0.1], np.float32)))  # type: ignore[arg-type]
        return out


class Copies:
    """Each fixture, written once for this module."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.made: dict[str, fixtures.Expected] = {}

    def of(self, name: str) -> tuple[Path, fixtures.Expected]:
        root = self.base / name
        if name not in self.made:
            self.made[name] = fixtures.write(name, root)
        return root, self.made[name]

    def open(self, name: str) -> tuple[Dataset, fixtures.Expected]:
        root, expected = self.of(name)
        return open_dataset(cards.dataset_card(name), root=root), expected


@pytest.fixture(scope="module")
def copies(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Copies]:
    base = tmp_path_factory.mktemp("fixtures")
    yield Copies(base)
    shutil.rmtree(base, ignore_errors=True)


def n_objects(sample: Sample) -> int:
    return len(sample.instances) + len(sample.boundaries)


@each_fixture
def test_the_card_says_what_a_person_needs(name: str) -> None:
    card = cards.dataset_card(name)
    for key in ("name", "image_type", "layout", "licence", "citation", "homepage"):
        assert getattr(card, key), key
    assert card.access.steps, "how to get it"
    reader = load_entry(card.reader, where=name)
    assert callable(getattr(reader, "fits", None)), "a wrong folder must be recognised"
    for variant in (None, *card.variants):
        inspect.signature(reader).bind(Path(), name=name, variant="x", **card.options_of(variant))
    for variant in card.variants.values():
        assert variant.description
        assert variant.options, "a variant that changes nothing"


@each_fixture
def test_counts_and_pixels(copies: Copies, name: str) -> None:
    dataset, expected = copies.open(name)
    records = list(dataset.index())
    assert len({r.image_id for r in records}) == len(records)
    samples = {r.image_id: dataset.load(r.image_id) for r in records}
    for record in records:
        sample = samples.get(record.image_id)
        if sample is None:
            continue
        dropped = sample.n_dropped
        assert n_objects(sample) <= record.n_masks <= n_objects(sample) + dropped, record
        assert sample.cluster_id == (record.cluster_id or record.image_id)
        assert (sample.dataset, sample.image_id) == (name, record.image_id)
        assert sample.image.shape == (sample.height, sample.width, 3)
        assert sample.image.dtype == np.uint8
        assert Path(record.file).is_file()
        for instance in sample.instances:
            assert instance.area_px > 0
            assert (instance.region.height, instance.region.width) == (sample.height, sample.width)
        ids = [i.object_id for i in sample.instances]
        assert len(set(ids)) == len(ids)
    with_masks = [s for s in samples.values() if n_objects(s)]
    assert len(with_masks) == expected.n_images
    assert sum(map(n_objects, with_masks)) == expected.n_masks
    assert sum(s.n_dropped for s in samples.values()) == expected.n_dropped
    assert sum(s.ignore is not None and s.ignore.area > 0 for s in samples.values()) == expected.n_ignored
    if expected.clusters is not None:
        assert len({s.cluster_id for s in with_masks}) == expected.clusters
    if cards.dataset_card(name).mask_kind != "boundary":
        assert {p.foreground for p in expected.pixels} == {True, False}, "a fixture needs pixels inside and outside"
    for pixel in expected.pixels:
        (instance,) = [i for i in samples[pixel.image_id].instances if i.object_id == pixel.object_id]
        assert bool(instance.region.full()[pixel.y, pixel.x]) is pixel.foreground, pixel


@each_fixture
def test_readers_travel_to_workers_and_answer_the_same(copies: Copies, name: str) -> None:
    dataset, _ = copies.open(name)
    other = pickle.loads(pickle.dumps(dataset))
    assert list(other.index()) == list(dataset.index())
    image_id = next(r.image_id for r in dataset.index() if r.n_masks)
    a, b = dataset.load(image_id), other.load(image_id)
    assert [(i.object_id, i.category, i.region.rle()) for i in a.instances] == [
        (i.object_id, i.category, i.region.rle()) for i in b.instances
    ]
    assert np.array_equal(a.image, b.image)


@each_fixture
def test_the_digest_knows_the_annotations_not_the_place(copies: Copies, name: str, tmp_path: Path) -> None:
    root, _ = copies.of(name)
    shutil.copytree(root, tmp_path / "copy")
    for path in (tmp_path / "copy").rglob("*"):
        os.utime(path, ns=(10**18, 10**18))
    card = cards.dataset_card(name)
    first, second = (open_dataset(card, root=r) for r in (root, tmp_path / "copy"))
    assert first.annotation_digest() == second.annotation_digest()
    here, there = ([replace(r, file="") for r in d.index()] for d in (first, second))
    assert here == there


@each_fixture
def test_the_writer_is_reproducible(copies: Copies, name: str, tmp_path: Path) -> None:
    root, expected = copies.of(name)
    assert fixtures.write(name, tmp_path) == expected
    for path in (p for p in root.rglob("*") if p.is_file()):
        assert (tmp_path / path.relative_to(root)).exists(), path
    digests = []
    for folder in (root, tmp_path):
        plain = (p for p in folder.rglob("*") if p.suffix in (".png", ".json", ".csv", ".txt"))
        digests.append(tree_digest(folder, plain))
    assert digests[0] == digests[1]


@each_fixture
def test_every_variant_opens(copies: Copies, name: str) -> None:
    root, _ = copies.of(name)
    card = cards.dataset_card(name)
    default = open_dataset(card, root=root)
    reader: Any = load_entry(card.reader, where=name)
    for variant in card.variants:
        if not reader.fits(root, **card.options_of(variant)):
            continue  # another split or file, which this copy does not have
        dataset = open_dataset(card, variant=variant, root=root)
        for record in dataset.index():
            if record.n_masks:
                dataset.load(record.image_id)
        assert (dataset.name, dataset.variant) == (default.name, variant)


@each_fixture
def test_preview(copies: Copies, name: str, tmp_path: Path) -> None:
    from PIL import Image

    root, expected = copies.of(name)
    sheet = data.preview(name, tmp_path / "sheet.png", n=2, root=root)
    with Image.open(sheet) as image:
        assert image.width > 380 * min(2, expected.n_images)


@each_fixture
def test_verify_reads_all_of_it(copies: Copies, name: str) -> None:
    root, expected = copies.of(name)
    report = data.verify(name, root=root)
    assert report.broken == ()
    assert report.n_masks == expected.n_masks
    assert report.n_dropped == expected.n_dropped
    assert all(c.verdict == "different" for c in report.checks)


@each_fixture
def test_a_point_run(copies: Copies, name: str, tmp_path: Path) -> None:
    root, expected = copies.of(name)
    if cards.dataset_card(name).mask_kind == "boundary":
        pytest.skip("holds boundaries: a set of the edge task")
    request: dict[str, Any] = {"root": str(root), "out": tmp_path, "subset": "full", "settings": {"clicks": (1, 2)}}
    results = api.evaluate(Disc(), datasets=name, name="disc", **request)
    rows = results.rows(["status", "k", "image_id", "cluster_id", "iou_top", "iou_oracle"])
    assert (rows["status"] == "ok").all()
    assert len(rows) == 2 * expected.n_masks
    assert rows["image_id"].nunique() == expected.n_images
    assert (rows["iou_oracle"] >= rows["iou_top"]).all()
    assert rows["iou_oracle"].max() > 0
    if expected.clusters is not None:
        assert rows["cluster_id"].nunique() == expected.clusters
