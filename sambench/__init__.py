"""sambench: zero-shot evaluation of promptable segmentation.

    import sambench
    results = sambench.run("point", datasets="demo", model="grabcut")
    print(results.table())

Importing this module loads nothing heavy: the names below are found when they are first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["Prediction", "Prompt", "check_model", "compare", "dataset", "evaluate", "load", "run"]

if TYPE_CHECKING:
    from sambench.api import compare, evaluate, load, run
    from sambench.conformance import check_model
    from sambench.sources.opened import dataset
    from sambench.types import Prediction, Prompt

_HOMES = {
    "run": "sambench.api",
    "evaluate": "sambench.api",
    "load": "sambench.api",
    "compare": "sambench.api",
    "check_model": "sambench.conformance",
    "dataset": "sambench.sources.opened",
    "Prompt": "sambench.types",
    "Prediction": "sambench.types",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        import importlib

        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'sambench' has no attribute {name!r}")
