"""What the values of edge maps mean: recognised over the whole folder, or refused; never scored as nothing."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from sambench.errors import DataError, SambenchError, UsageError
from sambench.loaders.bsds500 import BSDS500
from sambench.metrics.edges import edge_counts, edge_scores, threshold_values
from sambench.models.edges.folder import EdgeFolder
from tests.helpers import CASES

CASE = CASES / "08-edge-maps-0-1"
EDGES = np.zeros((12, 15), bool)
EDGES[3, 2:13] = EDGES[3:9, 6] = True
SIZE = EDGES.shape


def save(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".npy":
        np.save(path, array)
    elif path.suffix == ".mat":
        savemat(path, {"E": array})
    else:
        Image.fromarray(array).save(path)


@pytest.mark.parametrize("form", ["png01", "npy01", "png16", "mat01"])
def test_one_map_in_any_container_has_one_score(form: str) -> None:
    sample = BSDS500(CASE, "edge01").load("1")
    found = EdgeFolder(CASE / form).edge_map("1", (sample.height, sample.width))
    counts = edge_counts(found, sample.boundaries, max_dist=0.0075).as_array()
    assert edge_scores(counts[None], threshold_values()).ods == pytest.approx(0.971, abs=5e-4)


FORMS = [
    (".png", np.uint8, 1),
    (".png", np.uint8, 255),
    (".png", np.uint16, 1),
    (".png", np.uint16, 255),
    (".png", np.uint16, 65535),
    (".npy", np.bool_, 1),
    (".npy", np.int64, 1),
    (".npy", np.int32, 255),
    (".npy", np.uint16, 65535),
    (".npy", np.float32, 1),
    (".mat", np.uint8, 1),
    (".mat", np.uint16, 255),
    (".mat", np.float64, 1),
]


@pytest.mark.parametrize(("suffix", "dtype", "white"), FORMS)
def test_binary_maps(tmp_path: Path, suffix: str, dtype: type, white: int) -> None:
    save(tmp_path / f"a{suffix}", (EDGES * white).astype(dtype))
    save(tmp_path / f"nothing{suffix}", (EDGES * 0).astype(dtype))
    save(tmp_path / f"all{suffix}", (EDGES * 0 + white).astype(dtype))
    for order in (("a", "nothing", "all"), ("all", "nothing", "a")):
        folder = EdgeFolder(tmp_path)
        found = {i: folder.edge_map(i, SIZE) for i in order}
        assert (found["a"] == EDGES).all()
        assert (found["nothing"] == 0).all()
        assert (found["all"] == 1).all()


SOFT = [(".png", np.uint8, 255), (".png", np.uint16, 65535), (".npy", np.int32, 255)]


@pytest.mark.parametrize(("suffix", "dtype", "white"), SOFT)
def test_a_nearly_empty_map_means_what_the_others_do(tmp_path: Path, suffix: str, dtype: type, white: int) -> None:
    save(tmp_path / f"a{suffix}", (EDGES * 1).astype(dtype))  # alone, a binary map
    save(tmp_path / f"b{suffix}", (EDGES * white).astype(dtype))
    for order in ("ab", "ba"):
        folder = EdgeFolder(tmp_path)
        found = {i: folder.edge_map(i, SIZE) for i in order}
        assert np.allclose(found["a"], EDGES / white)
        assert (found["b"] == EDGES).all()


@pytest.mark.parametrize(
    ("suffix", "array", "says"),
    [
        (".png", (EDGES * 9).astype(np.uint8), "values up to 9"),
        (".png", (EDGES * 1000).astype(np.uint16), "values up to 1000"),
        (".npy", EDGES * 100_000, "values up to 100000"),
        (".npy", EDGES / 255, "lowest threshold"),
        (".npy", EDGES * 255.0, "-M scale=255"),
        (".mat", EDGES * 255.0, "-M scale=255"),
    ],
)
def test_values_that_nobody_can_tell_are_refused(tmp_path: Path, suffix: str, array: np.ndarray, says: str) -> None:
    save(tmp_path / f"a{suffix}", array)
    with pytest.raises(DataError, match=says) as e:
        EdgeFolder(tmp_path).edge_map("a", SIZE)
    assert "scale=" in str(e.value)
    largest = array.max()
    if largest > 0:
        assert np.allclose(EdgeFolder(tmp_path, scale=float(largest)).edge_map("a", SIZE), EDGES)


def test_the_scale_is_part_of_the_identity(tmp_path: Path) -> None:
    save(tmp_path / "a.png", (EDGES * 9).astype(np.uint8))
    assert EdgeFolder(tmp_path, scale=9).identity != EdgeFolder(tmp_path, scale=18).identity
    assert (EdgeFolder(tmp_path, scale=18).edge_map("a", SIZE) == EDGES * 0.5).all()
    for odd in (0, -1, float("nan"), float("inf"), "9", True):
        with pytest.raises(UsageError, match="scale"):
            EdgeFolder(tmp_path, scale=odd)  # type: ignore[arg-type]


def test_a_broken_map_does_not_decide(tmp_path: Path) -> None:
    save(tmp_path / "a.npy", EDGES.astype(np.uint8))
    (tmp_path / "b.npy").write_bytes(b"\x93NUMPY\x01\x00")
    folder = EdgeFolder(tmp_path)
    assert (folder.edge_map("a", SIZE) == EDGES).all()
    with pytest.raises(DataError, match=r"b\.npy"):
        folder.edge_map("b", SIZE)


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo])
def test_what_is_no_file_is_named_before_anything_is_read(tmp_path: Path, make: object) -> None:
    save(tmp_path / "a.npy", EDGES)
    make(tmp_path / "b.npy")  # type: ignore[operator]
    with pytest.raises(SambenchError, match=r"b\.npy"):
        EdgeFolder(tmp_path)
