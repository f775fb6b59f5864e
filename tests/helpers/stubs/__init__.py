"""PyPI's `segment-anything` and `sam2`, independent references. Both import torchvision, of which `torchvision/` here holds what
they need."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType


def official_sam() -> ModuleType:
    """The module `segment_anything`; the real torchvision is used where there is one."""
    with _torchvision():
        return importlib.import_module("segment_anything")


def official_sam2() -> ModuleType:
    """The module `sam2.sam2_image_predictor`, with `sam2.build_sam` imported. Skips the test where sam2 is not installed.

    It is no dependency of the tests, for its own are torchvision and hydra: `make references` installs what of them it needs.
    """
    import pytest

    if importlib.util.find_spec("sam2") is None or importlib.util.find_spec("hydra") is None:
        pytest.skip("PyPI's sam2 is not installed: `make references`")
    with _torchvision():
        importlib.import_module("sam2.build_sam")
        return importlib.import_module("sam2.sam2_image_predictor")


def timm_for_transformers() -> None:
    """Lets transformers use timm without torchvision, which it asks for but an image encoder does not need. Skips without timm."""
    import pytest

    if importlib.util.find_spec("timm") is None:
        pytest.skip("timm is not installed: `make references`")
    if importlib.util.find_spec("torchvision") is not None:
        return
    finder = _Anything()
    sys.meta_path.append(finder)
    try:
        importlib.import_module("timm")
    finally:
        sys.meta_path.remove(finder)
        _forget_torchvision()
    utils, imports = importlib.import_module("transformers.utils"), importlib.import_module("transformers.utils.import_utils")
    utils.is_timm_available = imports.is_timm_available = lambda: True
    imports.BACKENDS_MAPPING["timm"] = (lambda: True, "")


class _Anything(MetaPathFinder, Loader):
    """Modules of torchvision that have every name, as a class."""

    def find_spec(self, fullname: str, path: object, target: object = None) -> ModuleSpec | None:
        return ModuleSpec(fullname, self, is_package=True) if fullname.partition(".")[0] == "torchvision" else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        class Module(ModuleType):
            def __getattr__(self, name: str) -> type:
                if name.startswith("__"):
                    raise AttributeError(name)
                return type(name, (), {k: k for k in ("NEAREST", "BILINEAR", "BICUBIC", "BOX", "HAMMING", "LANCZOS")})

        return Module(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        return


def _forget_torchvision() -> None:
    for name in [n for n in sys.modules if n.partition(".")[0] == "torchvision"]:
        del sys.modules[name]


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
        _forget_torchvision()
