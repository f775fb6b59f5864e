"""The arithmetic of the suite: on plain arrays (the names below, `sambench.metrics.arrays`), and in the modules what runs use.

    from sambench.metrics import boundary_iou, paired_bootstrap

Names are found when they are first used: importing this package loads nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__all__ = [
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


def __getattr__(name: str) -> Any:
    if name in __all__:
        import importlib

        return getattr(importlib.import_module("sambench.metrics.arrays"), name)
    raise AttributeError(f"module 'sambench.metrics' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, *(name for name in globals() if name.startswith("__"))])
