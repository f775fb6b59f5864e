"""Whether what Hugging Face's models need is installed, looked up without importing any of it."""

from __future__ import annotations

import importlib.util
from importlib import metadata
from typing import Final

from packaging.version import InvalidVersion, Version

from sambench.errors import ModelError, install

INSTALL: Final = install("hf")
OLDEST: Final = "5.23"
_NEEDS_TIMM = ("EdgeTamModel",)


def check_installed(kind: str) -> None:
    """Whether a class of transformers can be used here, without importing it. Raises ModelError with what to install."""
    needed = {"transformers": INSTALL}
    if kind in _NEEDS_TIMM:
        needed |= dict.fromkeys(("torchvision", "timm"), "install a torchvision that fits your torch, then: pip install timm")
    for module, command in needed.items():
        if importlib.util.find_spec(module) is None:
            message = f"a {kind} needs the package {module}"
            raise ModelError(message, expected=f"{module} in this environment", found="none", remedy=command)
    try:
        version = Version(metadata.version("transformers"))
    except (metadata.PackageNotFoundError, InvalidVersion):  # a checkout without metadata: the classes will tell
        return
    if version < Version(OLDEST):
        expected = f"transformers {OLDEST} or newer"
        raise ModelError(f"a {kind} needs a newer transformers", expected=expected, found=str(version), remedy=INSTALL)


def check_hub() -> None:
    """Whether models can be fetched from the hub. Raises ModelError with what to install."""
    if importlib.util.find_spec("huggingface_hub") is None:
        expected = "huggingface_hub in this environment"
        raise ModelError("a model on the hub needs the package huggingface_hub", expected=expected, found="none", remedy=INSTALL)
