"""Weights that a node does not have: fetched once, however many workers start there, and compared with those of the command."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

import pytest

from sambench.errors import ModelError, SambenchError
from sambench.sources.models import ModelSpec, build, resolve
from tests.helpers import ROOT
from tests.helpers.server import BODY, Server, serving

CARD = """
kind = "model"
id = "fetched"
name = "Fetched"
factory = "tests.helpers.weighed_model:make"
max_batch = 4
licence = "MIT"
citation = [{{ authors = ["Who"], title = "What", venue = "Where 2026", year = 2026 }}]

[weights]
url = "{url}"
file = "fetched.bin"
sha256 = "{sha}"
bytes = {n}
source = "here"
"""


@pytest.fixture
def server() -> Iterator[Server]:
    state = Server()
    with serving(state.answer) as url:
        state.url = f"{url}/fetched.bin"
        yield state


@pytest.fixture
def spec(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModelSpec:
    """Of a model that was resolved on one machine, whose cache is not seen from this one."""
    cards = tmp_path / "home" / "cards" / "baselines"
    cards.mkdir(parents=True)
    (cards / "fetched.toml").write_text(CARD.format(url=server.url, sha=hashlib.sha256(BODY).hexdigest(), n=len(BODY)))
    monkeypatch.setenv("SAMBENCH_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SAMBENCH_CACHE", str(tmp_path / "login"))
    found = resolve("fetched", {}, device="cpu", precision="fp32").spec
    assert len(server.asked) == 1
    monkeypatch.setenv("SAMBENCH_CACHE", str(tmp_path / "node"))
    shutil.rmtree(tmp_path / "login")
    server.asked.clear()
    return found


def test_threads_that_build_at_once_fetch_once(spec: ModelSpec, server: Server, tmp_path: Path) -> None:
    server.pause_s = 0.01
    with ThreadPoolExecutor(8) as pool:
        models = list(pool.map(build, [spec] * 8))
    assert {m.sha256 for m in models} == {hashlib.sha256(BODY).hexdigest()}
    assert len(server.asked) == 1
    assert [p.name for p in (tmp_path / "node" / "weights").iterdir()] == ["fetched.bin"]
    build(spec)
    assert len(server.asked) == 1


def test_processes_that_build_at_once_fetch_once(spec: ModelSpec, server: Server) -> None:
    server.pause_s = 0.05
    code = f"from sambench.sources.models import ModelSpec, build; print(build(ModelSpec(**{asdict(spec)!r})).sha256)"
    pipe = subprocess.PIPE
    started = [subprocess.Popen([sys.executable, "-c", code], stdout=pipe, stderr=pipe, text=True, cwd=ROOT) for _ in range(3)]
    said = [p.communicate(timeout=60) for p in started]
    assert {out.strip() for out, _ in said} == {hashlib.sha256(BODY).hexdigest()}, said
    assert len(server.asked) == 1


def test_other_bytes_than_the_commands_are_refused(spec: ModelSpec, server: Server, tmp_path: Path) -> None:
    server.body = bytes(len(BODY))
    with pytest.raises(SambenchError, match="not the expected one"):
        build(spec)
    weights = tmp_path / "node" / "weights"
    assert not list(weights.glob("fetched.bin"))
    own = ModelSpec(**{**asdict(spec), "contents": {"weights": "0" * 64}})  # the command had a file of its own under that name
    server.body = BODY
    with pytest.raises(ModelError, match="a file of the model changed"):
        build(own)


def test_a_file_of_the_users_own_is_not_replaced(spec: ModelSpec, server: Server, tmp_path: Path) -> None:
    own = ModelSpec(**{**asdict(spec), "weights": str(tmp_path / "mine.bin")})
    with pytest.raises((SambenchError, OSError)):
        build(own)
    assert not server.asked
