"""Bundles made to mislead or to harm: other metrics than the rows give, sizes that lie, bad records. Nothing of them stays."""

from __future__ import annotations

import io
import json
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from sambench.errors import RunError, SambenchError
from sambench.provenance import digest
from sambench.results import bundle_file
from sambench.results.bundle import export, import_bundle, inspect
from sambench.results.bundle_file import MANIFEST
from sambench.store.record import parse_record
from tests.helpers import store_world as world
from tests.helpers.cells import flat, point_cell
from tests.helpers.store_world import go, rewritten, values_of, view

Files = dict[str, bytes]


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A bundle of one cell that the engine wrote."""
    monkeypatch.setenv("SAMBENCH_DATA", str(tmp_path / "data"))
    world.write_world(tmp_path / "data")
    go(tmp_path / "runs")
    export([view(tmp_path / "runs")], tmp_path / "a.zip")
    return tmp_path / "a.zip"


def _name(files: Files, end: str) -> str:
    return next(n for n in files if n.endswith(end))


def _resealed(files: Files, change: Callable[[dict[str, Any]], None]) -> None:
    name = _name(files, "cell.json")
    record = json.loads(files[name])
    change(record)
    record.pop("digest", None)
    record["digest"] = digest(record)
    files[name] = json.dumps(record).encode()


def _vouch(files: Files) -> None:
    import hashlib

    def change(record: dict[str, Any]) -> None:
        for name in ("metrics.csv", "metrics.parquet"):
            record["results"]["metrics"][name] = hashlib.sha256(files[_name(files, name)]).hexdigest()

    _resealed(files, change)


def _better(files: Files, *, csv: bool = True, parquet: bool = True) -> None:
    name = _name(files, "metrics.parquet")
    frame = pd.read_parquet(io.BytesIO(files[name]))
    frame.loc[0, "value"] = 0.99
    if parquet:
        sink = io.BytesIO()
        frame.to_parquet(sink, index=False)
        files[name] = sink.getvalue()
    if csv:
        files[_name(files, "metrics.csv")] = frame.to_csv(index=False).encode()
    _vouch(files)


def _no_metric(files: Files) -> None:
    name = _name(files, "metrics.csv")
    files[name] = files[name].splitlines(keepends=True)[0]
    _vouch(files)


def _more_images(files: Files) -> None:
    _resealed(files, lambda r: r["counts"].update(n_images_done=600, n_images_total=600))


def _more_objects(files: Files) -> None:
    _resealed(files, lambda r: r["counts"].update(n_objects=10_000))


def _another_model(files: Files) -> None:
    _resealed(files, lambda r: r["identity"]["model"].update(id="sam_vit_h"))


def _without_its_seal(files: Files) -> None:
    _better(files)
    name = _name(files, "cell.json")
    record = json.loads(files[name])
    for key in ("digest", "results", "identity"):
        del record[key]
    files[name] = json.dumps(record).encode()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (_better, "0.99 in metrics"),
        (lambda f: _better(f, csv=False), "0.99 in metrics.parquet"),
        (lambda f: _better(f, parquet=False), "0.99 in metrics.csv"),
        (_no_metric, "0 in metrics.csv"),
        (_without_its_seal, "0.99 in metrics"),
        (_more_images, "n_images_done 600, by the shards 6"),
        (_more_objects, "n_objects 10000, by the shards"),
        (_another_model, "identity"),
    ],
)
def test_a_forged_bundle_is_refused(path: Path, tmp_path: Path, change: Callable[[Files], None], says: str) -> None:
    rewritten(path, change, relist=True)
    before = sorted(Path(tempfile.gettempdir()).glob("sambench-*"))
    for look in (inspect, lambda p: import_bundle(p, tmp_path / "deep" / "theirs")):
        with pytest.raises(RunError, match="damaged or was changed") as e:
            look(path)
        assert says in str(e.value)
    assert not (tmp_path / "deep").exists()
    assert sorted(Path(tempfile.gettempdir()).glob("sambench-*")) == before


def test_a_cell_in_the_folder_of_another_is_refused(path: Path, tmp_path: Path) -> None:
    def moved(files: Files) -> None:
        for name in list(files):
            if "/" in name:
                run, _, rest = name.partition("/")
                files[f"{run[:-8]}01234567/{rest}"] = files.pop(name)

    rewritten(path, moved, relist=True)
    with pytest.raises(RunError, match="the folder of another identity"):
        import_bundle(path, tmp_path / "theirs")


def test_a_true_one_comes_in(path: Path, tmp_path: Path) -> None:
    inspect(path)
    import_bundle(path, tmp_path / "theirs")
    assert values_of(view(tmp_path / "theirs")) == values_of(view(tmp_path / "runs"))
    assert [p.name for p in (tmp_path / "theirs").iterdir() if p.name.startswith(".")] == []
    assert go(tmp_path / "theirs").record.started == view(tmp_path / "runs").record.started  # and is reused


@pytest.mark.parametrize(
    "value", ["-2", "1e999", "Infinity", "NaN", '"12"', "true", "null", "12.5", "1" + "0" * 30, "9" * 5000, "[]"]
)
def test_sizes_that_are_none(path: Path, tmp_path: Path, value: str) -> None:
    def change(files: Files) -> None:
        listed = json.loads(files[MANIFEST])
        listed["files"][0]["bytes"] = "HERE"
        files[MANIFEST] = json.dumps(listed).replace('"HERE"', value).encode()

    rewritten(path, change)
    for look in (inspect, lambda p: import_bundle(p, tmp_path / "theirs")):
        with pytest.raises(RunError, match="damaged or was changed"):
            look(path)
    assert not (tmp_path / "theirs").exists()


@pytest.mark.parametrize(
    "text", ["[" * 200_000, "{}", "[]", "null", "\ufeff{", '{"format": "1", "files": []}', '{"format": 2, "files": []}']
)
def test_lists_that_are_none(path: Path, text: str) -> None:
    rewritten(path, lambda files: files.update({MANIFEST: text.encode()}))
    with pytest.raises(RunError, match=r"damaged or was changed|another format"):
        inspect(path)


def test_a_small_file_that_unpacks_to_a_large_one(path: Path, tmp_path: Path) -> None:
    def change(files: Files) -> None:
        files[_name(files, "images.txt")] = b"\0" * (200 << 20)

    with zipfile.ZipFile(path) as archive:
        files = {n: archive.read(n) for n in archive.namelist()}
    change(files)
    entries = [{"path": n, "bytes": len(c), "sha256": "0" * 64} for n, c in files.items() if n != MANIFEST]
    files[MANIFEST] = json.dumps({"format": 1, "files": entries}).encode()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    assert path.stat().st_size < 1 << 20
    for look in (inspect, lambda p: import_bundle(p, tmp_path / "theirs")):
        with pytest.raises(RunError, match="more than one can hold"):
            look(path)
    assert not (tmp_path / "theirs").exists()


def test_limits_of_number_and_size(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle_file, "MAX_BYTES", 1000)
    with pytest.raises(RunError, match="more than one can hold"):
        inspect(path)
    many = [{"path": f"a/b{i}/cell.json", "bytes": bundle_file.MAX_FILE_BYTES + 1, "sha256": "0" * 64} for i in range(3)]
    rewritten(path, lambda files: files.update({MANIFEST: json.dumps({"format": 1, "files": many}).encode()}))
    with pytest.raises(RunError, match="damaged or was changed"):
        inspect(path)


@pytest.mark.parametrize("packing", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_packings_are_refused(path: Path, packing: int) -> None:
    with zipfile.ZipFile(path) as archive:
        files = {n: archive.read(n) for n in archive.namelist()}
    with zipfile.ZipFile(path, "w", packing) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    with pytest.raises(RunError, match="packed in a way"):
        inspect(path)


_SETTINGS: list[Any] = [None, {"clicks": ["a"]}, {"clicks": 3}, {"clocks": [1]}]
_WRONG: list[tuple[str, Any]] = [
    *(("shard_size", v) for v in (0, -4, "4", 4.5, None, 10**12)),
    *(("limit", v) for v in (0, -1, "3", 2.5, True)),
    *(("status", v) for v in ("running", "done", None)),
    *(("task", {"name": "point", "protocol": "point@1", "settings": s}) for s in _SETTINGS),
    ("task", {"name": "../point", "protocol": "point@1", "settings": {}}),
    ("model", {"id": "../../x", "name": "x"}),
    ("subset", {"digest": 3}),
    ("counts", {"n_images_failed": -1}),
    ("schema_version", True),
]


@pytest.mark.parametrize(("key", "value"), _WRONG, ids=lambda v: str(v)[:30])
def test_records_that_are_none(tmp_path: Path, key: str, value: Any) -> None:
    """Of an earlier version: nothing seals those."""
    export([point_cell(tmp_path / "runs", "ppdls", "grabcut", flat(0.5))], tmp_path / "a.zip")

    def change(files: Files) -> None:
        name = _name(files, "cell.json")
        files[name] = json.dumps(json.loads(files[name]) | {key: value}).encode()

    rewritten(tmp_path / "a.zip", change, relist=True)
    with pytest.raises(SambenchError):
        import_bundle(tmp_path / "a.zip", tmp_path / "theirs")
    assert not (tmp_path / "theirs").exists()


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32"])
def test_other_encodings_of_records_are_read_or_refused(path: Path, tmp_path: Path, encoding: str) -> None:
    def change(files: Files) -> None:
        for end in ("cell.json", "images.txt"):
            name = _name(files, end)
            files[name] = files[name].decode().encode(encoding)

    rewritten(path, change, relist=True)
    with pytest.raises(RunError, match="damaged or was changed"):
        import_bundle(path, tmp_path / "theirs")
    assert not (tmp_path / "theirs").exists()


def test_an_interrupted_import_goes_on(path: Path, tmp_path: Path) -> None:
    """What is left aside by a killed one is never taken for results."""
    from sambench.store.lookup import find_cells

    out = tmp_path / "theirs"
    aside = out / ".import-1-x" / "point-a-01234567" / "b-01234567"
    aside.mkdir(parents=True)
    (aside / "cell.json").write_text("{}")
    import_bundle(path, out)
    assert len(find_cells(str(out))) == 1


def test_bytes_of_a_record_are_bounded() -> None:
    with pytest.raises(RunError, match="not JSON"):
        parse_record(b" " * (65 << 20), Path("cell.json"))
