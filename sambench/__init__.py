"""sambench: zero-shot evaluation of promptable segmentation.

    import sambench
    results = sambench.run("point", datasets="demo", model="grabcut")
    print(results.table())

Importing this module loads nothing heavy: the names below are found when they are first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.2.0.dev0"
__all__ = [
    "ConceptPrediction",
    "ConceptPrompt",
    "Prediction",
    "Prompt",
    "Results",
    "check_model",
    "compare",
    "dataset",
    "evaluate",
    "load",
    "metrics",
    "run",
]

if TYPE_CHECKING:
    from sambench import metrics
    from sambench.api import Results, compare, evaluate, load, run
    from sambench.concepts import ConceptPrediction, ConceptPrompt
    from sambench.conformance import check_model
    from sambench.sources.opened import dataset
    from sambench.types import Prediction, Prompt

_HOMES = {
    "Results": "sambench.api",
    "run": "sambench.api",
    "evaluate": "sambench.api",
    "load": "sambench.api",
    "compare": "sambench.api",
    "check_model": "sambench.conformance",
    "dataset": "sambench.sources.opened",
    "Prompt": "sambench.types",
    "Prediction": "sambench.types",
    "ConceptPrompt": "sambench.concepts",
    "ConceptPrediction": "sambench.concepts",
}


def __getattr__(name: str) -> Any:
    import importlib

    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    if name == "metrics":
        return importlib.import_module("sambench.metrics")
    raise AttributeError(f"module 'sambench' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, *(name for name in globals() if name.startswith("__"))])
