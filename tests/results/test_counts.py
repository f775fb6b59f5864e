"""Counts that nobody means (clicks, points, thresholds) are refused where the settings are made, before anything runs for weeks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from sambench import tasks
from sambench.automatic.settings import AutomaticSettings
from sambench.errors import UsageError
from sambench.tasks.settings.edge import MAX_THRESHOLDS
from sambench.tasks.settings.point import MAX_CLICKS, PointSettings, noc_settings
from sambench.values import MAX_GRID
from tests.helpers import sambench

HUGE = 999_999_999


@pytest.mark.parametrize(
    "make",
    [
        lambda: PointSettings(clicks=(HUGE,)),
        lambda: PointSettings(clicks=(1, MAX_CLICKS + 1)),
        lambda: PointSettings(clicks=tuple(range(1, 2000))),
        lambda: PointSettings(clicks=(1.5, 2)),  # type: ignore[arg-type]
        lambda: PointSettings(clicks=(True, 2)),
        lambda: PointSettings(clicks=3),  # type: ignore[arg-type]
        lambda: noc_settings(PointSettings(), max_clicks=HUGE),
        lambda: noc_settings(PointSettings(), max_clicks=0),
        lambda: tasks.build("point", {"clicks": [HUGE]}),
        lambda: tasks.build("edge", {"grid": HUGE}),
        lambda: tasks.build("edge", {"thresholds": HUGE}),
        lambda: tasks.build("proposals", {"grid": HUGE}),
        lambda: AutomaticSettings(grid=HUGE),
    ],
)
def test_a_count_beyond_all_use_is_refused(make: Callable[[], Any]) -> None:
    with pytest.raises(UsageError) as e:
        make()
    assert "from 1" in str(e.value) or "at most" in str(e.value)
    assert len(str(e.value)) < 1000


def test_the_largest_counts_are_taken() -> None:
    assert PointSettings(clicks=(1, MAX_CLICKS)).clicks[-1] == MAX_CLICKS
    assert len(noc_settings(PointSettings(), max_clicks=MAX_CLICKS).clicks) == MAX_CLICKS
    tasks.build("edge", {"grid": MAX_GRID, "thresholds": MAX_THRESHOLDS})


@pytest.mark.parametrize("flags", [["--clicks", str(HUGE)], ["--noc", "--max-clicks", str(HUGE)], ["--clicks", "9" * 5000]])
def test_the_command_line_says_so_at_once(flags: list[str]) -> None:
    done = sambench("run", "point", "-m", "otsu", *flags, timeout=60)
    assert done.returncode == 2, done.stderr
    assert any(text in done.stderr for text in ("too many clicks", "does not fit", "not numbers")), done.stderr
