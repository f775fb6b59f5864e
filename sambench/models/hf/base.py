"""What all models that transformers computes have in common here: device, precision, name and identity."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Generic, Protocol, TypeVar

import torch
from torch import nn

from sambench.errors import unknown_name


class HasIdentity(Protocol):
    """Settings that can change a number."""

    def identity(self) -> Mapping[str, Any]: ...


SettingsT = TypeVar("SettingsT", bound=HasIdentity)


class TransformersModel(Generic[SettingsT]):
    """A model of transformers for inference in float32, on its device.

    name: goes into the identity. device: 'cpu', 'cuda' or 'cuda:<n>'. precision: 'fp32', or 'bf16', in which a subclass runs its
    image encoder. Raises UsageError for another precision.
    """

    def __init__(self, model: nn.Module, settings: SettingsT, *, name: str, device: str, precision: str) -> None:
        if precision not in ("fp32", "bf16"):
            raise unknown_name("precision", precision, ("fp32", "bf16"), where=name)
        self.device = torch.device(device)
        self.model: Any = model.to(self.device, torch.float32).eval().requires_grad_(False)
        self.settings, self.name, self.precision = settings, name, precision

    @property
    def device_kind(self) -> str:
        return self.device.type

    @property
    def identity(self) -> Mapping[str, Any]:
        """What can change a number beside the weights."""
        return {"model": self.name, **self.settings.identity()}

    def encoding(self) -> torch.autocast:
        """In which an image encoder runs that has no weights of its own in bf16."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16")
