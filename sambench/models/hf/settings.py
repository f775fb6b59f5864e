"""What of a model's settings can change a number beside its config and weights, read from its folder before it is built."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from sambench.errors import ModelError, UsageError, shown, unknown_name
from sambench.models.hf.folder import ModelFolder

CLAMP: Final = 32.0  # low-resolution logits are fed back within +-32, as SAM 2's own predictor does
_EXPECTED: Final[Mapping[type, str]] = {bool: "true or false", float: "a number from 0 to 1", str: "a text"}
Channels = tuple[float, float, float]
DELTA, THRESHOLD = 0.05, 0.98  # of the dynamic single output, where a config does not say


@dataclass(frozen=True)
class Dynamic:
    """The single output of SAM 2: the first mask, or the best of the others where that one is not stable.

    delta: logits by which the threshold is moved. threshold: IoU of the two masks from which one counts as stable.
    """

    delta: float = DELTA
    threshold: float = THRESHOLD

    def identity(self) -> dict[str, float]:
        return {"delta": self.delta, "threshold": self.threshold}


@dataclass(frozen=True)
class Settings:
    """mean, std: of RGB values from 0 to 1. dynamic: None where the first mask is the single output, stable or not."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    dynamic: Dynamic | None

    def identity(self) -> dict[str, Any]:
        return {
            "mean": list(self.mean),
            "std": list(self.std),
            "resize": "square, float, bilinear, antialiased",
            "feedback": f"logits within +-{CLAMP:g}",
            "dynamic_multimask": self.dynamic.identity() if self.dynamic else False,
        }


def settings_of(folder: ModelFolder, *, dynamic: bool | None = None) -> Settings:
    """Of a model that transformers runs. dynamic: overrides the config's own dynamic single output.

    Raises ModelError where the folder asks for a preparation of pictures that is not done here.
    """
    return Settings(*channels_of(folder), _dynamic(folder, dynamic))


def channels_of(folder: ModelFolder) -> tuple[Channels, Channels]:
    """Mean and standard deviation of RGB values from 0 to 1. Raises ModelError as `settings_of`."""
    family = folder.family
    _check_processor(folder)
    return _channels(folder, "image_mean", family.mean), _channels(folder, "image_std", family.std)


def check_options(kind: str, options: Mapping[str, Any], known: Mapping[str, type]) -> None:
    """Raises UsageError for an option that a class does not have, or of another type: bool, str, or float, from 0 to 1."""
    for key, value in options.items():
        if key not in known:
            raise unknown_name(f"option of a {kind}", key, known, where="-M")
        fits = _is_number(value) and 0 <= value <= 1 if known[key] is float else isinstance(value, known[key])
        if not fits:
            expected = _EXPECTED[known[key]]
            raise UsageError("an option does not fit", where=f"-M {key}", expected=expected, found=shown(repr(value)))


def _dynamic(folder: ModelFolder, wanted: bool | None) -> Dynamic | None:
    config: Any = folder.config.get("tracker_config") or folder.config
    decoder = config.get("mask_decoder_config") if isinstance(config, Mapping) else None
    told: Mapping[str, Any] = decoder if isinstance(decoder, Mapping) else {}
    on = told.get("dynamic_multimask_via_stability", True) if wanted is None else wanted
    if not on:
        return None
    delta = told.get("dynamic_multimask_stability_delta", DELTA)
    threshold = told.get("dynamic_multimask_stability_thresh", THRESHOLD)
    if not (_is_number(delta) and _is_number(threshold)):
        found = f"delta {shown(repr(delta))}, thresh {shown(repr(threshold))}"
        raise ModelError("a config's dynamic_multimask_stability does not fit", where=folder.path, expected="numbers", found=found)
    return Dynamic(float(delta), float(threshold))


_DONE = {"do_resize": (True,), "do_rescale": (True,), "do_normalize": (True,), "resample": (2, "bilinear")}


def _check_processor(folder: ModelFolder) -> None:
    told = dict(folder.processor)
    for key, values in _DONE.items():
        if told.get(key) is not None and told[key] not in values:
            raise _not_done(folder, key, values[0], told[key])
    factor = told.get("rescale_factor")
    if factor is not None and not (_is_number(factor) and math.isclose(factor, 1 / 255)):
        raise _not_done(folder, "rescale_factor", 1 / 255, factor)


def _channels(folder: ModelFolder, key: str, default: tuple[float, float, float]) -> tuple[float, float, float]:
    told = folder.processor.get(key)
    if told is None:
        return default
    if not isinstance(told, list) or len(told) != 3 or not all(_is_number(v) for v in told) or (key == "image_std" and 0 in told):
        raise _not_done(folder, key, "three numbers, of red, green and blue", told)
    return (float(told[0]), float(told[1]), float(told[2]))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _not_done(folder: ModelFolder, key: str, expected: object, found: object) -> ModelError:
    remedy = "change the file, if the model was not trained so; else run the model as python:FILE.py:FACTORY"
    where = f"{folder.path}, its image processor"
    return ModelError(
        f"a folder's {key} asks for what is not done here", where=where, expected=expected, found=shown(repr(found)), remedy=remedy
    )
