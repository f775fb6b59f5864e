"""Every flag has its SAMBENCH_ variable, by one rule, and a misspelt one is named."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
import typer.main

from sambench.cli import variables
from sambench.cli.app import app
from tests.helpers.inprocess import Cli


def test_every_flag_has_a_variable_of_its_own() -> None:
    flags = list(variables.flags_of(typer.main.get_command(app)))
    assert len(flags) > 100
    own = Counter(option.envvar[0] for _, option in flags)
    assert max(own.values()) == 1
    for path, option in flags:
        flag = next((o for o in option.opts if o.startswith("--")), option.opts[0])
        assert option.envvar[0] == variables.named_for(*path, flag)
        if path[0] == "run":
            assert variables.named_for(flag) in option.envvar
    assert not set(own) & set(variables.OTHERS)
    assert not {name for _, option in flags for name in option.envvar} & set(variables.OTHERS)


def planned(cli: Cli, monkeypatch: pytest.MonkeyPatch, **env: str) -> str:
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    ended = cli("run", "point", "--dry-run")
    assert ended.code == 0, ended.err
    return ended.out


@pytest.mark.parametrize(
    ("env", "says"),
    [
        ({"SAMBENCH_CLICKS": "1,2"}, '"clicks":[1,2]'),
        ({"SAMBENCH_MASK_FEEDBACK": "false"}, '"mask_feedback":false'),
        ({"SAMBENCH_PROMPT": "random", "SAMBENCH_SEED": "3"}, '"seed":3'),
        ({"SAMBENCH_SUBSET": "full"}, " full "),
        ({"SAMBENCH_LIMIT": "7"}, " 7 "),
        ({"SAMBENCH_LIMIT": "7", "SAMBENCH_RUN_POINT_LIMIT": "9"}, " 9 "),
        ({"SAMBENCH_MODEL": "otsu grabcut"}, "grabcut"),
    ],
)
def test_a_flag_of_run_follows_its_variable(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, env: dict[str, str], says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert says in planned(cli, monkeypatch, **{"SAMBENCH_MODEL": "otsu", **env})


def test_other_commands_have_their_name_in_it(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAMBENCH_LIST_DATASETS_FORMAT", "markdown")
    assert cli("list", "datasets").out.startswith("| dataset |")


def test_values_with_spaces_are_quoted_as_in_a_shell(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAMBENCH_DATASETS", "'./no such card.toml'")
    assert "no such card.toml" in cli("run", "point", "--dry-run").err
    monkeypatch.setenv("SAMBENCH_DATASETS", "'open")
    ended = cli("run", "point", "--dry-run")
    assert ended.code == 2
    assert "SAMBENCH_DATASETS" in ended.err


def test_an_error_names_the_variable(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAMBENCH_LIMIT", "many")
    ended = cli("run", "point")
    assert ended.code == 2
    assert "SAMBENCH_LIMIT='many'" in ended.err


def test_an_unknown_variable_is_named_with_the_nearest(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAMBENCH_LIMTI", "3")
    err = cli("list", "tasks").err
    assert err.count("SAMBENCH_LIMTI") == 1
    assert "did you mean SAMBENCH_LIMIT?" in err
    monkeypatch.delenv("SAMBENCH_LIMTI")
    assert cli("list", "tasks").err == ""


@pytest.mark.parametrize("args", [("run", "point", "--out", ""), ("status", "--out="), ("table", ""), ("gallery", "x", "-o", "")])
def test_an_empty_text_is_no_value(cli: Cli, args: tuple[str, ...]) -> None:
    ended = cli(*args)
    assert ended.code == 2
    assert "empty" in ended.err


def test_an_empty_folder_name_is_none_from_python_either() -> None:
    import sambench
    from sambench.errors import UsageError

    with pytest.raises(UsageError, match="no folder is named"):
        sambench.run("point", model="otsu", out="")
