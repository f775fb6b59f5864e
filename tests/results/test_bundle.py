"""Bundles: what is exported comes back byte for byte; what is damaged, unsafe or different is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from sambench.errors import RunError, SambenchError, UsageError
from sambench.results.bundle import export, import_bundle, inspect
from sambench.results.bundle_file import MANIFEST
from sambench.results.tables import metric_rows_of
from sambench.store.lookup import find_cells
from sambench.store.views import CellView, read_cell
from tests.helpers.cells import flat, point_cell
from tests.helpers.store_world import rewritten


@pytest.fixture
def cells(tmp_path: Path) -> list[CellView]:
    out = tmp_path / "runs"
    return [point_cell(out, "ppdls", "grabcut", flat(0.5)), point_cell(out, "demo", "grabcut", flat(0.7), limit=2)]


def _tree(root: Path) -> dict[str, bytes]:
    return {f.relative_to(root).as_posix(): f.read_bytes() for f in sorted(root.rglob("*")) if f.is_file()}


def test_cells_come_back_byte_for_byte(cells: list[CellView], tmp_path: Path) -> None:
    bundle = export(cells, tmp_path / "a.zip")
    assert len(bundle.cells) == 2
    done = import_bundle(tmp_path / "a.zip", tmp_path / "theirs", digest=bundle.digest[:12])
    assert (len(done.new), done.known) == (2, ())
    assert _tree(tmp_path / "theirs") == _tree(tmp_path / "runs")
    theirs = find_cells(str(tmp_path / "theirs"))
    assert [repr(metric_rows_of(c)) for c in theirs] == [repr(metric_rows_of(c)) for c in find_cells(str(tmp_path / "runs"))]
    again = import_bundle(tmp_path / "a.zip", tmp_path / "theirs")
    assert (again.new, len(again.known)) == ((), 2)


def test_equal_cells_give_equal_bytes(cells: list[CellView], tmp_path: Path) -> None:
    one, two = (export(list(order), tmp_path / name) for name, order in (("a.zip", cells), ("b.zip", reversed(cells))))
    assert one.digest == two.digest
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    assert inspect(tmp_path / "a.zip").digest == one.digest
    with pytest.raises(UsageError, match="there is a file of that name"):
        export(cells, tmp_path / "a.zip")


def _a_metric(files: dict[str, bytes]) -> None:
    name = next(n for n in files if n.endswith("metrics.csv"))
    files[name] = files[name].replace(b"point", b"paint")


def _a_file_more(files: dict[str, bytes]) -> None:
    files["point-grabcut-00000000/extra-00000000/cell.json"] = b"{}"


def _a_file_less(files: dict[str, bytes]) -> None:
    files.pop(next(n for n in files if n.endswith(".parquet")))


def _no_list(files: dict[str, bytes]) -> None:
    files.pop(MANIFEST)


def _list_of_nonsense(files: dict[str, bytes]) -> None:
    files[MANIFEST] = b'{"format": 1, "files": [{"path": 3}]}'


def _larger_than_listed(files: dict[str, bytes]) -> None:
    name = next(n for n in files if n.endswith("images.txt"))
    files[name] += b"\0" * 1_000_000


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (_a_metric, "metrics.csv is not what its digest says"),
        (_a_file_more, "its files are not those of its list"),
        (_a_file_less, "its files are not those of its list"),
        (_no_list, "it has no bundle.json"),
        (_list_of_nonsense, "bundle.json cannot be read"),
        (_larger_than_listed, "images.txt is larger than its list says"),
    ],
)
def test_a_changed_bundle_is_refused(
    cells: list[CellView], tmp_path: Path, change: Callable[[dict[str, bytes]], None], says: str
) -> None:
    path = tmp_path / "a.zip"
    export(cells, path)
    rewritten(path, change)
    for look in (inspect, lambda p: import_bundle(p, tmp_path / "theirs")):
        with pytest.raises(RunError, match="damaged or was changed") as e:
            look(path)
        assert says in str(e.value)
    assert not (tmp_path / "theirs").exists()


@pytest.mark.parametrize(
    "name",
    [
        "../evil/x-0/cell.json",
        "/tmp/evil/cell.json",
        "a/../../cell.json",
        "a/b/shards/../../../x.parquet",
        "a/b/run.sh",
        "a\\b\\cell.json",
        "a/..b/cell.json",
    ],
)
def test_paths_that_lead_elsewhere_are_refused(cells: list[CellView], tmp_path: Path, name: str) -> None:
    path = tmp_path / "a.zip"
    export(cells, path)
    rewritten(path, lambda files: files.update({name: b"{}"}), relist=True)
    before = _tree(tmp_path)
    with pytest.raises(RunError, match="damaged or was changed"):
        import_bundle(path, tmp_path / "deep" / "theirs")
    assert _tree(tmp_path) == before


@pytest.mark.parametrize("share", [0.0, 0.3, 0.7, 0.99])
def test_a_truncated_bundle_is_refused(cells: list[CellView], tmp_path: Path, share: float) -> None:
    path = tmp_path / "a.zip"
    export(cells, path)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(RunError, match="damaged or was changed"):
        import_bundle(path, tmp_path / "theirs")
    assert not (tmp_path / "theirs").exists()


def test_flipped_bytes_are_noticed_wherever_they_are(cells: list[CellView], tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    bundle = export(cells, path)
    content = path.read_bytes()
    for at in range(0, len(content), max(1, len(content) // 60)):
        path.write_bytes(content[:at] + bytes([content[at] ^ 0x41]) + content[at + 1 :])
        try:
            found = inspect(path)
        except SambenchError:
            continue
        assert found.digest == bundle.digest  # a byte that means nothing: a date, an attribute


def test_the_expected_digest_is_compared(cells: list[CellView], tmp_path: Path) -> None:
    export(cells, tmp_path / "a.zip")
    with pytest.raises(RunError, match="not the expected one"):
        import_bundle(tmp_path / "a.zip", tmp_path / "theirs", digest="0" * 64)
    assert not (tmp_path / "theirs").exists()


def test_other_results_are_never_overwritten(cells: list[CellView], tmp_path: Path) -> None:
    export(cells, tmp_path / "a.zip")
    point_cell(tmp_path / "mine", "ppdls", "grabcut", flat(0.6))
    before = _tree(tmp_path / "mine")
    with pytest.raises(UsageError, match="not overwritten") as e:
        import_bundle(tmp_path / "a.zip", tmp_path / "mine")
    assert "metrics.csv" in str(e.value)
    assert _tree(tmp_path / "mine") == before  # not even the cell that would have fitted
    (model,) = (tmp_path / "runs").glob("*/model.json")
    other = tmp_path / "third" / model.parent.name / "model.json"
    other.parent.mkdir(parents=True)
    other.write_text("{}")
    with pytest.raises(UsageError, match="another model or settings"):
        import_bundle(tmp_path / "a.zip", tmp_path / "third")


def test_unfinished_cells_are_not_exported(cells: list[CellView], tmp_path: Path) -> None:
    for shard in (cells[0].path / "shards").glob("*.parquet"):
        shard.unlink()
    with pytest.raises(UsageError, match="not finished"):
        export([read_cell(cells[0].path)], tmp_path / "a.zip")
    with pytest.raises(UsageError, match="no cells to export"):
        export([], tmp_path / "a.zip")
    assert not (tmp_path / "a.zip").exists()


def test_files_that_are_no_bundles(tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("hello")
    with pytest.raises(RunError, match=r"no bundle at all|damaged"):
        inspect(text)
    with pytest.raises(RunError, match="cannot be read"):
        inspect(tmp_path / "nowhere.zip")
    with pytest.raises(RunError, match="cannot be read"):
        inspect(tmp_path)


def test_the_commands(cells: list[CellView], tmp_path: Path) -> None:
    from sambench.cli.app import app

    run = CliRunner().invoke
    file, out = tmp_path / "b.zip", tmp_path / "theirs"
    result = run(app, ["results", "export", str(tmp_path / "runs"), "--to", str(file)])
    assert result.exit_code == 0, result.output
    digest = result.output.split("digest ")[1].strip()
    result = run(app, ["results", "import", str(file), "--check"])
    assert "whole, 2 cells" in result.output
    result = run(app, ["results", "import", str(file), "--out", str(out), "--digest", digest])
    assert result.output.count("imported: ") == 2
    result = run(app, ["results", "import", str(file), "--out", str(out), "--digest", "xyz"])
    assert isinstance(result.exception, UsageError)
