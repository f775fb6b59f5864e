"""The commands of `sambench run` are made of the tasks' settings: every setting has its flag, and the defaults are theirs."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import fields
from typing import Any

import pytest

from sambench import tasks
from sambench.cli import running
from sambench.engine.run import Request
from tests.helpers.inprocess import Cli

HEAVY = ("numpy", "scipy", "pandas", "pyarrow", "cv2", "PIL", "matplotlib", "numba", "torch")
SEEN = f"""
import sys
from sambench.cli import run_command
for words in (["run", "--help"], ["run", "proposals", "--help"], ["run", "instances", "--help"]):
    sys.argv = ["sambench", *words]
    try:
        run_command()
    except SystemExit as e:
        assert not e.code
print("imported:", [m for m in {HEAVY} if m in sys.modules])
"""


@pytest.fixture
def requests(monkeypatch: pytest.MonkeyPatch) -> list[Request]:
    """What commands would have run."""
    asked: list[Request] = []
    monkeypatch.setattr(running, "run", lambda request, *_, **__: asked.append(request))
    return asked


def test_help_is_made_without_anything_heavy() -> None:
    done = subprocess.run([sys.executable, "-c", SEEN], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.splitlines()[-1] == "imported: []"
    assert "--stability-offset" in done.stdout


@pytest.mark.parametrize("name", tasks.names())
def test_a_setting_has_a_flag_with_a_text_or_says_that_it_has_none(cli: Cli, name: str) -> None:
    parts = tasks.command_of(name)
    text = cli("run", name, "--help").out
    for field in {f.name: f for f in (*fields(parts.settings), *fields(parts.command))}.values():
        flag = "--" + field.name.replace("_", "-")
        assert (flag in text) == field.metadata["flag"], flag
        assert field.metadata["help"] or not field.metadata["flag"], flag


@pytest.mark.parametrize("name", tasks.names())
def test_without_flags_the_settings_are_the_defaults(cli: Cli, requests: list[Request], name: str) -> None:
    flags = ["--boxes", "x.json"] if name == "instances" else []
    assert cli("run", name, *flags).code == 0
    (request,) = requests
    settings = tasks.command_of(name).settings
    given = dict(request.settings)
    if name == "instances":
        assert given.pop("boxes") == "x.json"
    assert settings(**{k: tuple(v) if isinstance(v, list) else v for k, v in given.items()}) == settings()
    assert (request.save_masks, request.on_error, request.out, request.limit) == ("scored", "record", "runs", None)


@pytest.mark.parametrize(
    ("args", "field", "value"),
    [
        (["point", "--clicks", "1,4"], "clicks", (1, 4)),
        (["point", "--noc", "--max-clicks", "3"], "clicks", (1, 2, 3)),
        (["point", "--clicks-until", "0.9"], "until_iou", 0.9),
        (["point", "--no-mask-feedback"], "mask_feedback", False),
        (["box", "--multimask"], "multimask", True),
        (["edge", "--nms", "dollar"], "nms", "dollar"),
        (["proposals", "--preset", "single"], "grid", 128),
        (["proposals", "--preset", "single", "--grid", "8"], "grid", 8),
        (["proposals", "--no-multimask", "--rank", "iou"], "multimask", False),
        (["instances", "-b", "x.json", "--max-dets", "7"], "max_dets", 7),
        (["instances", "-b", "x.json", "--boundary"], "boundary", True),
    ],
)
def test_a_flag_gives_its_setting(cli: Cli, requests: list[Request], args: list[str], field: str, value: Any) -> None:
    assert cli("run", *args).code == 0
    assert requests[0].settings[field] == value


def test_what_a_task_evaluates_without_names_is_its_own(cli: Cli, requests: list[Request]) -> None:
    cli("run", "edge", "--no-save-maps")
    cli("run", "box", "--save-masks", "none")
    cli("run", "instances", "-b", "x.json")
    assert [(r.datasets, r.models[0][0], r.save_masks) for r in requests] == [
        (("bsds500",), "canny", "none"),
        (("demo",), "sam_nano", "none"),
        (("coco_2017_val",), "sam_nano", "scored"),
    ]


@pytest.mark.parametrize(
    ("args", "error"),
    [
        (["point", "--prompt", "centre"], "unknown first click 'centre'"),
        (["point", "--clicks", "1,x"], "click counts are not numbers"),
        (["point", "--clicks", "1,"], "click counts are not numbers"),
        (["point", "--results", "out.json"], "No such option"),
        (["edge", "--save-masks", "none"], "No such option"),
        (["edge", "--nms", "cany"], "unknown edge suppression 'cany'"),
        (["proposals", "--max-dets", "x"], "numbers of proposals are not numbers"),
        (["proposals", "--rank", "men"], "did you mean 'mean'"),
        (["instances", "-b", "x.json", "-d", "a,b", "--results", "r.json"], "one results file for several runs"),
        (["instances", "-b", "x.json", "--save-masks", "none", "--results", "r.json"], "a results file needs masks"),
    ],
)
def test_what_does_not_fit_is_named_before_anything_runs(cli: Cli, requests: list[Request], args: list[str], error: str) -> None:
    ended = cli("run", *args)
    assert ended.code == 2
    assert error in ended.err
    assert not requests
