"""Checkpoints of click models as their authors write them: {'state_dict', 'config'}, the latter with class and parameters."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from sambench.errors import CheckpointError
from sambench.models.checkpoints import Signature, load_into, state_dict_in
from sambench.models.families import SIGNATURES
from sambench.models.weight_files import read_content

M = TypeVar("M", bound=nn.Module)

# SimpleClick's configuration holds its training loss as a live object: the class, and the functions that it refers to.
_LOSS = "isegm.model.modeling.transformer_helper.cross_entropy_loss"
LOSS_OBJECTS = tuple(
    f"{_LOSS}.{name}" for name in ("CrossEntropyLoss", "cross_entropy", "binary_cross_entropy", "mask_cross_entropy")
)


@dataclass(frozen=True)
class Stored:
    """A checkpoint's content. config_class: the authors' dotted class name, '' where the file holds a bare state dict.
    params: the constructor's arguments and defaults by name, as the file has them.
    """

    state: dict[str, Tensor]
    config_class: str
    params: Mapping[str, Any]


def read(path: Path, *, key: str | None = None, strip_prefix: str | None = None) -> Stored:
    """The file as its authors write it, or (with `key`, or a bare state dict) any other.

    Raises CheckpointError: see `checkpoints.load_state_dict`; also where the configuration has an unknown form.
    """
    return stored_in(read_content(path, inert=LOSS_OBJECTS), key=key, strip_prefix=strip_prefix, where=path)


def stored_in(content: Any, *, key: str | None = None, strip_prefix: str | None = None, where: Path) -> Stored:
    """What `read` finds in a file's content."""
    whole = isinstance(content, Mapping) and {"state_dict", "config"} <= set(content)
    config = parse_config(content["config"], where) if whole else ("", {})
    key = "state_dict" if key is None and whole else key
    state = state_dict_in(content, key=key, strip_prefix=strip_prefix, where=where, architectures=SIGNATURES)
    return Stored(state, *config)


def parse_config(config: Any, where: object) -> tuple[str, dict[str, Any]]:
    """(class, {parameter: value}) of the 'config' entry. Raises CheckpointError where it has another form."""
    try:
        return str(config["class"]), {str(name): p["value"] for name, p in config["params"].items()}
    except (TypeError, KeyError, AttributeError) as e:
        raise CheckpointError(
            "the checkpoint's configuration is not readable",
            where=where,
            expected="{'class': ..., 'params': {name: {'type', 'value', 'specified'}}}",
            found=f"{type(config).__name__}: {e!r}",
        ) from e


def said_of_input(params: Mapping[str, Any], default: Any) -> dict[str, Any]:
    """The fields leaky, binary_previous, mean and std of a configuration as a checkpoint's parameters have them, those of `default`
    where they say nothing."""
    mean, std = params.get("norm_mean_std", (default.mean, default.std))
    return {
        "leaky": bool(params.get("use_leaky_relu", default.leaky)),
        "binary_previous": bool(params.get("binary_prev_mask", default.binary_previous)),
        "mean": tuple(float(v) for v in mean),
        "std": tuple(float(v) for v in std),
    }


def check_params(stored: Stored, wanted: Mapping[str, Any], *, model: str, where: object, ignored: Collection[str] = ()) -> None:
    """Raise CheckpointError if the file's configuration says another value than `wanted` for a parameter.

    Parameters that are not in the file have the wanted value. ignored: names that change nothing at inference.
    """
    for name, value in wanted.items():
        if name not in ignored and name in stored.params and stored.params[name] != value:
            raise CheckpointError(
                f"the checkpoint is of another model than {model}: its configuration differs",
                where=where,
                expected=f"{name} = {value!r}",
                found=f"{name} = {stored.params[name]!r} (class {stored.config_class})",
                remedy="choose the model that the file is of",
            )


def fill(module: nn.Module, stored: Stored, *, where: object, architectures: Mapping[str, Signature]) -> None:
    """Strictly; see `checkpoints.load_into`."""
    load_into(module, stored.state, where=where, architectures=architectures)


def on_meta(build: Callable[[], M]) -> M:
    """What `build()` gives, made without memory for its tensors."""
    with torch.device("meta"):
        return build().eval()
