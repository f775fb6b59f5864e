"""A dataset, a model, a task, a source of either, a backend and a report are one file each, found by its place."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest

from tests.helpers import ROOT
from tests.helpers.toy_task import TOY

SOURCE = '''"""`mine:NAME`."""

from sambench.sources.base import ModelSpec, ResolvedModel


class Mine:
    form, stored = "mine:NAME", False

    def gives(self, name):
        return "masks"

    def resolve(self, name, options, *, device, precision, progress=None):
        identity = {"mine": name, "precision": precision, "device_kind": "cpu"}
        return ResolvedModel(ModelSpec(name, dict(options), "cpu", precision), "mine_one", "Mine", identity, False, gives="masks")

    def build(self, spec):
        raise NotImplementedError

    def check(self, spec, dataset, image_ids):
        return []


SOURCE = Mine()
'''
ADDED = {
    "dataset": (
        "datasets/mine.toml",
        'id = "mine"\nname = "Mine"\nreader = "sambench.loaders.coco:CocoJson"\nlayout = ["<root>/a.json"]\n'
        '[options]\nannotations = "a.json"\nimages = "a"\n[access]\nstate = "manual"\nsteps = ["ask me"]\n',
    ),
    "model": (
        "baselines/my_model.toml",
        'kind = "model"\nid = "my_model"\nname = "My own model"\nfactory = "sambench.models.otsu:otsu"\nuses_torch = false\n'
        'gives = "single_mask"\nlicence = "MIT"\ncitation = "me"\n',
    ),
    "task": ("sambench/tasks/toy.py", TOY),
    "source": ("sambench/sources/mine.py", SOURCE),
    "backend": ("sambench/engine/backends/mine.py", "BACKEND = object()\n"),
    "report": ("reports/mine.toml", 'kind = "report"\nid = "my_table"\ntitle = "A table of mine"\nsection = "claims"\n'),
    "source of datasets": (
        "sambench/sources/data/again.py",
        "from sambench.sources.data.fixture import Fixtures\n\n\nclass Again(Fixtures):\n    form = 'again:ID'\n\n"
        "    def gives(self, name):\n        return super().gives(name.replace('again:', 'fixture:'))\n\n"
        "    def resolve(self, name, *, root=None):\n"
        "        return super().resolve(name.replace('again:', 'fixture:'), root=root)\n\n\nSOURCE = Again()\n",
    ),
}
SEEN = """
import sys
from sambench.cli import run_command
for line in sys.argv[1:]:
    sys.argv = ["sambench", *line.split()]
    try:
        run_command()
    except SystemExit as e:
        assert not e.code, line
from sambench.engine import backends
print("backends:", backends.names())
"""
COMMANDS = (
    "list datasets", "list models", "list tasks", "list reports", "show dataset mine", "show model my_model", "run toy --help",
    "run point -m mine:one -m my_model -d demo,again:bbbc038v1 --limit 1 --dry-run",
)  # fmt: skip


@pytest.fixture(scope="module")
def printed(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What a copy of sambench with the six files says of them."""
    copy = tmp_path_factory.mktemp("copy")
    for folder in ("sambench", "datasets", "baselines", "reports"):
        shutil.copytree(ROOT / folder, copy / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for name, text in ADDED.values():
        assert not (copy / name).exists()
        (copy / name).write_text(text)
    env = {**os.environ, "PYTHONPATH": str(copy), "SAMBENCH_HOME": str(copy / "home"), "COLUMNS": "250"}
    done = subprocess.run(
        [sys.executable, "-c", SEEN, *COMMANDS], env=env, cwd=copy, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("dataset", ["mine", "ask me"]),
        ("model", ["My own model", "my_model"]),
        ("task", ["toy@1", "--share X", "Toy: the share"]),
        ("source", ["also: mine:NAME", "mine_one"]),
        ("backend", ["'local', 'mine'"]),
        ("report", ["my_table", "A table of mine"]),
        ("source of datasets", ["bbbc038v1-"]),
    ],
)
def test_one_file_is_enough(printed: str, kind: str, said: list[str]) -> None:
    assert [text for text in said if text not in printed] == [], ADDED[kind][0]
