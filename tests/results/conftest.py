"""What several tests of this room are given."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers.cells import Maker


@pytest.fixture
def make(tmp_path: Path) -> Maker:
    return Maker(tmp_path / "runs")
