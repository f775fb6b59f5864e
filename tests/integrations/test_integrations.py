"""A model in training, evaluated from inside: a plain loop, Lightning's hooks, and Hugging Face's Trainer state."""

from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sambench import Prediction
from sambench.errors import UsageError
from sambench.integrations import Evaluation, lightning, logged, transformers


class Boxes:
    """A model in training: answers a box with its inner part."""

    max_batch = 64

    def __init__(self, shrink: float) -> None:
        self.identity = {"shrink": shrink}
        self.shrink = shrink

    def encode(self, image: Any) -> tuple[int, int]:
        return image.shape[:2]

    def decode(self, state: tuple[int, int], prompts: Any) -> list[Prediction]:
        out = []
        for p in prompts:
            x0, y0, x1, y1 = (float(v) for v in p.box_xyxy)
            dx, dy = (x1 - x0) * self.shrink / 2, (y1 - y0) * self.shrink / 2
            mask = np.zeros(state, bool)
            mask[round(y0 + dy) : round(y1 - dy) + 1, round(x0 + dx) : round(x1 - dx) + 1] = True
            out.append(Prediction(mask[None], np.ones(1, np.float32), carry=None))
        return out


def test_a_plain_loop(tmp_path: Path) -> None:
    evaluation = Evaluation("box", "demo", limit=4, every=2, worse_by=0.02, out=tmp_path, as_segmenter=Boxes)
    steps = [evaluation(shrink, step) for step, shrink in ((1, 0.0), (2, 0.5), (4, 0.1), (6, 0.8))]
    assert steps[0] is None  # not a multiple of 2
    assert [e and e.worse for e in steps] == [None, False, False, True]
    assert steps[3] is not None
    assert steps[3].against == "step 4"
    told = logged(steps[3])
    assert told["sambench/worse"] == 1.0
    assert told["sambench/difference/demo"] < -0.02
    with pytest.raises(UsageError, match="every"):
        Evaluation(every=0)


def test_lightning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lightning.pytorch", None)
    monkeypatch.setitem(sys.modules, "pytorch_lightning", None)
    with pytest.raises(UsageError, match="Lightning is not installed"):
        lightning.callback()
    monkeypatch.setitem(sys.modules, "pytorch_lightning", types.SimpleNamespace(Callback=type("Callback", (), {})))
    made = lightning.callback("box", "demo", limit=4, out=tmp_path, as_segmenter=Boxes)
    lines: list[Any] = []
    logger = types.SimpleNamespace(log_metrics=lambda found, step: lines.append((step, found["sambench/worse"])))
    trainer = types.SimpleNamespace(current_epoch=0, global_step=10, logger=logger, should_stop=False)
    made.on_train_epoch_end(trainer, 0.1)
    assert not trainer.should_stop
    trainer.current_epoch, trainer.global_step = 1, 20
    made.on_train_epoch_end(trainer, 0.8)
    assert trainer.should_stop
    assert lines == [(10, 0.0), (20, 1.0)]
    monkeypatch.setenv("RANK", "1")
    assert made.evaluation(0.5, 3) is None


def test_transformers(tmp_path: Path) -> None:
    library = pytest.importorskip("transformers")
    made = transformers.callback("box", "demo", limit=4, out=tmp_path, as_segmenter=Boxes)
    assert isinstance(made, library.TrainerCallback)
    state, control = library.TrainerState(), library.TrainerControl()
    for step, shrink in ((100, 0.1), (200, 0.8)):
        state.global_step = step
        made.on_evaluate(None, state, control, model=shrink)
        assert control.should_training_stop == (step == 200)
    assert [h["sambench/worse"] for h in state.log_history] == [0.0, 1.0]
