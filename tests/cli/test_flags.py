"""A flag means one thing in every command that has it, and none is ignored in silence."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import typer

import sambench.sources.models
import sambench.watch.loop
from sambench.automatic.settings import AutomaticSettings
from sambench.cli import variables
from sambench.cli.app import app
from sambench.errors import UsageError
from tests.helpers.cells import Maker
from tests.helpers.inprocess import Cli


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two runs at one click."""
    make = Maker(tmp_path / "runs")
    make.cell("demo", n_images=3)
    make.cell("demo", run="point-otsu-1a1a1a1a", model="otsu", n_images=3, seed=4)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "runs"


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What `sambench watch` was asked for; nothing is watched."""
    asked: list[Any] = []
    monkeypatch.setattr(sambench.watch.loop, "run", lambda watch, **_: asked.append(watch.work.request) or [])
    return asked


def flags() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for path, option in variables.flags_of(typer.main.get_command(app)):
        found.setdefault(" ".join(path), {}).update(dict.fromkeys(option.opts, option))
    return found


def test_watch_takes_datasets_and_models_as_run_does(cli: Cli, watched: list[Any], tmp_path: Path) -> None:
    datasets = f"coco:{tmp_path}/a.json,{tmp_path}/images,demo"
    ended = cli("watch", tmp_path, "-m", "sam_vit_b", "-d", datasets, "-M", "sam_vit_b.stability=0.9", "--limit", "2")
    assert ended.code == 0, ended.err
    (request,) = watched
    assert request.datasets == (f"coco:{tmp_path}/a.json,{tmp_path}/images", "demo")
    assert request.models == (("sam_vit_b", {"stability": 0.9}),)
    for wrong, says in ((("-m", "otsu,grabcut"), "one model"), (("-m", "otsu", "-d", ","), "without a name")):
        ended = cli("watch", tmp_path, *wrong)
        assert ended.code == 2
        assert says in ended.err
    assert len(watched) == 1


@pytest.mark.parametrize(
    "command",
    [
        ("check", "model", "otsu"),
        ("probe", "demo", "--model", "otsu", "--limit", "1"),
        ("text", "demo:concepts", "--model", "otsu", "--limit", "1"),
        ("masks", "photo.png", "--model", "otsu", "--out", "found"),
        ("bench", "otsu"),
    ],
)
def test_a_models_option_may_name_the_model(
    command: tuple[str, ...], cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from PIL import Image

    Image.new("RGB", (8, 8)).save(tmp_path / "photo.png")
    monkeypatch.chdir(tmp_path)
    given: list[Any] = []

    def resolve(name: str, options: Any, **_: Any) -> Any:
        given.append((name, options))
        raise UsageError("that will do")

    monkeypatch.setattr(sambench.sources.models, "resolve", resolve)
    ended = cli(*command, "-M", "otsu.depth=3", "-M", "plain=true")
    assert "that will do" in ended.err
    assert given == [("otsu", {"depth": 3, "plain": True})]


@pytest.mark.parametrize(
    ("args", "ignored"),
    [
        (("rescore", "otsu", "--check-masks", "--group-by", "category"), "--group-by"),
        (("rescore", "otsu", "--check-masks", "--evaluator", "lvis"), "--evaluator"),
        (("rescore", "otsu", "--check-masks", "--resamples", "500", "--seed", "1"), "--resamples, --seed"),
        (("rescore", "otsu", "--evaluator", "lvis", "--level", "0.9"), "--level"),
        (("rescore", "otsu", "--root", "."), "--root"),
        (("rescore", "otsu", "--evaluator", "lvis", "--root", "."), "--root"),
        (("table", "otsu", "--metrics", "--suite", "sa23"), "--suite"),
        (("compare", "otsu", "paper", "--per", "image"), "--per"),
        (("list", "datasets", "--suite", "sa23"), "--suite"),
        (("rate", "make", "--half", "boxes", "-m", "otsu", "--prompt", "point"), "--prompt"),
    ],
)
def test_a_flag_that_would_be_ignored_is_refused(args: tuple[str, ...], ignored: str, cli: Cli, runs: Path) -> None:
    ended = cli(*args)
    assert ended.code == 2, ended.out
    assert "would be ignored" in ended.err
    assert f"where: {ignored}\n" in ended.err


def test_a_variable_may_be_for_another_day(cli: Cli, runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAMBENCH_RESCORE_ROOT", "elsewhere")
    assert cli("rescore", "otsu").code == 0


def test_runs_are_arguments_and_their_folder_is_a_flag(cli: Cli, runs: Path) -> None:
    both = json.loads(cli("status", "otsu", "grabcut", "--runs", "runs", "--json").out)["cells"]
    assert [c["model"] for c in both] == ["otsu", "grabcut"]
    assert json.loads(cli("status", "--json").out)["cells"] == both[::-1]
    alone, other = cli("rescore", "otsu").out, cli("rescore", "grabcut").out
    assert cli("rescore", "otsu", "grabcut", "--runs", runs).out == alone + other.partition("\n")[2]
    for name, of_command in flags().items():
        option = of_command.get("--runs")
        assert option is None or option.metavar == "DIR", name


JSON = (
    "list datasets", "list models", "list readers", "list tasks", "list reports", "show reader coco", "show dataset demo",
    "show model otsu", "show run otsu", "status", "runs list", "runs du", "runs rm otsu --dry-run", "runs gc --dry-run",
    "table otsu", "table otsu --metrics", "compare otsu grabcut", "reproduce paper",
)  # fmt: skip


@pytest.mark.parametrize("command", JSON)
def test_json_is_a_format_and_a_flag(command: str, cli: Cli, runs: Path) -> None:
    short, long = cli(*command.split(), "--json"), cli(*command.split(), "--format", "json")
    assert short.code == long.code == 0, short.err + long.err
    assert short.out == long.out
    assert json.loads(short.out)
    assert cli(*command.split(), "--format", "jsn").code == 2


def test_every_command_that_has_one_has_both() -> None:
    for name, of_command in flags().items():
        if "--json" in of_command:
            assert "json" in of_command["--format"].help, name


@pytest.mark.parametrize("command", ["list datasets --format markdown", "table otsu --format csv"])
def test_two_forms_are_one_too_many(command: str, cli: Cli, runs: Path) -> None:
    ended = cli(*command.split(), "--json")
    assert ended.code == 2
    assert "two forms" in ended.err


def test_the_first_images_are_called_limit(cli: Cli) -> None:
    for name in ("probe", "text"):
        shown = cli(name, "--help").out
        assert "--limit N" in shown
        assert "--images" not in shown
        assert "--images" in flags()[name]["--limit"].opts  # the spelling of before
        assert "--quiet" in flags()[name]


def test_an_error_names_the_flag_that_there_is(cli: Cli, runs: Path) -> None:
    ended = cli("compare", "otsu", "grabcut", "-k", "7")
    assert ended.code == 2
    assert "where: -k\n" in ended.err


def test_settings_of_automatic_masks_make_the_flags(cli: Cli) -> None:
    here = flags()["masks"]
    for field in dataclasses.fields(AutomaticSettings):
        option = here["--" + field.name.replace("_", "-")]
        assert option.default is None, field.name
        assert option.help
    ended = cli("masks", "photo.png", "-o", "found", "--cleanup", "papr")
    assert ended.code == 2
    assert "paper" in ended.err


RATINGS = "rater,item,model,dataset,score\n" + "".join(f"r,i{i},{m},d,{5 + i % 3}\n" for i in range(6) for m in ("sam", "ritm"))


def test_rated_models_that_nobody_rated_are_an_error(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("rt.csv").write_text(RATINGS)
    report = ("report", "table8", "--ratings", "rt.csv", "-f", "csv")
    assert cli(*report).code == 0  # SAM and RITM are the default's, not what was asked for
    assert cli(*report, "--rated", "sam,ritm").code == 0
    for wrong in ("no_such_model,other", "sam,other", "sam,ritm,other"):
        ended = cli(*report, "--rated", wrong)
        assert ended.code == 2, wrong
        assert "--rated" in ended.err
    assert cli("report", "table8", "--rated", "sam,ritm").code == 2
