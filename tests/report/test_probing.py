"""Figure 17: masks alike in a model's embedding. A model whose embedding is the picture's colours knows what the answer is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sambench.automatic.probing import agreement, embedded, neighbours
from sambench.errors import ModelError
from sambench.models.embedding import ImageEmbedding, embedder, mask_embedding
from sambench.pixels.region import Region
from sambench.sources import models
from sambench.types import Instance, Sample
from tests.helpers.inprocess import Cli

COLOURS = {"red": (220, 20, 20), "green": (20, 200, 30), "blue": (30, 40, 230)}


class Colours:
    """The embedding of a picture is itself, a position a pixel, with padding of another value at the right and below."""

    def encode(self, image: np.ndarray) -> np.ndarray:
        return image

    def decode(self, state: np.ndarray, prompts: list) -> list:  # type: ignore[type-arg]
        return []

    def embedding(self, state: np.ndarray) -> ImageEmbedding:
        values = np.full((3, state.shape[0] + 7, state.shape[1] + 3), 1e4, np.float32)
        values[:, : state.shape[0], : state.shape[1]] = state.transpose(2, 0, 1)
        return ImageEmbedding(values, (1.0, 1.0))


def _sample(image_id: str, kinds: list[str]) -> Sample:
    """Squares in a row, each of a colour, on grey that no mask covers."""
    image = np.full((20, 20 * len(kinds), 3), 128, np.uint8)
    instances = []
    for i, kind in enumerate(kinds):
        mask = np.zeros(image.shape[:2], bool)
        mask[4:16, 20 * i + 4 : 20 * i + 16] = True
        image[mask] = COLOURS[kind]
        instances.append(Instance(f"{i}", Region.from_array(mask), category=kind))
    return Sample("d", image_id, *image.shape[:2], tuple(instances), lambda: image)


def test_the_embedding_is_the_mean_over_the_mask_alone() -> None:
    sample = _sample("a", ["red", "blue"])
    for instance in sample.instances:
        colour = np.array(COLOURS[instance.category], np.float64)
        found = mask_embedding(Colours(), sample.image, instance.region)
        assert found == pytest.approx(colour / np.linalg.norm(colour), abs=1e-6)


def test_nearest_are_those_of_the_same_colour() -> None:
    samples = [_sample("a", ["red", "green", "red", "blue"]), _sample("b", ["green", "blue", "blue"]), _sample("c", ["red"])]
    masks = embedded(Colours(), samples, most=10)
    assert len(masks) == 8
    for one in neighbours(masks, n_queries=10, n=1, across=True):
        assert one.found[0][0].instance.category == one.query.instance.category
        assert one.found[0][1] == pytest.approx(1)
    inside = neighbours(masks, n_queries=10, n=9, across=False)
    assert len(inside) == 7  # the third picture has one mask, with nothing to be near to
    assert all(f.sample.image_id == one.query.sample.image_id for one in inside for f, _ in one.found)
    all_of = agreement(masks, across=True)
    assert (all_of.n, all_of.share) == (8, 1.0)
    assert all_of.chance == pytest.approx((3 * 2 / 7 + 2 * 1 / 7 + 3 * 2 / 7) / 8)
    inside_of = agreement(masks, across=False)
    assert (inside_of.n, inside_of.share) == (7, pytest.approx(4 / 7))
    assert len(embedded(Colours(), samples, most=2)) == 5


def test_models_without_an_embedding_and_broken_ones_are_refused() -> None:
    otsu = models.build(models.resolve("otsu", {}, device="cpu", precision="fp32").spec)
    with pytest.raises(ModelError, match="gives no embedding"):
        embedder(otsu, "otsu")

    class Broken(Colours):
        def embedding(self, state: np.ndarray) -> ImageEmbedding:
            return ImageEmbedding(np.full((3, 2, 2), np.nan, np.float32), (0.1, 0.1))

    sample = _sample("a", ["red"])
    with pytest.raises(ModelError, match="embedding cannot be used"):
        mask_embedding(Broken(), sample.image, sample.instances[0].region)


def test_the_sheet_of_sam_nano(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    cli = Cli(monkeypatch, capsys)
    flags = ("--images", "1", "--most", "3", "--queries", "1", "-n", "2", "--format", "csv,png")
    ended = cli("probe", "demo", "--model", "sam_nano", *flags)
    assert ended.code == 0, ended.err
    assert "among 3 masks" in ended.err
    rows = Path("probe/figures/fig17.csv").read_text().splitlines()
    assert len(rows) == 1 + 2
    cosines = [float(r.rsplit(",", 1)[1]) for r in rows[1:]]
    assert cosines == sorted(cosines, reverse=True)
    assert -1 <= cosines[-1] <= cosines[0] <= 1
    assert Path("probe/figures/fig17.png").stat().st_size > 5000
    assert "gives no embedding" in cli("probe", "demo", "--model", "otsu").err
