"""Results files in COCO's form: what is read equals what JSON says, in any layout and chunk; what is wrong is named."""

from __future__ import annotations

import json
import os
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco_mask

from sambench.errors import DataError, RunError, UsageError
from sambench.getting.boxes import boxes_file
from sambench.loaders import results_index
from sambench.loaders.coco_results import NO_CATEGORY, read_results
from sambench.loaders.results_check import as_xyxy, beyond, check_boxes, check_ids, looks_like_corners, outside
from sambench.sources.proposals import ProposalFile

SIZE = (40, 60)


def entry(image: int | str = 1, score: float = 0.5, **more: Any) -> dict[str, Any]:
    return {"image_id": image, "category_id": 3, "bbox": [1.0, 2.0, 10.0, 12.0], "score": score, **more}


def rle(*box: int, size: tuple[int, int] = SIZE) -> dict[str, Any]:
    """Compressed RLE of the pixels y0:y1, x0:x1."""
    mask = np.zeros(size, np.uint8, order="F")
    if box:
        mask[box[0] : box[2], box[1] : box[3]] = 1
    found = coco_mask.encode(mask)
    return {"size": list(size), "counts": found["counts"].decode()}


def put(folder: Path, content: Any, name: str = "results.json") -> Path:
    path = folder / name
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    results_index._read.cache_clear()
    yield
    results_index._read.cache_clear()


ids = st.one_of(st.integers(0, 4), st.sampled_from(["a", "straße/1", '"quoted", []{}', "日本"]))
boxes = st.lists(st.floats(0, 500, allow_nan=False), min_size=4, max_size=4)
masks = st.sampled_from([None, rle(3, 4, 20, 30), rle(), [[1, 2, 30, 2, 30, 20.5]], {"size": [2, 2], "counts": [1, 2, 1]}])


@st.composite
def entries(draw: Any) -> list[dict[str, Any]]:
    out = []
    for _ in range(draw(st.integers(0, 12))):
        e: dict[str, Any] = {"image_id": draw(ids), "score": draw(st.floats(-5, 5))}
        if draw(st.booleans()):
            e["category_id"] = draw(st.integers(0, 9))
        mask = draw(masks)
        if mask is not None:
            e["segmentation"] = mask
        if mask is None or draw(st.booleans()):
            e["bbox"] = draw(boxes)
        e["more"] = {"nested": [{"}": "]"}, None, True]}
        out.append(e)
    return out


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(entries(), st.sampled_from([None, 1, 3]), st.integers(1, 200), st.booleans())
def test_what_is_read_is_what_json_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: list[dict[str, Any]], indent: int | None, chunk: int, ascii_only: bool
) -> None:
    results_index._read.cache_clear()
    path = put(tmp_path, "\ufeff " * ascii_only + json.dumps(content, indent=indent, ensure_ascii=ascii_only) + "\n")
    monkeypatch.setattr(results_index, "CHUNK", chunk)
    found = read_results(path)
    assert len(found) == len(content)
    assert found.image_ids == tuple(dict.fromkeys(str(e["image_id"]) for e in content))
    assert found.n_boxes == sum("bbox" in e for e in content)
    assert found.n_masks == sum("segmentation" in e for e in content)
    assert found.category_ids == tuple(sorted({e["category_id"] for e in content if "category_id" in e}))
    for image_id in found.image_ids:
        here = [(i, e) for i, e in enumerate(content) if str(e["image_id"]) == image_id]
        got = found.of(image_id)
        assert found.count_of(image_id) == len(got) == len(here)
        assert got.position.tolist() == [i for i, _ in here]
        assert got.score.tolist() == [e["score"] for _, e in here]
        assert got.category_id.tolist() == [e.get("category_id", NO_CATEGORY) for _, e in here]
        assert got.segmentations == tuple(e.get("segmentation") for _, e in here)
        for k, (_, e) in enumerate(here):
            assert np.array_equal(got.box_xywh[k], e.get("bbox", [np.nan] * 4), equal_nan=True)
    assert len(found.of("not there")) == 0


def test_masks_are_those_of_pycocotools(tmp_path: Path) -> None:
    polygon = [[3.5, 4.0, 40.0, 4.5, 38.0, 30.0]]
    uncompressed = {"size": list(SIZE), "counts": [50, 100, SIZE[0] * SIZE[1] - 150]}
    path = put(tmp_path, [entry(segmentation=m) for m in (rle(5, 6, 20, 30), polygon, uncompressed)])
    found = read_results(path).of("1")
    expected = [
        coco_mask.decode(rle(5, 6, 20, 30)),
        coco_mask.decode(coco_mask.merge(coco_mask.frPyObjects(polygon, *SIZE))),
        coco_mask.decode(coco_mask.frPyObjects(uncompressed, *SIZE)),
    ]
    for i, mask in enumerate(expected):
        assert np.array_equal(found.region(i, *SIZE).full(), mask.astype(bool))
        assert np.array_equal(coco_mask.decode(found.rle(i, *SIZE)), mask)


def test_boxes_of_masks_stand_in_for_missing_ones(tmp_path: Path) -> None:
    lone = {"image_id": 1, "category_id": 3, "score": 0.1}
    path = put(tmp_path, [entry(), {**lone, "segmentation": rle(5, 6, 20, 30)}, {**lone, "segmentation": []}])
    found = read_results(path).of("1")
    assert found.boxes(*SIZE).tolist() == [[1, 2, 10, 12], [6, 5, 24, 15], [0, 0, 0, 0]]
    assert [found.has_mask(i) for i in range(3)] == [False, True, True]
    assert found.region(2, *SIZE).area == 0


def test_an_empty_list_beside_a_box_is_no_mask(tmp_path: Path) -> None:
    found = read_results(put(tmp_path, [entry(segmentation=[])]))
    assert found.n_masks == 0
    assert not found.of("1").has_mask(0)


def test_the_best_keep_the_files_order_and_earlier_ones_among_equals(tmp_path: Path) -> None:
    scores = [0.1, 0.9, 0.5, 0.5, 0.5, 0.2]
    found = read_results(put(tmp_path, [entry(score=s) for s in scores])).of("1")
    assert found.best(3).position.tolist() == [1, 2, 3]
    assert found.best(6) is found


def test_duplicates_are_counted(tmp_path: Path) -> None:
    same = entry(segmentation=rle(1, 1, 5, 5))
    found = read_results(put(tmp_path, [same, entry(), same, entry(score=0.6), same])).of("1")
    assert found.n_duplicates() == 2


def test_memory_does_not_grow_with_the_masks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results_index, "CHUNK", 1 << 16)
    path = put(tmp_path, [entry(i // 20, segmentation={"size": [9, 9], "counts": "0" * 2000}) for i in range(4000)])
    tracemalloc.start()
    try:
        found = read_results(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(found) == 4000
    assert peak < path.stat().st_size / 8


def test_the_index_of_a_big_file_is_kept_until_the_file_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAMBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(results_index, "BIG", 0)
    path = put(tmp_path, [entry(2), entry("日"), entry(2, category_id=7)])
    first = read_results(path).index
    results_index._read.cache_clear()
    with monkeypatch.context() as m:
        m.setattr(results_index, "_scan", lambda path: pytest.fail("read again"))
        again = read_results(path)
    assert again.image_ids == first.image_ids == ("2", "日")
    assert again.category_ids == first.category_ids == (3, 7)
    assert [getattr(again.index, k).tolist() for k in ("starts", "offset", "end", "position")] == [
        getattr(first, k).tolist() for k in ("starts", "offset", "end", "position")
    ]
    assert again.of("2").category_id.tolist() == [3, 7]
    (store,) = (tmp_path / "cache" / "index").iterdir()
    store.write_bytes(store.read_bytes()[:100])
    results_index._read.cache_clear()
    assert read_results(path).image_ids == first.image_ids  # a damaged cache costs time alone
    put(tmp_path, [entry(5)] * 4)
    assert read_results(path).image_ids == ("5",)


def test_a_file_that_shrinks_under_a_reader_is_an_error(tmp_path: Path) -> None:
    path = put(tmp_path, [entry(), entry()])
    found = read_results(path)
    path.write_text("[]")
    with pytest.raises(RunError, match="changed while it was in use"):
        found.of("1")


WRONG = {
    "not JSON": ("nonsense", "not a list", "'nonsense'"),
    "nothing": ("", "not a list", "an empty file"),
    "ground truth": ({"images": [], "annotations": []}, "not a list", "looks like ground truth"),
    "an object": ({"results": []}, "not a list", "give the list itself"),
    "cut off in an entry": (json.dumps([entry(), entry()])[:-20], "truncated", "entry 1"),
    "cut off between entries": (json.dumps([entry()])[:-1], "truncated", "the end of the file"),
    "no comma": (json.dumps([entry()])[:-1] + json.dumps(entry()) + "]", "truncated", "a comma"),
    "a comma too many": (json.dumps([entry()])[:-1] + ",]", "truncated", "entry 1"),
    "more after the list": ("[]{}", "truncated", "nothing after the list"),
    "numbers": ([1, 2], "cannot be used", "entry 0"),
    "no image": ([entry(), {k: v for k, v in entry().items() if k != "image_id"}], "cannot be used", "entry 1"),
    "an image that is no id": ([entry(1.5)], "cannot be used", "image_id 1.5"),  # type: ignore[arg-type]
    "no score": ([{k: v for k, v in entry().items() if k != "score"}], "cannot be used", "without scores they have no order"),
    "a score that is none": ("[" + json.dumps(entry(score=float("nan"))) + "]", "cannot be used", "score nan"),
    "a score as words": ([{**entry(), "score": "high"}], "cannot be used", "score 'high'"),
    "neither box nor mask": ([{"image_id": 1, "score": 0.5}], "cannot be used", "neither"),
    "three numbers": ([entry(bbox=[1, 2, 3])], "cannot be used", "four finite numbers"),
    "a negative width": ([entry(bbox=[1, 2, -3, 4])], "cannot be used", "from 0 on"),
    "a box of words": ([entry(bbox=[1, 2, "three", 4])], "cannot be used", "four finite numbers"),
    "an infinite box": ("[" + json.dumps(entry(bbox=[1, 2, float("inf"), 4])) + "]", "cannot be used", "four finite numbers"),
    "a mask as text": ([entry(segmentation="abc")], "cannot be used", "an RLE object"),
    "a category as words": ([entry(category_id="cup")], "cannot be used", "category_id 'cup'"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_named(tmp_path: Path, name: str) -> None:
    content, message, said = WRONG[name]
    path = put(tmp_path, content)
    with pytest.raises(DataError, match=message) as e:
        read_results(path)
    assert said in str(e.value)
    assert str(path) in str(e.value)


@pytest.mark.parametrize("missing", ["nowhere.json", "."])
def test_no_file(tmp_path: Path, missing: str) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        read_results(tmp_path / missing)


@pytest.mark.parametrize(
    ("mask", "said"),
    [
        ({"size": [40, 60], "counts": "!!"}, "broken RLE"),
        ({"size": [40, 60], "counts": "d0"}, "add up to"),
        ({"size": [60, 40], "counts": "PZ2"}, "size"),
        ([[1, 2, 3]], "broken polygon"),
    ],
)
def test_broken_masks_name_their_entry(tmp_path: Path, mask: Any, said: str) -> None:
    found = read_results(put(tmp_path, [entry(), entry(segmentation=mask)])).of("1")
    for read in (found.rle, found.region):
        with pytest.raises(DataError, match="a detection has a broken") as e:
            read(1, *SIZE)
        assert said in str(e.value)
        assert "entry 1 of" in str(e.value)


# A file and the dataset it is said to belong to.

CATEGORIES = {3: "cup", 5: "spoon"}


def test_ids_that_fit_need_no_words(tmp_path: Path) -> None:
    results = read_results(put(tmp_path, [entry(1), entry(2)]))
    assert check_ids(results, ["1", "2"], CATEGORIES, extra="refuse") == []
    assert check_ids(results, ["1", "2", "3"], CATEGORIES, extra="refuse") == ["1 of 3 images without a detection in the file"]


def test_no_detections(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no detections"):
        check_ids(read_results(put(tmp_path, [])), ["1"], CATEGORIES, extra="drop")


def test_other_images(tmp_path: Path) -> None:
    results = read_results(put(tmp_path, [entry(1), entry(9), entry(9)]))
    with pytest.raises(DataError, match="does not have") as e:
        check_ids(results, ["1"], CATEGORIES, extra="refuse")
    assert "--extra drop" in str(e.value)
    notes = check_ids(results, ["1"], CATEGORIES, extra="drop")
    assert notes == ["2 detections of 1 image that the dataset does not have left out"]
    with pytest.raises(DataError, match="of other images"):
        check_ids(results, ["5"], CATEGORIES, extra="drop")


def test_other_categories(tmp_path: Path) -> None:
    indices = read_results(put(tmp_path, [entry(category_id=0), entry(category_id=3)]))
    with pytest.raises(DataError, match="categories that the dataset does not have") as e:
        check_ids(indices, ["1"], CATEGORIES, extra="refuse")
    assert "network's indices" in str(e.value)
    (note,) = check_ids(indices, ["1"], CATEGORIES, extra="drop")
    assert "1 categories" in note
    bare = read_results(put(tmp_path, [{k: v for k, v in entry().items() if k != "category_id"}], "bare.json"))
    with pytest.raises(DataError, match="have no category"):
        check_ids(bare, ["1"], CATEGORIES, extra="drop")
    assert check_ids(bare, ["1"], None, extra="refuse") == []


def some_boxes(n: int = 40, seed: int = 0) -> np.ndarray:
    """float64 [n, 4] x, y, width, height inside SIZE."""
    rng = np.random.RandomState(seed)
    start = rng.rand(n, 2) * [SIZE[1] - 10, SIZE[0] - 10]
    return np.concatenate([start, 2 + rng.rand(n, 2) * ([SIZE[1] - 3, SIZE[0] - 3] - start)], axis=1)


def test_corners_taken_for_sizes_are_suspected_and_said(tmp_path: Path) -> None:
    right = some_boxes()
    wrong = as_xyxy(right, "xywh")
    sizes = np.tile(np.array(SIZE, float), (len(right), 1))
    assert looks_like_corners(wrong, sizes)
    assert not looks_like_corners(right, sizes)
    path = put(tmp_path, [entry(bbox=b.tolist()) for b in wrong])
    results = read_results(path)
    with pytest.raises(DataError, match="look like corners") as e:
        check_boxes(results, ["1"], lambda _: SIZE, box_format="auto")
    assert "--box-format xyxy" in str(e.value)
    assert check_boxes(results, ["1"], lambda _: SIZE, box_format="xyxy") == []
    assert "reach beyond" in check_boxes(results, ["1"], lambda _: SIZE, box_format="xywh")[0]


def test_shares_of_the_image(tmp_path: Path) -> None:
    path = put(tmp_path, [entry(bbox=(b / [60, 40, 60, 40]).tolist()) for b in some_boxes()])
    with pytest.raises(DataError, match="shares of the image"):
        check_boxes(read_results(path), ["1"], lambda _: SIZE, box_format="auto")


def test_boxes_outside_and_duplicates_are_counted(tmp_path: Path) -> None:
    odd = [[70, 3, 5, 5], [10, 10, 0, 5], [50, 30, 30, 30]]
    path = put(tmp_path, [entry(bbox=b) for b in [*some_boxes().tolist(), *odd]] + [entry(), entry()])
    notes = check_boxes(read_results(path), ["1"], lambda _: SIZE, box_format="auto")
    assert notes[0].startswith("2 of 45 boxes in 1 image")
    assert notes[1].startswith("1 of 45 boxes")
    assert notes[2].startswith("1 detection stands there twice")


def test_outside_and_beyond() -> None:
    corners = np.array([[0, 0, 60, 40], [-5, 0, 3, 3], [60, 0, 70, 3], [-9, -9, 0, 0], [3, 3, 3, 9], [0, 0, 61, 41]], float)
    assert outside(corners, np.array(SIZE)).tolist() == [False, False, True, True, True, False]
    assert beyond(corners, np.array(SIZE)).tolist() == [False, True, True, True, False, False]


@pytest.mark.shared
def test_the_coco_apis_own_results(shared: Path) -> None:
    for name in ("bbox", "segm"):
        path = shared / "data" / "coco_sample" / f"instances_val2014_fake{name}100_results.json"
        content = json.loads(path.read_text())
        found = read_results(path)
        assert len(found) == len(content) == 734
        for image_id in found.image_ids:
            got = found.of(image_id)
            for i, position in enumerate(got.position):
                e = content[position]
                assert (str(e["image_id"]), e["category_id"], e["score"]) == (image_id, got.category_id[i], got.score[i])
                if name == "segm":
                    assert got.rle(i, *e["segmentation"]["size"])["counts"].decode() == e["segmentation"]["counts"]
                else:
                    assert got.box_xywh[i].tolist() == e["bbox"]


def test_what_is_no_file_is_an_error_at_once(tmp_path: Path) -> None:
    """Opening a pipe would wait without end."""
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path / ("x" * 5000), tmp_path / "a\0b"):
        with pytest.raises(DataError, match="cannot be read"):
            read_results(path)
    for name in ("x" * 5000, "a\0b"):
        with pytest.raises(UsageError, match="the file of boxes is not there"):
            boxes_file(name)


def test_the_index_is_of_the_bytes(tmp_path: Path) -> None:
    path = put(tmp_path, [entry(1), entry(2)])
    stat = path.stat()
    assert read_results(path).image_ids == ("1", "2")
    put(tmp_path, [entry(1), entry(3)])
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert read_results(path).image_ids == ("1", "3")


def test_detections_without_a_class(tmp_path: Path) -> None:
    """`"category_id": null`, as class-agnostic detectors write it."""
    mask = {"size": [40, 60], "counts": [1200, 1200]}
    path = put(tmp_path, [entry(category_id=None), {"image_id": 1, "category_id": None, "score": 0.5, "segmentation": mask}])
    results = read_results(path)
    assert results.of("1").category_id.tolist() == [-1, -1]
    assert results.n_categories == 0
    assert check_ids(results, ["1"], None, extra="refuse") == []
    with pytest.raises(DataError, match="detections have no category"):
        check_ids(results, ["1"], {1: "cup"}, extra="drop")
    masks = put(tmp_path, [{"image_id": 1, "category_id": None, "score": 0.5, "segmentation": mask}])
    assert len(ProposalFile(masks).proposals("1", SIZE, 10).rles) == 1


def test_values_of_other_types_say_the_same(tmp_path: Path) -> None:
    mask = {"size": ["40", 60.0], "counts": [1200.0, "1200"]}
    given = {"image_id": "7.0", "category_id": "3", "score": "0.5", "bbox": ["1", 2, 3.0, "4.5"], "segmentation": mask}
    found = read_results(put(tmp_path, [given, {**given, "image_id": 7}])).of("7")
    assert len(found) == 2
    assert (found.category_id.tolist(), found.score.tolist()) == ([3, 3], [0.5, 0.5])
    assert found.box_xywh.tolist() == [[1, 2, 3, 4.5]] * 2
    assert found.region(0, *SIZE).area == 1200
