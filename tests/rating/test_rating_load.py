"""Many raters at once, and a server that is killed under them: no rating is lost, none is counted twice."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import pytest

pytest.importorskip("starlette", reason="the web server of the extra `serve` is not installed")

from tests.helpers.rating_load import Served, invited, run, stored
from tests.helpers.rating_study import write_study


@pytest.mark.parametrize(
    ("n", "seconds"), [pytest.param(12, 3.0, id="quick"), pytest.param(50, 30.0, id="all", marks=pytest.mark.slow)]
)
def test_raters_at_once_lose_and_double_nothing(tmp_path: Path, n: int, seconds: float) -> None:
    """How fast it is, `make load` says."""
    study = write_study(tmp_path / "s", n_inputs=900 if n == 50 else 100)
    database = str(tmp_path / "r.sqlite")
    served = Served(study, database)
    try:
        seen = run(served, invited(database, n), seconds, 0.5)
    finally:
        served.kill(signal.SIGTERM)
    given, doubled = stored(database)
    assert len(given) >= n
    assert given == seen.given
    assert doubled == 0
    assert seen.broken == 0


@pytest.mark.parametrize("n_kills", [pytest.param(1, id="quick"), pytest.param(10, id="all", marks=pytest.mark.slow)])
def test_every_acknowledged_rating_outlives_the_server(tmp_path: Path, n_kills: int) -> None:
    study = write_study(tmp_path / "s", n_inputs=900)
    database = str(tmp_path / "r.sqlite")
    served = Served(study, database)
    done = 0

    async def kill() -> None:
        nonlocal done
        for _ in range(n_kills):
            await asyncio.sleep(1.0)
            served.kill()
            await asyncio.to_thread(served.start)
            done += 1

    try:
        seen = run(served, invited(database, 8), 2.0 + 3.0 * n_kills, 0.02, kill)
    finally:
        served.kill(signal.SIGTERM)
    given, doubled = stored(database)
    assert done == n_kills
    assert seen.broken > 0
    assert given == seen.given
    assert doubled == 0
