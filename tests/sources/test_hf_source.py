"""`--model hf:...` on the command line: a run, the same again, compared, and the same folder elsewhere."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from sambench.errors import ModelError, UsageError
from sambench.sources import hf, models
from tests.helpers import hf_folders
from tests.helpers.inprocess import Cli

RUN = ("run", "point", "--datasets", "demo", "--limit", "1", "--max-clicks", "2", "--workers", "1", "--quiet")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder ./tiny-sam2 of the working directory."""
    monkeypatch.chdir(tmp_path)
    hf_folders.sam2(tmp_path / "tiny-sam2", seed=6)
    return tmp_path / "tiny-sam2"


def cells(out: Path) -> dict[str, bytes]:
    return {str(p.relative_to(out)): p.read_bytes() for p in sorted(out.rglob("*.parquet"))}


def test_it_runs_resumes_and_compares(folder: Path, tmp_path: Path, cli: Cli) -> None:
    both = (*RUN, "--model", "hf:./tiny-sam2", "--model", "sam_nano")
    first = cli(*both)
    assert first.code == 0, first.err
    assert "tiny-sam2" in first.out
    assert "sam_nano" in first.out
    before = cells(tmp_path / "runs")
    again = cli(*both)
    assert again.code == 0, again.err
    assert cells(tmp_path / "runs") == before
    assert len([k for k in before if "point-tiny-sam2" in k and "shards" in k]) == 1
    compared = cli("compare", "tiny-sam2", "sam_nano")
    assert compared.code == 0, compared.err
    assert "tiny-sam2" in compared.out
    shown = cli("show", "run", "tiny-sam2")
    assert "Sam2Model" in shown.out
    # Elsewhere it is the same model: nothing is computed.
    moved = tmp_path / "far" / "away" / "tiny-sam2"
    moved.parent.mkdir(parents=True)
    shutil.move(folder, moved)
    elsewhere = cli(*RUN, "--model", f"hf:{moved}")
    assert elsewhere.code == 0, elsewhere.err
    assert cells(tmp_path / "runs") == before


def test_it_is_planned_without_being_loaded(folder: Path, cli: Cli) -> None:
    done = cli(*RUN, "--model", "hf:tiny-sam2", "--dry-run")
    assert done.code == 0, done.err
    assert "not a model on the hub" in done.out + done.err


def test_check(folder: Path, cli: Cli) -> None:
    checked = cli("check", "model", "hf:./tiny-sam2")
    assert checked.code == 0, checked.out
    assert "0 failed" in checked.out


@pytest.mark.slow
def test_bench(folder: Path, cli: Cli) -> None:
    costs = cli("bench", "hf:./tiny-sam2", "--rounds", "1", "--warm-up", "0", "--size", "48x64", "--save", "costs.json")
    assert costs.code == 0, costs.err
    assert "tiny-sam2" in costs.out
    assert json.loads(Path("costs.json").read_text())


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("hf:facebook/sam2.1-hiera-large", ("facebook/sam2.1-hiera-large", None)),
        ("hf:facebook/sam2.1-hiera-large@v1.0", ("facebook/sam2.1-hiera-large", "v1.0")),
        ("hf:bert", ("bert", None)),
    ],
)
def test_names_on_the_hub(name: str, parts: tuple[str, str | None]) -> None:
    assert hf.parse(name) == parts
    assert not hf.is_folder(name)


def test_a_file_of_a_folder_is_not_looked_up(folder: Path) -> None:
    with pytest.raises(ModelError, match="this is no folder"):
        models.resolve("hf:tiny-sam2/config.json", {}, device="cpu", precision="fp32")


@pytest.mark.parametrize("name", ["hf:", "hf:@main", "hf:a/b@"])
def test_names_that_are_none(name: str) -> None:
    with pytest.raises(UsageError, match="ORGANISATION/NAME"):
        models.resolve(name, {}, device="cpu", precision="fp32")


def test_it_is_listed_among_the_sources() -> None:
    assert models.sources()["hf"].form == "hf:ORGANISATION/NAME or hf:./FOLDER"
    with pytest.raises(UsageError, match="hf:ORGANISATION/NAME"):
        models.source_of("hfx:./tiny")
