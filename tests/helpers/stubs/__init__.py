"""PyPI's `segment-anything` and `sam2`, independent references. Both import torchvision, of which `torchvision/` here holds what
they need."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType


def official_sam() -> ModuleType:
    """The module `segment_anything`; the real torchvision is used where there is one."""
    with _torchvision():
        return importlib.import_module("segment_anything")


def official_sam2() -> ModuleType:
    """The module `sam2.sam2_image_predictor`, with `sam2.build_sam` imported. Skips the test where sam2 is not installed.

    It is no dependency of the tests, for its own are torchvision and hydra: `make sam2-reference` installs what of them it needs.
    """
    import pytest

    if importlib.util.find_spec("sam2") is None or importlib.util.find_spec("hydra") is None:
        pytest.skip("PyPI's sam2 is not installed: `make sam2-reference`")
    with _torchvision():
        importlib.import_module("sam2.build_sam")
        return importlib.import_module("sam2.sam2_image_predictor")


@contextmanager
def _torchvision() -> Iterator[None]:
    """The real torchvision, or within it the stub. Nobody else shall find that: transformers would take it for the real one."""
    if importlib.util.find_spec("torchvision") is not None:
        yield
        return
    place = str(Path(__file__).parent)
    sys.path.append(place)
    try:
        yield
    finally:
        sys.path.remove(place)
        for name in [n for n in sys.modules if n.partition(".")[0] == "torchvision"]:
            del sys.modules[name]
