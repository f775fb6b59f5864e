"""Damage to results on disk: a flipped bit, a record that is JSON and no record, an unreadable file. It is harmless or named."""

from __future__ import annotations

import copy
import json
import random
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from sambench.cli.app import app
from sambench.errors import RunError, SambenchError
from sambench.files.writing import write_json
from sambench.store.record import seal
from sambench.store.shards import ImageState, Shard, ShardStore
from sambench.store.views import CellView, read_cell
from tests.helpers import store_world as world
from tests.helpers.store_world import cell_of, go, values_of, view


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two finished runs, `a` and `b`, made once."""
    root = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as m:
        m.setenv("SAMBENCH_DATA", str(root / "data"))
        m.setenv("SAMBENCH_CACHE", str(root / "cache"))
        world.write_world(root / "data")
        go(root / "a")
        go(root / "b", level=120)
    return root


@pytest.fixture
def runs(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Copies of them that a test may break."""
    monkeypatch.setenv("SAMBENCH_DATA", str(made / "data"))
    for name in ("a", "b"):
        shutil.copytree(made / name, tmp_path / name)
    return tmp_path


def _everything(cell: CellView) -> tuple[Any, ...]:
    return values_of(cell), cell.live, cell.rows().drop(columns=["attributes"]).astype(str).to_dict(), cell.model, cell.dataset


def _flip(path: Path, rng: random.Random) -> Callable[[], None]:
    content = path.read_bytes()
    at, bit = rng.randrange(len(content)), rng.randrange(8)
    path.write_bytes(content[:at] + bytes([content[at] ^ 1 << bit]) + content[at + 1 :])
    return lambda: path.write_bytes(content) and None


def _flips(runs: Path, n: int) -> None:
    folder = cell_of(runs / "a")
    right, rng, noticed = _everything(view(runs / "a")), random.Random(3), 0
    files = [p for p in sorted(folder.rglob("*")) if p.is_file()]
    assert len(files) == 6
    for i in range(n):
        path = files[i % len(files)]
        restore = _flip(path, rng)
        try:
            found, error = _everything(read_cell(folder)), ""
        except SambenchError as e:
            found, error = right, str(e)
        assert found == right, path
        assert not error or path.name in error, (path, error)
        noticed += bool(error)
        restore()
    assert noticed > 0.8 * n  # the rest: white space, and bits of times


def test_flipped_bits_are_harmless_or_named(runs: Path) -> None:
    _flips(runs, 60)


@pytest.mark.slow
def test_1000_flipped_bits_are_harmless_or_named(runs: Path) -> None:
    _flips(runs, 1000)


def test_the_remedies_for_flipped_bits_mend(runs: Path) -> None:
    right, rng = values_of(view(runs / "a")), random.Random(4)
    for path in [p for p in sorted(cell_of(runs / "a").rglob("*")) if p.is_file()]:
        _flip(path, rng)
        if path.parent.name == "shards":
            with pytest.raises(RunError, match="delete that file and issue the same command again"):
                go(runs / "a")
            path.unlink()
        assert values_of(go(runs / "a")) == right, path
        assert values_of(view(runs / "a")) == right, path


COLUMNS = {"image_id": "string", "k": "int32"}


def _store(folder: Path) -> ShardStore:
    (folder / "shards").mkdir()
    store = ShardStore(folder, ["a", "b"], 2, COLUMNS)
    store.write(0, Shard({"a": ImageState("ok", 3)}, {"a": [{"image_id": "a", "k": k} for k in range(500)]}))
    return store


def test_pages_have_checksums(tmp_path: Path) -> None:
    store = _store(tmp_path)
    assert pq.ParquetFile(store.path(0), page_checksum_verification=True).read().num_rows == 500


def test_a_shard_of_an_earlier_version_is_read(tmp_path: Path) -> None:
    import pyarrow as pa

    from sambench.schema import arrow_schema

    store = _store(tmp_path)
    for version, more in ((1, {"file_bytes": 7}), (2, {"picture": "c" * 64})):
        meta = {"version": version, "images": {"a": {"status": "ok", "n_objects": 2, **more}}}
        schema = arrow_schema(COLUMNS).with_metadata({b"sambench": json.dumps(meta).encode()})
        pq.write_table(pa.Table.from_pylist([{"image_id": "a", "k": 1}], schema=schema), store.path(0))
        assert store.states(0)["a"].n_objects == 2
        assert store.table().to_pydict() == {"image_id": ["a"], "k": [1]}


def test_what_may_not_be_read_is_not_called_damaged(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root may read everything, so the refusal comes from a patched open."""
    shard = cell_of(runs / "a") / "shards/000000.parquet"
    read = Path.read_bytes

    def refused(path: Path) -> bytes:
        if path.name == shard.name:
            raise PermissionError(13, "Permission denied", str(path))
        return read(path)

    with monkeypatch.context() as m:
        m.setattr(Path, "read_bytes", refused)
        with pytest.raises(RunError) as e:
            view(runs / "a").rows()
    assert "permission denied" in str(e.value)
    assert "chmod u+r" in str(e.value)
    assert "delete" not in str(e.value)
    assert "damaged" not in str(e.value)


# --- records that are JSON and no records

_VALUES: list[Any] = [
    None, True, False, 0, -1, 1, 10**30, 1e308, 0.5, "", "x", "x" * 3000, "../../x", "a\x00b", "\x1b[31m", "\ud800", [], [None],
    [1, "a"], {}, {"a": 1}, {"a": {"b": [1]}}, ["x"] * 50, "complete", "point", "nan",
]  # fmt: skip


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """(container, key) of everything inside."""
    for key in list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield value, key
        yield from _places(value[key])


def _mutated(record: dict[str, Any], rng: random.Random) -> dict[str, Any]:
    out = copy.deepcopy(record)
    for _ in range(rng.choice([1, 1, 2, 5])):
        places = list(_places(out))
        if not places:
            break
        container, key = rng.choice(places)
        if rng.random() < 0.2:
            del container[key]
        else:
            container[key] = rng.choice(_VALUES)
    return out


def _spoil(folder: Path, rng: random.Random) -> None:
    record = json.loads((folder / "cell.json").read_text())
    kind = rng.choice(["sealed", "sealed", "unsealed", "unsealed", "changed", "images", "lease", "metrics", "model", "text"])
    if kind in ("unsealed", "metrics", "images"):
        for key in ("digest", "results", "identity"):
            record.pop(key, None)
        (folder / "cell.json").write_text(json.dumps(record))
    if kind in ("changed", "unsealed"):
        (folder / "cell.json").write_text(json.dumps(_mutated(record, rng)))
    elif kind == "sealed":
        with suppress(ValueError):  # what no JSON can be written of
            write_json(folder / "cell.json", seal(_mutated(record, rng)))
    elif kind == "lease":
        lease = dict.fromkeys(("pid", "host", "start"), rng.choice([v for v in _VALUES if v != "\ud800"]))  # no terminal has it
        (folder / "shards" / "000000.claim").write_text(json.dumps(lease))
    elif kind == "model":
        (folder.parent / "model.json").write_text(json.dumps(rng.choice(_VALUES)))
    elif kind == "text":
        texts = ["[" * 100_000, '{"schema_version": ' + "9" * 6000 + "}", "NaN", "null", "\ufeff{}"]
        (folder / "cell.json").write_text(rng.choice(texts))
    elif kind == "images":
        ids = (folder / "images.txt").read_text().splitlines()
        made = rng.choice([ids[:3], ids + ids[:1], ids[::-1], ["x"], [], [""], [*ids, "new"], [i + "\x85" for i in ids]])
        (folder / "images.txt").write_bytes(rng.choice(["\n".join(made).encode(), ("\n".join(made) + "\n").encode(), b"\xff\xfe"]))
    elif kind == "metrics":
        import pandas as pd

        path = folder / "metrics.parquet"
        frame = pd.read_parquet(path)
        column = rng.choice(list(frame.columns))
        if rng.random() < 0.5:
            frame = frame.drop(columns=column)
        else:
            frame[column] = rng.choice([None, -1, "x", float("inf")])
        frame.to_parquet(path)


def _commands(seed: int, run: str, other: str, to: Path) -> list[list[str]]:
    """Two for every cell, and one of the others in turn."""
    others = [
        ["table", run, "--metrics"],
        ["compare", run, other],
        ["rescore", run],
        ["show", "run", run, other],
        ["results", "export", run, "--to", str(to / "x.zip")],
        ["report", "fig9b", run, "--out", str(to / "r"), "--format", "md"],
    ]
    return [["status", run], ["table", run], others[seed % len(others)]]


def _fuzzed(runs: Path, n: int) -> None:
    other = str(cell_of(runs / "b"))
    for seed in range(n):
        shutil.copytree(runs / "a", runs / "at")
        folder = cell_of(runs / "at")
        _spoil(folder, random.Random(seed))
        for command in _commands(seed, str(folder), other, runs / "at"):
            found = CliRunner().invoke(app, command)
            fine = found.exception is None or isinstance(found.exception, SambenchError | SystemExit)
            assert fine, (seed, command[0], repr(found.exception))
        shutil.rmtree(runs / "at")


def test_mutated_cells_end_in_a_result_or_a_clear_error(runs: Path) -> None:
    _fuzzed(runs, 24)


@pytest.mark.slow
def test_1500_mutated_cells_end_in_a_result_or_a_clear_error(runs: Path) -> None:
    _fuzzed(runs, 1500)


def test_a_cell_beside_damaged_ones_is_shown(runs: Path) -> None:
    cell = cell_of(runs / "a")
    for i, text in enumerate(["null", "[]", '{"schema_version": 1}', "\x00"]):
        beside = cell.parent / f"x{i}"
        shutil.copytree(cell, beside)
        (beside / "cell.json").write_text(text)
    found = CliRunner().invoke(app, ["status", str(runs / "a")])
    assert found.exit_code == 1
    assert "bbbc038v1" in found.stdout
    assert "6/6" in found.stdout
    assert found.stdout.count("damaged") == 4


def test_a_record_whose_digest_lost_its_name_is_damaged(runs: Path) -> None:
    path = cell_of(runs / "a") / "cell.json"
    path.write_text(path.read_text().replace('"digest"', '"dagest"').replace('"complete"', '"partial"'))
    with pytest.raises(RunError, match="damaged"):
        view(runs / "a")


def test_a_cell_in_another_runs_folder_is_refused(runs: Path) -> None:
    mine, other = cell_of(runs / "a"), cell_of(runs / "b")
    shutil.copytree(other, mine.parent / "copied")
    with pytest.raises(RunError, match="folder of another run"):
        read_cell(mine.parent / "copied")
    for command in (["table", str(runs / "a")], ["compare", str(runs / "a"), str(runs / "b")]):
        found = CliRunner().invoke(app, command)
        assert found.exit_code != 0
        assert "folder of another run" in str(found.exception or found.output)
    shutil.move(mine.parent / "copied", runs / "elsewhere" / "copied")  # a folder that says nothing of its run
    assert values_of(read_cell(runs / "elsewhere" / "copied")) == values_of(read_cell(other))
