"""What the README and the pages of docs/ show does run, and what they name is there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import typer.main

import sambench
from sambench.cards import DatasetCard, ModelCard
from sambench.cli.app import app
from sambench.sources.python import load_python_model
from tests.helpers import ROOT
from tests.helpers import sambench as command_line

README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = {p.name: p.read_text(encoding="utf-8") for p in (ROOT / "docs").glob("*.md")}
SHOWN = "\n".join([README, *PAGES.values()])
# Of the task on your-task.md, which tests/tasks/test_toy_task.py runs, and of benchmarks/gpu.py, which tests/device does.
OF_EXAMPLES = {"--shift-px", "--quick"}
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE)


def test_the_example_model_is_complete(tmp_path: Path) -> None:
    (tmp_path / "flood.py").write_text(blocks(README, "python")[0])
    model = load_python_model(f"python:{tmp_path / 'flood.py'}:make", options={"tolerance": 30})
    results = sambench.evaluate(model, limit=1, settings={"clicks": (1, 2)}, out=tmp_path / "runs")  # type: ignore[arg-type]
    rows = results.rows()
    assert set(rows["status"]) == {"ok"}
    assert set(rows["k"]) == {1, 2}
    assert 0 < rows["iou_top"].mean() < 1


def test_the_example_of_the_api_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    code = blocks(README, "python")[1]
    assert code.count("limit=8") == 2
    names: dict[str, object] = {}
    exec(code.replace("limit=8", 'limit=1, settings={"clicks": (1, 2)}, workers=1'), names)
    assert len(names["results"].rows()) == len(names["other"].rows()) > 0  # type: ignore[attr-defined]


def demo_table(text: str, model: str) -> dict[str, str]:
    """What the demo table says of a model, by column; a table of one model leaves out the columns that say nothing of it."""
    lines = [re.split(r"\s{2,}", line.strip()) for line in text.splitlines()]
    (head,) = (line for line in lines if line[0] == "dataset" and "mIoU@1" in line)
    (values,) = (line for line in lines if line[0] == "demo" and (model in line or "model" not in head))
    return {k: v for k, v in zip(head, values, strict=True) if v != "–" and k != "model"}


@pytest.mark.parametrize("model", ["otsu", *(pytest.param(m, marks=pytest.mark.slow) for m in ("sam_nano", "grabcut"))])
def test_the_table_of_the_demo_is_what_a_run_gives(model: str, tmp_path: Path) -> None:
    done = command_line("run", "point", "--datasets", "demo", "--model", model, "--out", str(tmp_path), env={"COLUMNS": "160"})
    assert done.returncode == 0, done.stderr
    promised = demo_table(README, model)
    assert len(promised) >= 10
    assert demo_table(done.stdout, model) == promised


def test_the_table_of_phrases_is_what_a_run_gives(tmp_path: Path) -> None:
    def shown(text: str) -> list[list[str]]:
        lines = (line.split() for line in text.splitlines())
        return [words for words in lines if words[:1] == ["demo:concepts"]]

    command = PAGES["concepts.md"].split("```")[1].split()
    done = command_line(*command[1:], "--out", str(tmp_path), env={"COLUMNS": "160"})
    assert done.returncode == 0, done.stderr
    promised = shown(PAGES["concepts.md"])
    assert len(promised) == 2
    assert shown(done.stdout) == promised


def tree() -> Any:
    """All commands, those of the tasks too, which are made when they are asked for."""
    root: Any = typer.main.get_command(app)
    assert list(root.commands["run"].steps())
    return root


def test_the_table_of_commands_is_whole() -> None:
    root = tree()
    lines = [line for line in PAGES["commands.md"].splitlines() if line.startswith("| `sambench ")]
    assert {re.findall(r"`sambench (\w+)", line)[0] for line in lines} == set(root.commands)
    for line in lines:
        for words in re.findall(r"`([^`]+)`", line.split("|")[1]):
            verb, *rest = words.removeprefix("sambench ").split()
            command = root.commands.get(verb)
            if command is None:  # the second of several, as in `list datasets`, `models`
                first = re.findall(r"`sambench (\w+)", line)[0]
                assert verb in root.commands[first].commands
            elif rest and rest[0].islower():
                assert rest[0] in command.commands


def flags_of(command: Any) -> set[str]:
    """All options of a command and of those below it."""
    own = {o for p in command.params for o in (*p.opts, *p.secondary_opts)}
    return own.union(*(flags_of(c) for c in getattr(command, "commands", {}).values()))


def test_the_flags_exist() -> None:
    root = tree()
    shown = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", SHOWN)) - OF_EXAMPLES
    assert len(shown) > 10
    assert shown - {"--help", "--version"} <= flags_of(root)


def test_the_flags_are_those_of_the_command_they_stand_with() -> None:
    root = tree()
    for line in SHOWN.splitlines():
        if line.startswith("sambench ") and "--" in line:
            command = root
            for word in line.split()[1:]:
                if word not in getattr(command, "commands", {}):
                    break
                command = command.commands[word]
            assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", line)) - OF_EXAMPLES <= flags_of(command), line


def test_links_between_pages_lead_somewhere() -> None:
    for name, text in [("../README.md", README), *PAGES.items()]:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", text):
            assert (ROOT / "docs" / name).parent.joinpath(target).exists(), f"{name}: {target}"


def test_the_readme_is_short() -> None:
    assert len(README.split()) <= 1200


def test_the_cards_of_contributing_validate() -> None:
    import tomllib

    dataset, model = blocks(CONTRIBUTING, "toml")
    assert DatasetCard.model_validate(tomllib.loads(dataset)).id == "mydata"
    assert ModelCard.model_validate(tomllib.loads(model.replace("<64 hex digits>", "0" * 64))).weights is not None
