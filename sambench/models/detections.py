"""The masks that stand in a results file already: the detector's own, as a model of the instance task."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any


class OwnMasks:
    """Says that the file's masks are to be scored. Which file that is stands in the task's identity."""

    device_kind = "cpu"
    precision = "fp32"
    max_batch = 64
    identity: Mapping[str, Any] = {}


def detections(*, weights: Path | None, device: str, precision: str) -> OwnMasks:
    """The card's factory."""
    return OwnMasks()
