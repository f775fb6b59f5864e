"""NumPy's, MATLAB's and HDF5 files of others: nothing outside of them is followed, and what they announce is looked at first."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from scipy.io import loadmat, savemat

from sambench import fixtures
from sambench.cards import dataset_card
from sambench.errors import DataError
from sambench.files import arrays as array_files
from sambench.files.arrays import read_hdf5, read_mat, read_npy
from sambench.loaders.bsds500 import read_boundaries
from sambench.loaders.open import open_dataset

SECRET = np.arange(12, dtype=np.int16).reshape(3, 4)


def external_link(path: Path, other: Path) -> None:
    with h5py.File(path, "w") as f:
        f["dataset"] = h5py.ExternalLink(str(other), "/dataset")


def soft_link_to_an_external_one(path: Path, other: Path) -> None:
    with h5py.File(path, "w") as f:
        f["away"] = h5py.ExternalLink(str(other), "/dataset")
        f["dataset"] = h5py.SoftLink("/away")


def external_storage(path: Path, other: Path) -> None:
    with h5py.File(path, "w") as f:
        f.create_dataset("dataset", (3, 4), np.int16, external=[(str(other), 0, 24)])


def virtual(path: Path, other: Path) -> None:
    layout = h5py.VirtualLayout((3, 4), np.int16)
    layout[:] = h5py.VirtualSource(str(other), "dataset", (3, 4))
    with h5py.File(path, "w") as f:
        f.create_virtual_dataset("dataset", layout)


def huge(path: Path, other: Path) -> None:
    with h5py.File(path, "w") as f:
        f.create_dataset("dataset", (60000, 60000), np.int16, chunks=(100, 100), compression="gzip")


def group(path: Path, other: Path) -> None:
    with h5py.File(path, "w") as f:
        f.create_group("dataset")


def texts(path: Path, other: Path) -> None:
    with h5py.File(path, "w") as f:
        f.create_dataset("dataset", (2, 2), h5py.string_dtype())


def cut(path: Path, other: Path) -> None:
    path.write_bytes(other.read_bytes()[:700])


HDF5: list[tuple[Callable[[Path, Path], None], str]] = [
    (external_link, "an external link"),
    (soft_link_to_an_external_one, "a link to"),
    (external_storage, "external storage"),
    (virtual, "a virtual dataset"),
    (huge, r"\[60000, 60000\]"),
    (group, "group"),
    (texts, "another form"),
    (cut, "cannot be read"),
]


@pytest.mark.parametrize(("make", "says"), HDF5)
def test_hdf5_that_is_refused(tmp_path: Path, make: Callable[[Path, Path], None], says: str) -> None:
    with h5py.File(tmp_path / "other.hdf5", "w") as f:
        f["dataset"] = SECRET
    assert (read_hdf5(tmp_path / "other.hdf5", "dataset", ndim=2, kinds="iu") == SECRET).all()
    make(tmp_path / "a.hdf5", tmp_path / "other.hdf5")
    with pytest.raises(DataError, match=says) as e:
        read_hdf5(tmp_path / "a.hdf5", "dataset", ndim=2, kinds="iu")
    assert "a.hdf5" in str(e.value)


def test_hypersim_follows_nothing(tmp_path: Path) -> None:
    fixtures.write("hypersim", tmp_path)
    dataset = open_dataset(dataset_card("hypersim"), root=tmp_path)
    image_id = dataset.index()[0].image_id
    dataset.load(image_id)
    path = next(p for p in tmp_path.rglob("*.semantic_instance.hdf5") if p.name.startswith(f"frame.{image_id[-4:]}"))
    other = path.rename(tmp_path / "elsewhere.hdf5")
    external_link(path, other)
    with pytest.raises(DataError, match="points to data outside") as e:
        dataset.load(image_id)
    assert "hypersim" in str(e.value)


def npy(header: str, body: bytes = b"") -> bytes:
    raw = header.encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(raw)) + raw + body


def numpy_bytes(array: Any, **options: Any) -> bytes:
    out = io.BytesIO()
    np.save(out, array, **options)
    return out.getvalue()


def npz() -> bytes:
    out = io.BytesIO()
    np.savez(out, a=np.ones(3))
    return out.getvalue()


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (npy("{'descr': '<f8', 'fortran_order': False, 'shape': (100000, 100000), }"), "too large"),
        (npy("{'descr': '<f8', 'fortran_order': False, 'shape': (1000, 1000), }", bytes(80)), "80 bytes"),
        (npy("{'descr': '<f8', 'fortran_order': False, 'shape': (-1, 10), }", bytes(80)), "shape"),
        (npy("{'descr': 'O', 'fortran_order': False, 'shape': (2, 2), }", bytes(80)), "Python objects"),
        (npy("__import__('os').system('true')"), "cannot be read"),
        (npy("[" * 110), "cannot be read"),
        (numpy_bytes(np.array([[{}]], object), allow_pickle=True), "Python objects"),
        (npz(), "cannot be read"),
        (b"", "cannot be read"),
    ],
)
def test_npy_that_is_refused(tmp_path: Path, raw: bytes, says: str) -> None:
    path = tmp_path / "a.npy"
    path.write_bytes(raw)
    with pytest.raises(DataError, match=says) as e:
        read_npy(path)
    assert str(path) in str(e.value)


@pytest.mark.parametrize("array", [np.arange(12).reshape(3, 4), np.asfortranarray(np.arange(12.0).reshape(3, 4)), np.zeros((0, 3))])
def test_npy_as_numpy_reads_it(tmp_path: Path, array: np.ndarray) -> None:
    np.save(tmp_path / "a.npy", array)
    found = read_npy(tmp_path / "a.npy")
    assert found.dtype == array.dtype
    assert np.array_equal(found, array)


def test_a_mat_file_that_unpacks_to_too_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(array_files, "MAX_BYTES", 1 << 20)
    path = tmp_path / "a.mat"
    savemat(path, {"a": np.zeros((300, 300)), "b": np.zeros((300, 100))}, do_compression=True)
    assert [v.shape for v in read_mat(path).values()] == [(300, 300), (300, 100)]
    for arrays in ({"a": np.zeros((300, 500))}, {"a": np.zeros((300, 300)), "b": np.zeros((300, 300))}):
        savemat(path, arrays, do_compression=True)
        with pytest.raises(DataError, match="too large") as e:
            read_mat(path)
        assert str(path) in str(e.value)


@pytest.mark.filterwarnings("ignore:Casting complex")
def test_mat_files_as_scipy_reads_them(tmp_path: Path) -> None:
    cells = np.empty((2, 3), object)
    for i in range(6):
        cells.flat[i] = {"Boundaries": np.full((3, i + 1), i, np.uint8), "name": "x" * i}
    content = {
        "truth": cells,
        "doubles": np.arange(12.0).reshape(3, 4),
        "bits": np.eye(3, dtype=bool),
        "deep": np.arange(24, dtype=np.int16).reshape(2, 3, 4),
        "complex": np.ones((2, 2)) * 1j,
        "nothing": np.zeros((0, 3)),
        "nested": {"a": {"b": np.float32(3)}},
        "text": "hello",
    }
    for compressed in (True, False):
        savemat(tmp_path / "a.mat", content, do_compression=compressed)
        ours, theirs = read_mat(tmp_path / "a.mat"), loadmat(tmp_path / "a.mat", mat_dtype=True)
        for name in ("doubles", "bits", "deep", "nothing"):
            assert ours[name].shape == theirs[name].shape
            assert (ours[name] == theirs[name]).all()
        assert (ours["complex"] == content["complex"]).all()
        assert ours["bits"].dtype == np.bool_
        for a, b in zip(ours["truth"].ravel(), theirs["truth"].ravel(), strict=True):
            assert (a["Boundaries"][0, 0] == b["Boundaries"][0, 0]).all()
            assert a["Boundaries"][0, 0].shape == b["Boundaries"][0, 0].shape
        assert ours["nested"]["a"][0, 0]["b"][0, 0] == 3
        assert str(ours["text"]) == "hello"
        assert list(read_mat(tmp_path / "a.mat", ["bits"])) == ["bits"]


def test_damaged_mat_files_are_named(tmp_path: Path) -> None:
    cells = np.empty((1, 2), object)
    for i in range(2):
        cells[0, i] = {"Boundaries": np.eye(9, dtype=np.uint8)}
    rng = np.random.default_rng(0)
    path = tmp_path / "a.mat"
    for compressed in (True, False):
        savemat(path, {"groundTruth": cells}, do_compression=compressed)
        raw = path.read_bytes()
        for _ in range(300):
            harmed = bytearray(raw[: int(rng.integers(1, len(raw) + 1))] if rng.random() < 0.3 else raw)
            for at in rng.integers(0, len(harmed), int(rng.integers(1, 6))):
                harmed[at] = int(rng.integers(0, 256))
            path.write_bytes(harmed)
            with suppress(DataError):  # the only thing that may be raised
                read_boundaries(path, (9, 9))
