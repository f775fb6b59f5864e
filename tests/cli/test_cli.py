"""The command line apart from runs, and the Python API: what a new user types."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

import sambench as api
from tests.helpers import TOY_MODEL, sambench, write_nuclei
from tests.helpers.inprocess import Cli
from tests.helpers.toy_model import Toy


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """A folder with two finished runs on six images, and the environment that finds their data."""
    base = tmp_path_factory.mktemp("finished")
    write_nuclei(base / "data", n_images=6)
    env = {"SAMBENCH_DATA": str(base / "data"), "SAMBENCH_OUT": str(base / "runs")}
    for level in ("100", "300"):
        done = sambench("run", "point", "-d", "bbbc038v1", "-m", TOY_MODEL, "-M", f"level={level}", "-q", env=env)
        assert done.returncode == 0, done.stderr
    return base, env


def runs_of(base: Path) -> list[str]:
    return sorted(p.name for p in (base / "runs").glob("point-*"))


def test_help_and_version() -> None:
    assert "run" in sambench("--help").stdout
    assert sambench("--version").stdout.startswith("sambench 0.")
    assert sambench("run", "point", "--help").returncode == 0


def test_helps_name_values_without_the_types_of_python(cli: Cli) -> None:
    for command in (["table"], ["report"], ["gallery"], ["masks"], ["run", "point"], ["rate", "make"]):
        said = cli(*command, "--help").out
        assert not re.search(r"<(str|int|float|list|path)|\{|\[\[", said), said
    assert "sambench table [OPTIONS] RUN..." in cli("table", "--help").out
    assert "sambench gallery [OPTIONS] RUN [RUN]" in cli("gallery", "--help").out


def test_unknown_command_and_flag() -> None:
    for args in (["rnu"], ["run", "pont"], ["run", "point", "--dataset", "demo"]):
        done = sambench(*args)
        assert done.returncode == 2
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize("what", ["datasets", "models", "tasks"])
def test_list(what: str) -> None:
    done = sambench("list", what)
    assert done.returncode == 0, done.stderr
    assert {"datasets": "bbbc038v1", "models": "grabcut", "tasks": "point@1"}[what] in done.stdout


def test_show() -> None:
    shown = sambench("show", "dataset", "bbbc038v1").stdout
    assert "CC0" in shown
    assert "10,506 masks" in shown
    assert "stage1_train.zip" in shown
    assert "weights=FILE" in sambench("show", "model", "sam_vit_b").stdout
    assert "23" not in sambench("show", "dataset", "sa23").stderr
    done = sambench("show", "dataset", "cityscape")
    assert done.returncode == 2


def test_every_model_card_can_be_shown(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from sambench.cards import model_cards

    cli = Cli(monkeypatch, capsys)
    for name in model_cards():
        shown = cli("show", "model", name)
        assert shown.code == 0, shown.err
        assert name in shown.out


def test_missing_data_says_how_to_get_it(tmp_path: Path) -> None:
    done = sambench(
        "run", "point", "-d", "bbbc038v1", "--out", str(tmp_path / "out"), env={"SAMBENCH_DATA": str(tmp_path / "none")}
    )
    assert done.returncode == 2
    assert "stage1_train.zip" in done.stderr
    assert "sambench data adopt bbbc038v1" in done.stderr
    assert not (tmp_path / "out").exists()


def test_all_without_data_says_so(tmp_path: Path) -> None:
    done = sambench("run", "point", "-d", "all", "--out", str(tmp_path / "out"), env={"SAMBENCH_DATA": str(tmp_path / "none")})
    assert done.returncode == 2
    assert "none of the datasets asked for is on this machine" in done.stderr


def test_a_suite_runs_what_is_here(finished: tuple[Path, dict[str, str]], tmp_path: Path) -> None:
    done = sambench("run", "point", "-d", "all", "-m", TOY_MODEL, "--out", str(tmp_path), env=finished[1])
    assert done.returncode == 0, done.stderr
    assert "not comparable" in done.stdout
    assert "1 of 23" in done.stdout
    assert "ade20k: a form must be filled" in done.stderr


def test_adopt(finished: tuple[Path, dict[str, str]], tmp_path: Path) -> None:
    env = {"SAMBENCH_HOME": str(tmp_path / "home"), "SAMBENCH_DATA": str(tmp_path / "nothing")}
    assert sambench("data", "where", "bbbc038v1", env=env).returncode == 2
    wrong = sambench("data", "adopt", "bbbc038v1", str(tmp_path), env=env)
    assert wrong.returncode == 2
    assert "expected" in wrong.stderr
    done = sambench("data", "adopt", "bbbc038v1", str(finished[0] / "data/bbbc038v1"), env=env)
    assert done.returncode == 0, done.stderr
    assert str(finished[0]) in sambench("data", "where", "bbbc038v1", env=env).stdout


def test_verify_and_preview(finished: tuple[Path, dict[str, str]], tmp_path: Path) -> None:
    done = sambench("data", "verify", "bbbc038v1", env=finished[1])
    assert done.returncode == 0, done.stderr
    assert "24" in done.stdout
    assert "different" in done.stdout
    png = tmp_path / "sheet.png"
    assert sambench("data", "preview", "bbbc038v1", "-o", str(png), "-n", "4", env=finished[1]).returncode == 0
    assert png.read_bytes().startswith(b"\x89PNG")


def test_status_table_rescore(finished: tuple[Path, dict[str, str]]) -> None:
    base, env = finished
    assert sambench("status", env=env).stdout.count("complete") == 2
    run = runs_of(base)[0]
    assert "bbbc038v1" in sambench("table", run, env=env).stdout
    for form, mark in (("csv", "miou"), ("markdown", "| "), ("latex", "\\toprule"), ("json", "{")):
        done = sambench("table", run, "--format", form, env=env)
        assert done.returncode == 0, done.stderr
        assert mark in done.stdout.lower(), form
    (csv,) = (base / "runs" / run).glob("*/metrics.csv")
    assert sambench("rescore", run, env=env).stdout == csv.read_text()
    checked = sambench("rescore", run, "--check-masks", env=env)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert " 0 differ" in checked.stdout


def test_compare(finished: tuple[Path, dict[str, str]]) -> None:
    base, env = finished
    a, b = runs_of(base)
    done = sambench("compare", a, b, env=env)
    assert done.returncode == 0, done.stderr
    assert "bbbc038v1" in done.stdout
    same = sambench("compare", a, a, "--format", "json", env=env)
    assert all(row["difference"] == 0 for row in json.loads(same.stdout)["rows"])


@pytest.mark.parametrize(
    "args", [("table", "nothing"), ("compare", "nothing", "nowhere"), ("rescore", "nothing"), ("status", "nothing")]
)
def test_unknown_run(finished: tuple[Path, dict[str, str]], args: tuple[str, ...]) -> None:
    done = sambench(*args, env=finished[1])
    assert done.returncode == 2
    assert "nothing" in done.stderr
    assert "Traceback" not in done.stderr


def test_configuration_file_is_below_environment_and_flags(finished: tuple[Path, dict[str, str]], tmp_path: Path) -> None:
    config = tmp_path / "run.toml"
    config.write_text(
        f'datasets = "bbbc038v1"\nmodel = ["{TOY_MODEL}"]\nclicks = [1, 2]\nlimit = 3\nout = "{tmp_path}/file"\nworkers = 1\n'
    )
    env = {**finished[1], "SAMBENCH_OUT": str(tmp_path / "env")}
    done = sambench("run", "point", "--config", str(config), "--limit", "2", env=env)
    assert done.returncode == 0, done.stderr
    (cell,) = (tmp_path / "env").glob("*/*/cell.json")
    rec = json.loads(cell.read_text())
    assert rec["limit"] == 2
    assert rec["task"]["settings"]["clicks"] == [1, 2]


@pytest.mark.parametrize(("text", "says"), [("limt = 3", "limit"), ("limit = ", "TOML"), ("datasets = 'nope'", "nope")])
def test_a_wrong_configuration_file_is_explained(tmp_path: Path, text: str, says: str) -> None:
    config = tmp_path / "run.toml"
    config.write_text(text)
    done = sambench("run", "point", "--config", str(config), "--out", str(tmp_path / "out"))
    assert done.returncode == 2
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_evaluate_in_process_equals_the_command(
    finished: tuple[Path, dict[str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base, env = finished
    monkeypatch.setenv("SAMBENCH_DATA", env["SAMBENCH_DATA"])
    results = api.evaluate(Toy(), datasets="bbbc038v1", name="toy", out=tmp_path)
    other = api.load(
        next(
            r
            for r in runs_of(base)
            if json.loads((base / "runs" / r / "model.json").read_text())["model"]["options"] == {"level": 100}
        ),
        base / "runs",
    )
    columns = ["metric", "variant", "k", "threshold", "value", "ci_low", "ci_high", "n_objects"]
    assert results.metrics()[columns].equals(other.metrics()[columns])
    assert len(results.rows()) == 6 * 4 * 5
    assert "dataset" in results.table().columns


def test_evaluate_knows_an_unchanged_model(
    finished: tuple[Path, dict[str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAMBENCH_DATA", finished[1]["SAMBENCH_DATA"])
    first = api.evaluate(Toy(), datasets="bbbc038v1", out=tmp_path)
    assert api.evaluate(Toy(), datasets="bbbc038v1", out=tmp_path).paths == first.paths
    assert api.evaluate(Toy(level=7), datasets="bbbc038v1", out=tmp_path).paths != first.paths


def test_evaluate_refuses_what_is_no_model(tmp_path: Path) -> None:
    from sambench.errors import ModelError, UsageError

    with pytest.raises(ModelError, match="not a model"):
        api.evaluate(object(), out=tmp_path)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="limits"):
        api.evaluate(Toy(), limits=3, out=tmp_path)


def test_run_api(finished: tuple[Path, dict[str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAMBENCH_DATA", finished[1]["SAMBENCH_DATA"])
    results = api.run("box", "bbbc038v1", TOY_MODEL, out=tmp_path, workers=1)
    metrics = results.metrics().set_index(["metric", "threshold"])["value"]
    assert 0.5 < metrics["miou"].iloc[0] <= 1
    assert set(results.rows()["k"]) == {0}


class Rude(Toy):
    """Breaks the contract in the way `how` says."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how

    def decode(self, state, prompts):  # type: ignore[no-untyped-def]
        answers = super().decode(state, prompts)
        if self.how == "fewer":
            return answers[:-1]
        if self.how == "none":
            return None
        first = answers[0]
        if self.how == "scores":
            object.__setattr__(first, "scores", first.scores[:-1])
        if self.how == "size":
            object.__setattr__(first, "masks", first.masks[:, :-1])
        if self.how == "logits":
            object.__setattr__(first, "masks", first.masks * 3.5 - 1)
        return answers


@pytest.mark.parametrize("how", ["fewer", "none", "scores", "size", "logits"])
def test_a_model_that_breaks_the_contract_is_stopped_at_once(
    how: str, finished: tuple[Path, dict[str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sambench.errors import ModelError

    monkeypatch.setenv("SAMBENCH_DATA", finished[1]["SAMBENCH_DATA"])
    with pytest.raises(ModelError, match="expected"):
        api.evaluate(Rude(how), datasets="bbbc038v1", name=how, out=tmp_path)
