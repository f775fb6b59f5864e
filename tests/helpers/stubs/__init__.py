"""PyPI's `segment-anything`, an independent reference. It imports torchvision, of which `torchvision/` here holds what it needs."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType


def official_sam() -> ModuleType:
    """The module `segment_anything`; the real torchvision is used where there is one."""
    if importlib.util.find_spec("torchvision") is None:
        sys.path.append(str(Path(__file__).parent))
    import segment_anything

    return segment_anything
