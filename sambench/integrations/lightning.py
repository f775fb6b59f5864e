"""A callback for Lightning's Trainer: the model is evaluated at the end of epochs."""

from __future__ import annotations

from typing import Any

from sambench.errors import UsageError
from sambench.integrations import Evaluation, logged


def callback(*args: Any, stop: bool = True, **options: Any) -> Any:
    """A `lightning.pytorch.Callback`. args, options: of `Evaluation`, whose steps are epochs here, from 1 on.

    stop: end the training at an epoch whose model is worse. Its attribute `evaluation` has the entries. Raises UsageError where
    neither `lightning` nor `pytorch_lightning` is installed.
    """
    evaluation = Evaluation(*args, **options)

    class SambenchCallback(_base()):  # type: ignore[misc]  # a class of whichever is installed
        def __init__(self) -> None:
            self.evaluation = evaluation

        def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
            entry = evaluation(pl_module, trainer.current_epoch + 1)
            if entry is None:
                return
            if trainer.logger is not None:
                trainer.logger.log_metrics(logged(entry), step=trainer.global_step)
            if entry.worse and stop:
                trainer.should_stop = True

    return SambenchCallback()


def _base() -> Any:
    try:
        from lightning.pytorch import Callback
    except ImportError:
        try:
            from pytorch_lightning import Callback
        except ImportError as e:
            remedy = "pip install lightning"
            raise UsageError("Lightning is not installed", expected="lightning or pytorch_lightning", remedy=remedy) from e
    return Callback
