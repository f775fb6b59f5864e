"""A finished cell under change: whenever a command dies, metrics are those of the rows, and the next one ends as a fresh run."""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from sambench.errors import RunError, SambenchError, UsageError
from sambench.results.bundle import export, import_bundle
from sambench.results.rescore import rescore
from sambench.store.lookup import find_cell_paths, find_cells
from sambench.store.views import read_cell
from tests.helpers import store_world as world
from tests.helpers.store_world import cell_of, go, killed_at, metrics_of, picture, replace_picture, steps, values_of, view


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SAMBENCH_DATA", str(tmp_path / "data"))
    monkeypatch.setenv(world.DRIFT, "0")
    return world.write_world(tmp_path / "data")


@dataclass
class Scene:
    """before: the folder of runs as it was. work: what may die, on a copy of it. right: the values that it ends with."""

    before: Path
    work: Callable[[Path], Any]
    right: dict[int, float]
    also: tuple[dict[int, float], ...] = ()  # values from before that stay valid until then


def new(data: Path, tmp: Path) -> Scene:
    (tmp / "before").mkdir()
    return Scene(tmp / "before", go, values_of(go(tmp / "whole")))


def picture_replaced(data: Path, tmp: Path) -> Scene:
    go(tmp / "before")
    replace_picture(data, 1)
    return Scene(tmp / "before", go, values_of(go(tmp / "whole")))


def failure_mended(data: Path, tmp: Path) -> Scene:
    good = picture(data, 2).read_bytes()
    picture(data, 2).write_bytes(good[:200])
    assert go(tmp / "before").record.status == "incomplete"
    picture(data, 2).write_bytes(good)
    return Scene(tmp / "before", go, values_of(go(tmp / "whole")))


def limit_extended(data: Path, tmp: Path) -> Scene:
    go(tmp / "before", limit=3)
    return Scene(tmp / "before", go, values_of(go(tmp / "whole")))


def metrics_edited(data: Path, tmp: Path) -> Scene:
    right = values_of(go(tmp / "before"))
    (cell_of(tmp / "before") / "metrics.csv").write_text("")
    return Scene(tmp / "before", go, right)


def fresh(data: Path, tmp: Path) -> Scene:
    old = values_of(go(tmp / "before"))
    os.environ[world.DRIFT] = "130"
    return Scene(tmp / "before", lambda out: go(out, fresh=True), values_of(go(tmp / "whole")), (old,))


def imported(data: Path, tmp: Path) -> Scene:
    right = values_of(go(tmp / "whole"))
    export([view(tmp / "whole")], tmp / "bundle.zip")
    (tmp / "before").mkdir()
    return Scene(tmp / "before", lambda out: import_bundle(tmp / "bundle.zip", out), right)


SCENES = [new, picture_replaced, failure_mended, limit_extended, metrics_edited, fresh, imported]


def survives(scene: Scene, out: Path, step: int) -> bool:
    """Die at that step; nobody reads a wrong number, and the same command ends right. False where there is no such step."""
    shutil.copytree(scene.before, out)
    died = killed_at(step, lambda: scene.work(out))
    no_wrong_number(scene, out, step)
    scene.work(out)
    assert values_of(view(out)) == scene.right, step
    assert [p.name for p in cell_of(out).parent.iterdir() if p.is_dir()] == [cell_of(out).name], step
    shutil.rmtree(out)
    return died


def no_wrong_number(scene: Scene, out: Path, step: object) -> None:
    try:
        cells = find_cells(str(out))
        found = [values_of(c) for c in cells if not c.partial_reasons()]
    except SambenchError:
        return
    if found and _shards(out) == _shards(scene.before):  # it died before it did anything: the results are those from before
        return
    assert all(f in (scene.right, *scene.also) for f in found), step


def _shards(out: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in sorted(out.glob("*/*/shards/*.parquet"))}


@pytest.mark.parametrize("scene", SCENES, ids=lambda s: s.__name__)
def test_killed_while_finishing(data: Path, tmp_path: Path, scene: Callable[[Path, Path], Scene]) -> None:
    prepared = scene(data, tmp_path)
    shutil.copytree(prepared.before, tmp_path / "count")
    n = steps(lambda: prepared.work(tmp_path / "count"))
    assert n > 4
    for step in range(n - 4, n):
        assert survives(prepared, tmp_path / "out", step), step


@pytest.mark.slow
@pytest.mark.parametrize("scene", SCENES, ids=lambda s: s.__name__)
def test_killed_at_every_step(data: Path, tmp_path: Path, scene: Callable[[Path, Path], Scene]) -> None:
    prepared, step = scene(data, tmp_path), 0
    while survives(prepared, tmp_path / "out", step):
        step += 1
    assert step > 8


@pytest.mark.slow
def test_killed_at_100_random_moments(data: Path, tmp_path: Path) -> None:
    rng = random.Random(5)
    for i, scene in enumerate((picture_replaced, limit_extended, failure_mended, imported)):
        base = tmp_path / str(i)
        base.mkdir()
        prepared = scene(data, base)
        for _ in range(25):
            out = base / "out"
            shutil.copytree(prepared.before, out)
            pid = os.fork()
            if pid == 0:
                prepared.work(out)
                for cell in find_cells(str(out)):
                    rescore(cell)
                os._exit(0)
            time.sleep(rng.uniform(0, 0.6))
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            no_wrong_number(prepared, out, "a random moment")
            prepared.work(out)
            assert values_of(view(out)) == prepared.right
            shutil.rmtree(out)


def test_a_cell_under_work_says_so_before_its_first_new_row(data: Path, tmp_path: Path) -> None:
    go(tmp_path / "out")
    replace_picture(data, 1)
    folder = cell_of(tmp_path / "out")
    before = {p.name: p.read_bytes() for p in (folder / "shards").iterdir()}
    for step in range(steps(lambda: go(tmp_path / "count"))):
        shutil.copytree(tmp_path / "out", tmp_path / "at")
        killed_at(step, lambda: go(tmp_path / "at"))
        now = {p.name: p.read_bytes() for p in (cell_of(tmp_path / "at") / "shards").glob("*.parquet")}
        record = read_cell(cell_of(tmp_path / "at")).record
        shutil.rmtree(tmp_path / "at")
        if now != before:
            assert (record.status, record.results) == ("running", None)
            break
    else:
        pytest.fail("no new row was seen")


def test_a_full_disk_while_finishing(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from sambench.engine import cells
    from sambench.store import record

    right = values_of(go(tmp_path / "whole"))

    def full(path: Path, content: bytes) -> None:
        raise RunError("results cannot be written", where=path, found="No space left on device")

    with monkeypatch.context() as m:
        m.setattr(cells, "write_bytes", full)
        with pytest.raises(RunError, match="cannot be written"):
            go(tmp_path / "out")
    assert record.read_record(cell_of(tmp_path / "out")).status == "running"
    assert values_of(go(tmp_path / "out")) == right
    assert view(tmp_path / "out").record.status == "complete"


def test_a_mended_failure_ends_the_failure(data: Path, tmp_path: Path) -> None:
    scene = failure_mended(data, tmp_path)
    shutil.copytree(scene.before, tmp_path / "count")
    n = steps(lambda: go(tmp_path / "count"))
    out = shutil.copytree(scene.before, tmp_path / "out")
    assert killed_at(n - 1, lambda: go(out))  # all rows are there, and the record is not
    again = go(out)
    assert (again.record.status, again.record.counts.n_images_failed) == ("complete", 0)


@pytest.mark.parametrize("name", ["metrics.csv", "metrics.parquet", "images.txt"])
@pytest.mark.parametrize("how", ["emptied", "edited", "gone"])
def test_files_beside_a_record_are_compared_with_it(data: Path, tmp_path: Path, name: str, how: str) -> None:
    right = values_of(go(tmp_path / "out"))
    path = cell_of(tmp_path / "out") / name
    content = path.read_bytes()
    if how == "gone":
        path.unlink()
    else:
        path.write_bytes(b"" if how == "emptied" else content.replace(b"0", b"1", 1))
    with pytest.raises(RunError) as e:
        values_of(view(tmp_path / "out"))
    assert name in str(e.value)
    assert "issue the run's command again" in str(e.value)
    assert values_of(go(tmp_path / "out")) == right  # and that mends it
    assert values_of(view(tmp_path / "out")) == right
    assert path.read_bytes() == content


def test_every_reader_checks(data: Path, tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from sambench.cli.app import app

    go(tmp_path / "a")
    go(tmp_path / "b", level=120)
    (cell_of(tmp_path / "a") / "metrics.csv").write_text("cell_id\n")
    run = str(cell_of(tmp_path / "a"))
    for args in (
        ["table", run],
        ["compare", run, str(cell_of(tmp_path / "b"))],
        ["rescore", run],
        ["gallery", run, "--out", str(tmp_path / "g")],
        ["report", "fig9b", run, "--out", str(tmp_path / "r")],
        ["results", "export", run, "--to", str(tmp_path / "x.zip")],
        ["plot", run, "--to", str(tmp_path / "p")],
    ):
        found = CliRunner().invoke(app, args)
        assert isinstance(found.exception, SambenchError), args
        assert "metrics.csv" in str(found.exception), args
    status = CliRunner().invoke(app, ["status", str(tmp_path / "a")])
    assert status.exit_code == 1
    assert "metrics.csv" in status.stderr


def test_rows_that_moved_are_noticed_and_finished_anew(data: Path, tmp_path: Path) -> None:
    """Rows of a whole shard that the record does not know: a second command died after the first had finished."""
    go(tmp_path / "out")
    os.environ[world.DRIFT] = "130"
    right = values_of(go(tmp_path / "other"))
    for shard in (cell_of(tmp_path / "other") / "shards").iterdir():
        shutil.copy(shard, cell_of(tmp_path / "out") / "shards")
    with pytest.raises(RunError, match="do not fit its record") as e:
        values_of(view(tmp_path / "out"))
    assert "shards/000000.parquet" in str(e.value)
    assert values_of(go(tmp_path / "out")) == right


def test_shards_that_are_gone_are_images_not_computed(data: Path, tmp_path: Path) -> None:
    right = values_of(go(tmp_path / "out"))
    (cell_of(tmp_path / "out") / "shards/000001.parquet").unlink()
    assert view(tmp_path / "out").partial_reasons() == ["2 of 6 images not computed (interrupted)"]
    assert values_of(go(tmp_path / "out")) == right


def test_another_cells_results_are_not_taken(data: Path, tmp_path: Path) -> None:
    go(tmp_path / "a")
    other = cell_of(tmp_path / "a")
    go(tmp_path / "b", level=120)
    mine = cell_of(tmp_path / "b")
    shutil.rmtree(mine)
    shutil.copytree(other, mine)
    with pytest.raises(UsageError, match="results of another cell"):
        go(tmp_path / "b", level=120)


def test_fresh_computes_anew_what_is_finished(data: Path, tmp_path: Path) -> None:
    old = values_of(go(tmp_path / "out"))
    os.environ[world.DRIFT] = "130"
    assert values_of(go(tmp_path / "out")) == old  # nothing that an identity knows of has changed
    found = values_of(go(tmp_path / "out", fresh=True))
    assert found != old
    assert found == values_of(go(tmp_path / "whole"))
    assert metrics_of(tmp_path / "out") == metrics_of(tmp_path / "whole")
    with pytest.raises(UsageError, match="a part would replace"):
        go(tmp_path / "out", fresh=True, limit=2)


def test_fresh_without_success_leaves_what_was_there(data: Path, tmp_path: Path) -> None:
    old = values_of(go(tmp_path / "out"))
    picture(data, 3).write_bytes(b"")
    with pytest.raises(RunError, match="results from before stay"):
        go(tmp_path / "out", fresh=True)
    assert values_of(view(tmp_path / "out")) == old
    assert [p.name for p in (tmp_path / "out").rglob(".*")] == []
    assert go(tmp_path / "new", fresh=True).record.status == "incomplete"  # there was nothing to keep


def test_fresh_where_folders_cannot_be_exchanged(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from sambench.engine import fresh as engine

    monkeypatch.setattr(engine, "_exchange", lambda a, b: False)
    scene = fresh(data, tmp_path)
    shutil.copytree(scene.before, tmp_path / "count")
    n = steps(lambda: scene.work(tmp_path / "count"))
    out = tmp_path / "out"
    for step in range(n - 8, n):
        shutil.copytree(scene.before, out)
        killed_at(step, lambda: scene.work(out))
        os.environ[world.DRIFT] = "0"
        assert values_of(go(out)) in (scene.right, *scene.also), step
        os.environ[world.DRIFT] = "130"
        shutil.rmtree(out)


def test_two_commands_do_not_compute_anew_at_once(data: Path, tmp_path: Path) -> None:
    from sambench.store.leases import try_lease

    go(tmp_path / "out")
    cell = cell_of(tmp_path / "out")
    lease = try_lease(tmp_path / "out" / f".{cell.parent.name}.{cell.name}.fresh")
    assert lease is not None
    with lease, pytest.raises(UsageError, match="another command computes that cell again"):
        go(tmp_path / "out", fresh=True)
    go(tmp_path / "out", fresh=True)


def test_a_folder_that_may_not_be_looked_into_is_named(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root may read everything, so the refusal comes from a patched one."""
    go(tmp_path / "out")
    go(tmp_path / "out", level=120)
    locked = sorted(p for p in (tmp_path / "out").iterdir() if p.is_dir())[0]
    real = Path.exists

    def refused(path: Path) -> bool:
        if locked in path.parents:
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(Path, "exists", refused)
    found = find_cell_paths(str(tmp_path / "out"))
    assert locked in found
    assert len(found) == 2
