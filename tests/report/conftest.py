"""What several tests of this room are given."""

from __future__ import annotations

from pathlib import Path

import pytest

from sambench.store.views import CellView
from tests.helpers.cells import flat, point_cell


@pytest.fixture
def duo(tmp_path: Path) -> list[CellView]:
    return [
        point_cell(tmp_path, "ppdls", "sam_vit_h", flat(0.8, 0.05)),
        point_cell(tmp_path, "gtea", "sam_vit_h", flat(0.6, 0.05)),
        point_cell(tmp_path, "ppdls", "otsu", flat(0.5, 0.05), gap=None),
        point_cell(tmp_path, "gtea", "otsu", flat(0.7, 0.05), gap=None),
    ]
