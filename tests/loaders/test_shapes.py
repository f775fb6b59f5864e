"""What annotation tools draw: every shape that is an area is a mask, every other one is left out and counted, and costs nothing."""

from __future__ import annotations

import base64
import contextlib
import io
import json
import math
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from sambench import fixtures
from sambench.errors import DataError, SambenchError
from sambench.loaders import shapes
from sambench.loaders.labelme import LabelmeJson
from sambench.loaders.via import ViaJson
from sambench.loaders.woodscape import WoodScape
from sambench.types import EMPTY, NO_AREA, TOO_SHORT, Dataset, Sample

H, W = 40, 60
QUICK = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def picture(path: Path, size: tuple[int, int] = (H, W)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((*size, 3), 90, np.uint8)).save(path)


def via(root: Path, *drawn: Mapping[str, Any], name: str = "a.png", **options: Any) -> ViaJson:
    picture(root / "images" / "a.png")
    regions = [{"shape_attributes": dict(d), "region_attributes": {}} for d in drawn]
    (root / "via.json").write_text(json.dumps({f"{name}-1": {"filename": name, "size": -1, "regions": regions}}))
    return ViaJson(root, "mine", sets={"images": "via.json"}, **options)


def labelme(root: Path, *drawn: Mapping[str, Any], size: Any = (H, W), **options: Any) -> LabelmeJson:
    picture(root / "a.png")
    listed = [{"label": "car", "points": [], "group_id": None, "shape_type": "polygon", **d} for d in drawn]
    content = {"shapes": listed, "imageHeight": size[0], "imageWidth": size[1], "imagePath": "..\\a.png"}
    (root / "a.json").write_text(json.dumps(content))
    return LabelmeJson(root, "mine", layouts=[{"images": "{id}.png", "labels": "{id}.json"}], **options)


def areas(sample: Sample) -> list[int]:
    return [i.area_px for i in sample.instances]


def outline(*points: Sequence[float]) -> dict[str, Any]:
    return {"name": "polygon", "all_points_x": [p[0] for p in points], "all_points_y": [p[1] for p in points]}


SQUARE = ((8, 8), (28, 8), (28, 24), (8, 24))  # 20 x 16 pixels


# Geometry


def test_rectangles_are_what_their_outline_is() -> None:
    ends = [(8, 8, 28, 24), (28, 24, 8, 8), (-50, 5, 12.5, 1e9), (55.4, -3, 70, 9.6), (3, 3, 3, 9)]
    for x0, y0, x1, y1 in ends:
        clipped = [(min(max(x, 0), W), min(max(y, 0), H)) for x, y in ((x0, y0), (x1, y0), (x1, y1), (x0, y1))]
        drawn = shapes.rectangle(x0, y0, x1, y1, (H, W), "x")
        assert np.array_equal(drawn.full(), shapes.polygon(clipped, (H, W), "x").full())
    assert shapes.rectangle(8, 8, 28, 24, (H, W), "x").area == 320


def test_ellipses_cover_the_pixels_whose_centre_is_inside() -> None:
    y, x = np.mgrid[:H, :W] + 0.5
    rng = np.random.default_rng(0)
    for _ in range(60):
        cx, cy, rx, ry, theta = rng.uniform([-5, -5, 0.3, 0.3, -4], [65, 45, 30, 30, 4])
        dx, dy = x - cx, y - cy
        along, across = dx * math.cos(theta) + dy * math.sin(theta), dy * math.cos(theta) - dx * math.sin(theta)
        inside = (along / rx) ** 2 + (across / ry) ** 2 <= 1
        assert np.array_equal(shapes.ellipse(cx, cy, rx, ry, (H, W), "x", theta=theta).full(), inside)
    assert shapes.ellipse(30, 20, 1e200, 1e300, (H, W), "x").area == H * W
    assert shapes.ellipse(1e300, 20, 5, 5, (H, W), "x").area == 0
    assert shapes.ellipse(30, 20, 0, 5, (H, W), "x").area == 0
    assert shapes.ellipse(30, 20, 5e-324, 5, (H, W), "x").area == 0
    with pytest.raises(DataError, match="negative radius"):
        shapes.ellipse(30, 20, -1, 5, (H, W), "x")


# VIA


def test_via_areas(tmp_path: Path) -> None:
    drawn = [
        {"name": "rect", "x": 8, "y": 8, "width": 20, "height": 16},
        {"name": "circle", "cx": 30, "cy": 20, "r": 10},
        {"name": "ellipse", "cx": 30, "cy": 20, "rx": 12, "ry": 6},
        {"name": "ellipse", "cx": 30, "cy": 20, "rx": 12, "ry": 6, "theta": math.pi / 2},
        outline(*SQUARE),
        {**outline(*SQUARE), "name": "polyline"},
    ]
    sample = via(tmp_path, *drawn).load("a")
    found = areas(sample)
    assert found[0] == found[4] == found[5] == 320
    assert found[1] == pytest.approx(math.pi * 100, rel=0.02)
    assert found[2] == found[3] == pytest.approx(math.pi * 72, rel=0.04)
    wide, tall = (sample.instances[k].box_xyxy for k in (2, 3))
    assert (wide[2] - wide[0], wide[3] - wide[1]) == (tall[3] - tall[1], tall[2] - tall[0])
    assert not sample.left_out


def test_via_what_is_no_area_is_counted(tmp_path: Path) -> None:
    drawn = [{"name": "point", "cx": 4, "cy": 4}, outline((1, 1), (9, 9)), outline(*SQUARE), outline((5, 5), (5, 5), (5, 5))]
    dataset = via(tmp_path, *drawn)
    sample = dataset.load("a")
    assert [i.object_id for i in sample.instances] == ["2"]
    assert sample.left_out == {NO_AREA: 1, TOO_SHORT: 1, EMPTY: 1}
    assert [(r.image_id, r.n_masks) for r in dataset.index()] == [("a", 1)]
    only = via(tmp_path / "points", drawn[0])
    assert [r.n_masks for r in only.index()] == [0]
    assert (only.load("a").instances, only.load("a").n_dropped) == ((), 1)


@pytest.mark.parametrize(
    ("shape", "said"),
    [
        ({"name": "circle", "cx": 5, "cy": 5}, "r of a circle"),
        ({"name": "rect", "x": 1, "y": 1, "width": float("nan"), "height": 3}, "NaN"),
        ({"name": "spline"}, "polygon, polyline, rect, circle, ellipse, point"),
        ({"name": ["polygon"]}, "polygon, polyline"),
        ({"name": "polygon", "all_points_x": [1, 2, 3], "all_points_y": [1, 2]}, "of one length"),
    ],
)
def test_via_broken_regions_are_named(shape: dict[str, Any], said: str, tmp_path: Path) -> None:
    dataset = via(tmp_path, outline(*SQUARE), shape)
    assert len(dataset.index()) == 1
    with pytest.raises(DataError) as e:
        dataset.load("a")
    assert said in str(e.value)
    assert "region 1 of a.png" in str(e.value)


@pytest.mark.parametrize("name", ["C:\\photos\\a.png", "../images/a.png", "https://example.org/x/a.png", "A.PNG"])
def test_via_names_of_other_places(name: str, tmp_path: Path) -> None:
    (record,) = via(tmp_path, outline(*SQUARE), name=name).index()
    assert record.image_id in ("a", "A")
    assert areas(via(tmp_path, outline(*SQUARE), name=name).load(record.image_id)) == [320]


def test_via_two_pictures_of_one_stem(tmp_path: Path) -> None:
    via(tmp_path, outline(*SQUARE))
    picture(tmp_path / "images" / "a.jpg")
    regions = [{"shape_attributes": outline(*SQUARE)}]
    records = {n: {"filename": n, "size": 1, "regions": regions} for n in ("a.png", "a.jpg")}
    (tmp_path / "via.json").write_text(json.dumps(records))
    with pytest.raises(DataError, match=r"(?s)'a.png' and 'a.jpg'.*ids = \"name\""):
        ViaJson(tmp_path, "mine", sets={"images": "via.json"}).index()
    dataset = ViaJson(tmp_path, "mine", sets={"images": "via.json"}, ids="name")
    assert [r.image_id for r in dataset.index()] == ["a.png", "a.jpg"]


# LabelMe


def mask_shape(x0: int, y0: int, mask: np.ndarray, **more: Any) -> dict[str, Any]:
    out = io.BytesIO()
    Image.fromarray(mask).save(out, format="PNG")
    points = [[x0, y0], [x0 + mask.shape[1] - 1, y0 + mask.shape[0] - 1]]
    return {"shape_type": "mask", "points": points, "mask": base64.b64encode(out.getvalue()).decode(), **more}


def test_labelme_areas(tmp_path: Path) -> None:
    ring = np.ones((10, 12), np.uint8)
    ring[3:7, 3:9] = 0
    sample = labelme(
        tmp_path,
        {"points": SQUARE},
        {"points": SQUARE, "shape_type": None},
        {"points": [[28, 24], [8, 8]], "shape_type": "rectangle"},
        {"points": SQUARE, "shape_type": "oriented_rectangle"},
        {"points": [[30, 20], [30, 30]], "shape_type": "circle"},
        mask_shape(5, 6, ring),
        mask_shape(5, 6, ring > 0),
        mask_shape(W - 4, -3, ring * 255),
    ).load("a")
    found = areas(sample)
    assert found[:4] == [320] * 4
    assert found[4] == pytest.approx(math.pi * 100, rel=0.02)
    assert found[5] == found[6] == ring.sum()
    assert np.array_equal(sample.instances[5].region.full()[6:16, 5:17], ring > 0)
    assert np.array_equal(sample.instances[7].region.full()[:7, W - 4 :], ring[3:, :4] > 0)  # cut off by the frame


def test_labelme_what_is_no_area_is_counted(tmp_path: Path) -> None:
    kinds = ("point", "points", "line", "linestrip")
    lines = [{"shape_type": k, "points": [[1, 1], [9, 9], [9, 1]]} for k in kinds]
    short = [{"points": [[1, 1], [9, 9]]}, {"shape_type": "circle", "points": [[4, 4]]}]
    dataset = labelme(tmp_path, *lines, *short, {"points": SQUARE}, {"points": [[70, 70], [80, 70], [80, 80]]})
    sample = dataset.load("a")
    assert [i.object_id for i in sample.instances] == ["6"]
    assert sample.left_out == {NO_AREA: 4, TOO_SHORT: 2, EMPTY: 1}
    assert [r.n_masks for r in dataset.index()] == [1]


def test_labelme_groups_join_parts_of_one_label(tmp_path: Path) -> None:
    far = [[36, 20], [56, 20], [56, 36], [36, 36]]
    drawn = [
        {"points": SQUARE, "group_id": 1},
        {"points": far, "group_id": "1"},
        {"points": [[30, 30]], "shape_type": "point", "group_id": 1},
        {"points": SQUARE, "group_id": 1, "label": "person"},
        {"points": far, "group_id": 2.0},
        {"points": far},
        {"points": far, "group_id": ""},
    ]
    dataset = labelme(tmp_path, *drawn)
    sample = dataset.load("a")
    assert [(i.object_id, i.category, i.area_px) for i in sample.instances] == [
        ("0", "car", 640), ("3", "person", 320), ("4", "car", 320), ("5", "car", 320), ("6", "car", 320),
    ]  # fmt: skip
    assert sample.left_out == {NO_AREA: 1}
    assert [r.n_masks for r in dataset.index()] == [5]
    assert len(labelme(tmp_path, *drawn, groups="separate").load("a").instances) == 6


@pytest.mark.parametrize("size", [(None, None), (-1, -1), (0, 0), ("", ""), (H, None), (float(H), str(W))])
def test_labelme_sizes_that_are_missing_are_the_pictures(size: Any, tmp_path: Path) -> None:
    dataset = labelme(tmp_path, {"points": SQUARE}, size=size)
    assert [r.n_masks for r in dataset.index()] == [1]
    assert (dataset.load("a").height, dataset.load("a").width) == (H, W)


@pytest.mark.parametrize(
    ("shape", "said"),
    [
        ({"shape_type": "cuboid", "points": SQUARE}, "polygon, rectangle"),
        ({"points": "1,2"}, "points (a list)"),
        ({"points": [[1, 2], [3, 4], [5, None]]}, "a point [x, y]"),
        ({"points": SQUARE, "group_id": [1]}, "group_id"),
        ({"shape_type": "mask", "points": [[1, 1], [4, 4]], "mask": "no image"}, "a PNG in base64"),
        ({"shape_type": "mask", "points": [[1, 1], [4, 4]], "mask": None}, "a PNG in base64"),
        ({"shape_type": "mask", "points": [[4, 4], [1, 1]], "mask": ""}, "two corners within 60 x 40"),
        ({**mask_shape(1, 1, np.ones((4, 4), np.uint8)), "points": [[1, 1], [3, 9]]}, "3 x 9 pixels"),
    ],
)
def test_labelme_broken_shapes_are_named(shape: dict[str, Any], said: str, tmp_path: Path) -> None:
    dataset = labelme(tmp_path, {"points": SQUARE}, shape)
    assert len(dataset.index()) == 1
    with pytest.raises(DataError) as e:
        dataset.load("a")
    assert said in str(e.value)
    assert "shape 1 of" in str(e.value)


# Numbers as people's tools write them


def rows(dataset: Dataset) -> list[Any]:
    found = []
    for record in dataset.index():
        sample = dataset.load(record.image_id)
        objects = [(i.object_id, i.category, i.region.full().tobytes()) for i in sample.instances]
        found.append((record.image_id, record.n_masks, sample.height, sample.width, objects, sample.left_out))
    return found


def retyped(value: Any, rng: random.Random) -> Any:
    """The same numbers in other types, as spreadsheets, pandas and JavaScript write them."""
    if isinstance(value, dict):
        return {k: v if k in ("label", "filename", "name", "mask") else retyped(v, rng) for k, v in value.items()}
    if isinstance(value, list):
        return [retyped(v, rng) for v in value]
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    return rng.choice([value, float(value), str(value), f"{float(value)}"])


VIA_FILE = ("via.json", lambda root: via(root, {"name": "rect", "x": 8, "y": 8, "width": 20, "height": 16}, outline(*SQUARE),
            {"name": "circle", "cx": 30, "cy": 20, "r": 10}, {"name": "point", "cx": 1, "cy": 2}))  # fmt: skip
LABELME_FILE = ("a.json", lambda root: labelme(root, {"points": [list(p) for p in SQUARE], "group_id": 1},
                {"points": [[30, 20], [30, 30]], "shape_type": "circle", "group_id": 1},
                mask_shape(5, 6, np.ones((4, 5), np.uint8)), {"points": [[1, 1]], "shape_type": "point"}))  # fmt: skip


def woodscape(root: Path) -> WoodScape:
    fixtures.write("woodscape", root)
    return WoodScape(root, "mine")


FILES = {"via": VIA_FILE, "labelme": LABELME_FILE, "woodscape": ("*.json", woodscape)}


@pytest.mark.parametrize("reader", FILES)
@QUICK
@given(seed=st.integers(0, 2**32))
def test_numbers_in_other_types_are_the_same_objects(reader: str, seed: int, tmp_path: Path) -> None:
    pattern, make = FILES[reader]
    dataset = make(tmp_path)
    before = rows(dataset)
    (path, *_) = sorted(tmp_path.rglob(pattern))
    path.write_text(json.dumps(retyped(json.loads(path.read_text()), random.Random(seed))))
    assert rows(dataset) == before


ODD = [None, True, -1, 10**400, 1e308, "", "x", "nan", [], {}, [[]], float("nan"), float("inf"), "1" * 5000, {"a": [1]}]


def harmed(value: Any, rng: random.Random) -> Any:
    """With something odd in one place."""
    if isinstance(value, dict) and value and rng.random() < 0.85:
        key = rng.choice(list(value))
        if rng.random() < 0.1:
            return {k: v for k, v in value.items() if k != key}
        return {**value, key: harmed(value[key], rng)}
    if isinstance(value, list) and value and rng.random() < 0.85:
        at = rng.randrange(len(value))
        return [*value[:at], harmed(value[at], rng), *value[at + 1 :]]
    return rng.choice(ODD)


@pytest.mark.parametrize("reader", FILES)
@QUICK
@given(seed=st.integers(0, 2**32))
def test_odd_values_are_told(reader: str, seed: int, tmp_path: Path) -> None:
    pattern, make = FILES[reader]
    dataset = make(tmp_path)
    (path, *_) = sorted(tmp_path.rglob(pattern))
    path.write_text(json.dumps(harmed(json.loads(path.read_text()), random.Random(seed))))
    said = []
    try:
        for record in dataset.index():
            with contextlib.suppress(DataError):
                dataset.load(record.image_id)
    except SambenchError as e:
        said.append(str(e))
    assert all(str(tmp_path) in text for text in said)
