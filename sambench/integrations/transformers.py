"""A callback for Hugging Face's Trainer: the model is evaluated whenever the Trainer evaluates."""

from __future__ import annotations

from typing import Any

from sambench.errors import UsageError
from sambench.integrations import Evaluation, logged


def callback(*args: Any, stop: bool = True, **options: Any) -> Any:
    """A `transformers.TrainerCallback`. args, options: of `Evaluation`, whose steps are the Trainer's.

    stop: end the training at a step whose model is worse. Its attribute `evaluation` has the entries. Raises UsageError where
    transformers is not installed.
    """
    try:
        from transformers import TrainerCallback
    except ImportError as e:
        raise UsageError("transformers is not installed", remedy="pip install transformers") from e
    evaluation = Evaluation(*args, **options)

    class SambenchCallback(TrainerCallback):
        def __init__(self) -> None:
            self.evaluation = evaluation

        def on_evaluate(self, args: Any, state: Any, control: Any, **given: Any) -> Any:
            entry = evaluation(given.get("model"), state.global_step)
            if entry is not None:
                state.log_history.append({"step": state.global_step, **logged(entry)})
                if entry.worse and stop:
                    control.should_training_stop = True
            return control

    return SambenchCallback()
