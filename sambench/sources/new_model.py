"""A file to begin a model with, and its test."""

from __future__ import annotations

import keyword
from pathlib import Path

from sambench.errors import UsageError, shown
from sambench.files.writing import write_file

_MODEL = '''"""{title}: a model for sambench. It takes a disc around each click for the object: put your own in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from sambench import Prediction, Prompt


class {kind}:
    """A promptable segmenter: two methods, and nothing that it must inherit from (sambench.types.Segmenter)."""

    max_batch = 16  # prompts a call of `decode`; part of a result's identity

    def __init__(self, radius: float = 0.1) -> None:
        self.radius = radius

    def encode(self, image: np.ndarray) -> Any:
        """Once an image. image: uint8 [H, W, 3], RGB. Whatever is returned is given to `decode`: an embedding, say."""
        return image.shape[:2]

    def decode(self, state: Any, prompts: Sequence[Prompt]) -> list[Prediction]:
        """One prediction a prompt. points_xy of a prompt: float32 [N, 2] in pixels, x first; labels: int [N], 1 is foreground, 0
        background; box_xyxy: the box of the box task, else None; carry: what you gave as `Prediction.carry` at the click before.
        """
        height, width = state
        y, x = np.mgrid[:height, :width]
        predictions = []
        for prompt in prompts:
            mask = np.zeros((height, width), bool)
            if prompt.box_xyxy is not None:
                x0, y0, x1, y1 = prompt.box_xyxy
                mask |= (x >= x0) & (x < x1) & (y >= y0) & (y < y1)
            for (px, py), label in zip(prompt.points_xy, prompt.labels, strict=True):
                disc = (x - px) ** 2 + (y - py) ** 2 <= (self.radius * max(height, width)) ** 2
                mask = mask | disc if label == 1 else mask & ~disc
            # masks: bool [C, H, W] of C candidates; scores: float32 [C], by which they are ranked.
            predictions.append(Prediction(masks=mask[None], scores=np.ones(1, np.float32)))
        return predictions


def make(radius: float = 0.1) -> {kind}:
    """The model. Parameters are options of the command line, -M radius=0.2; `device` and `precision` are given if there are any."""
    return {kind}(radius)
'''
_TEST = '''"""The model keeps what sambench asks of every model: sizes, colours, coordinates, batches, determinism."""

from __future__ import annotations

import sambench
from {module} import make


def test_the_contract() -> None:
    findings = sambench.check_model(make())
    assert not [f for f in findings if f.status == "fail"], findings
'''


def write_model(name: str, to: Path | None = None) -> tuple[Path, Path]:
    """Write `name`.py and test_`name`.py beside it, and give their paths. to: the first file, else in the folder at hand.

    Raises UsageError: a name that Python does not take, files that are there or cannot be written.
    """
    file = Path(f"{name}.py") if to is None else to.expanduser()
    for text in (name, file.stem):
        if not text.isidentifier() or keyword.iskeyword(text) or file.suffix != ".py":
            expected = "a name as Python has them, in a file of it: mymodel, mymodel.py"
            raise UsageError("a model's name does not fit", expected=expected, found=shown(repr(str(file) if to else name)))
    test = file.with_name(f"test_{file.name}")
    for path in (file, test):
        if path.exists():
            raise UsageError("there is a file of that name", where=path, remedy="choose another name, or remove it")
    kind = "".join(part[:1].upper() + part[1:] for part in name.split("_")) or "Model"
    for path, text in ((file, _MODEL.format(title=name, kind=kind)), (test, _TEST.format(module=file.stem))):
        write_file(path, text, "name another file with --out")
    return file, test
