"""The embedded dataset: frozen pixels and masks, and a cache that processes can share and that heals itself."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from sambench import cards, paths
from sambench.errors import DataError
from sambench.loaders import demo
from sambench.loaders.demo import draw as demo_draw
from sambench.loaders.demo import scenes as demo_scenes
from sambench.loaders.demo import shapes as demo_shapes
from sambench.loaders.open import open_dataset
from sambench.types import Dataset

# Frozen: bars on `demo` refer to exactly these scenes. Never change them; a new set of scenes gets a new revision.
PIXELS_AND_MASKS = "594f9e424f0e7c1a3a38830f707fd830d2288625a123830807ee25dbe3da8206"
ANNOTATIONS = "dbab56a45dd3a6a30c0c9c127ed1765facc318d5badd135e02dc8a66de74b4d4"
OBJECTS = 893

# A few small scenes instead of all, in a process of its own.
GENERATE = """
import sys
from pathlib import Path
from sambench.loaders import demo
from sambench.loaders.demo import scenes as demo_scenes
demo_scenes.SCENES = demo_scenes.SCENES[16:17] * 3
demo._check = lambda found: None
demo.ensure(Path(sys.argv[1]))
"""


@pytest.fixture
def scenes() -> Dataset:
    return open_dataset(cards.dataset_card("demo"))


def test_pixels_and_masks_are_frozen(scenes: Dataset) -> None:
    h = hashlib.sha256()
    for record in scenes.index():
        sample = scenes.load(record.image_id)
        h.update(f"{record.image_id} {sample.height} {sample.width}\n".encode())
        h.update(sample.image.tobytes())
        for i in sample.instances:
            h.update(f"{i.object_id} {i.category} {i.region.window}\n".encode())
            h.update(np.packbits(i.region.array).tobytes())
    assert h.hexdigest() == PIXELS_AND_MASKS
    assert scenes.annotation_digest() == ANNOTATIONS


def test_counts_sizes_and_the_card(scenes: Dataset) -> None:
    index = scenes.index()
    card = cards.dataset_card("demo")
    assert card.full is not None
    assert (len(index), sum(r.n_masks for r in index)) == (24, OBJECTS) == (card.full.images, card.full.masks)
    assert sorted(r.image_id for r in index if r.n_masks > 100) == ["04-cells", "05-pebbles"]
    sizes = {(s.width, s.height) for s in map(scenes.load, (r.image_id for r in index))}
    assert len(sizes) == 24
    assert (320, 240) in sizes
    assert (900, 700) in sizes
    assert any(h > w for w, h in sizes)


def test_objects_are_fair(scenes: Dataset) -> None:
    """Large enough to be clicked, none hidden, with holes, thin parts, and parts inside wholes."""
    holes = thin = nested = 0
    kinds: Counter[str] = Counter()
    for record in scenes.index():
        sample = scenes.load(record.image_id)
        assert sample.n_dropped == 0
        for a in sample.instances:
            assert a.area_px >= 40
            kinds[a.category] += 1
            holes += _has_hole(a.region.array)
            x0, y0, x1, y1 = a.box_xyxy
            thin += a.area_px < 0.25 * (x1 - x0 + 1) * (y1 - y0 + 1)
            nested += any(b is not a and b.region.intersection(a.region) == a.area_px for b in sample.instances)
    assert len(kinds) > 40
    assert holes > 60
    assert thin > 20
    assert nested > 150


def _has_hole(mask: np.ndarray) -> bool:
    from scipy.ndimage import binary_fill_holes

    return bool((binary_fill_holes(mask) & ~mask).sum() > 8)


def test_drawing_twice_gives_the_same_and_seeds_matter() -> None:
    a, b = (demo_scenes.draw(16) for _ in range(2))
    assert np.array_equal(a.image, b.image)
    assert all(np.array_equal(p.visible, q.visible) for p, q in zip(a.things, b.things, strict=True))
    assert not np.array_equal(demo_shapes.Dice(1).field(4, 4), demo_shapes.Dice(2).field(4, 4))


def test_later_things_hide_earlier_ones_and_parts_stay_in_their_wholes() -> None:
    board = demo_draw.Board(40, 60, demo_shapes.Dice(0))
    skin = demo_draw.Skin((100, 100, 100))
    low = board.put(demo_shapes.box(1, 1), skin, at=(20, 20), size=10, category="low")
    part = board.put(demo_shapes.box(0.5, 2), skin, at=(20, 20), size=10, category="part", part_of=low, reach=2.1)
    top = board.put(demo_shapes.ellipse(), skin, at=(28, 20), size=9, category="top")
    seen = [board.things[i].visible for i in (low, part, top)]
    assert not (seen[2] & (seen[0] | seen[1])).any()
    assert not (seen[1] & ~seen[0]).any()  # the whole holds its part, also where that sticks out
    assert seen[0][2, 20]
    assert {t.category for t in board.annotations()} >= {"low", "top"}


def test_no_platform_dependent_arithmetic() -> None:
    """Transcendental functions and float reductions round differently from one machine to the next."""
    import sambench.loaders as loaders

    folder = Path(loaders.__path__[0]) / "demo"
    forbidden = ("math.", "np.sin", "np.cos", "np.exp", "np.power", "np.hypot", "np.arctan", "np.sum", ".mean(", " ** ",
                 "cv2", "np.dot", " @ ", "np.sqrt(np", "default_rng", ".normal(", "np.linspace", "np.interp")  # fmt: skip
    for name in ("shapes", "draw", "things", "scenes"):
        text = (folder / f"{name}.py").read_text()
        assert not [f for f in forbidden if f in text]


def test_two_processes_generate_at_once(tmp_path: Path) -> None:
    root = tmp_path / "cache" / "demo-1"
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    running = [subprocess.Popen([sys.executable, "-c", GENERATE, str(root)], env=env) for _ in range(2)]
    assert [p.wait(120) for p in running] == [0, 0]
    assert demo.is_complete(root)
    assert [p.name for p in root.parent.iterdir()] == ["demo-1"]  # nothing left aside


@pytest.mark.parametrize("harm", ["image lost", "image cut", "mark lost", "mark garbled"])
def test_incomplete_cache_is_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, harm: str) -> None:
    made = []

    def generate(folder: Path) -> None:  # stands in for the slow one
        made.append(folder)
        (folder / "images").mkdir()
        (folder / "images" / "a.png").write_bytes(b"12345")
        (folder / "complete.json").write_text('{"images/a.png": 5}')

    monkeypatch.setattr(demo, "generate", generate)
    root = tmp_path / "demo-1"
    demo.ensure(root)
    demo.ensure(root)
    assert len(made) == 1
    image, mark = root / "images" / "a.png", root / "complete.json"
    {
        "image lost": image.unlink,
        "image cut": lambda: image.write_bytes(b"123"),
        "mark lost": mark.unlink,
        "mark garbled": lambda: mark.write_text("{"),
    }[harm]()
    assert not demo.is_complete(root)
    demo.ensure(root)
    assert demo.is_complete(root)
    assert [p.name for p in tmp_path.iterdir()] == ["demo-1"]


def test_failed_generation_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo_scenes, "SCENES", demo_scenes.SCENES[16:17])
    with pytest.raises(DataError, match="draws the demo scenes differently"):
        demo.ensure(tmp_path / "demo-1")
    assert list(tmp_path.iterdir()) == []


def test_unwritable_cache_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SAMBENCH_CACHE", str(tmp_path / "file"))
    with pytest.raises(DataError, match="SAMBENCH_CACHE"):
        open_dataset(cards.dataset_card("demo")).index()
    assert paths.cache() == tmp_path / "file"
