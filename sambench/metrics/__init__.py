"""The arithmetic of the suite: on plain arrays (the names below, `sambench.metrics.arrays`), and in the modules what runs use.

    from sambench.metrics import boundary_iou, paired_bootstrap

Names are found when they are first used: importing this package loads nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__all__ = [
    "average_precision",
    "average_recall",
    "boundary_benchmark",
    "boundary_iou",
    "mask_iou",
    "mean_interval",
    "number_of_clicks",
    "paired_bootstrap",
]

if TYPE_CHECKING:
    from sambench.metrics.arrays import (
        average_recall,
        boundary_benchmark,
        boundary_iou,
        mask_iou,
        mean_interval,
        number_of_clicks,
        paired_bootstrap,
    )
    from sambench.metrics.coco import average_precision


def __getattr__(name: str) -> Any:
    if name in __all__:
        import importlib

        module = "coco" if name == "average_precision" else "arrays"
        return getattr(importlib.import_module(f"sambench.metrics.{module}"), name)
    raise AttributeError(f"module 'sambench.metrics' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, *(name for name in globals() if name.startswith("__"))])
