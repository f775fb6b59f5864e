"""Files of ratings, good ones and changed ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd


def write(path: Path, rows: list[dict[str, Any]], **options: Any) -> Path:
    pd.DataFrame(rows).to_csv(path, index=False, **options)
    return path


def rated(
    n_inputs: int = 6, models: tuple[str, ...] = ("sam", "ritm", "ground_truth"), dataset: str = "demo"
) -> list[dict[str, Any]]:
    """A complete little study: line 2 is input 0 of the first model."""
    rng = np.random.default_rng(0)
    return [
        {"job_id": f"{dataset}{i}{m}", "rater": f"r{rng.integers(3)}", "dataset": dataset, "model": m, "image_id": f"im{i // 2}",
         "object_id": str(i), "score": int(np.clip(rng.normal(6 + j, 1.5), 1, 10).round()), "seconds": 7.5}
        for i in range(n_inputs)
        for j, m in enumerate(models)
    ]  # fmt: skip


def changed(at: int, **values: Any) -> list[dict[str, Any]]:
    """`rated` with other values on line `at`."""
    rows = [dict(r) for r in rated()]
    rows[at - 2] |= values
    return rows
