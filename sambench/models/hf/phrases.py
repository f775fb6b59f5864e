"""Phrases as a model of transformers takes them: the folder's own tokenizer, and what was computed of a phrase, remembered."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, Final, Generic, TypeVar

import torch
from torch import Tensor

from sambench.errors import ModelError, shown
from sambench.models.hf.folder import ModelFolder
from sambench.models.hf.library import classes, reading
from sambench.notes import note

T = TypeVar("T")
REMEMBERED: Final = 2048  # phrases of a model: all categories of LVIS, and some 100 MB of SAM 3's


def load_tokenizer(folder: ModelFolder) -> Any:
    """The tokenizer that a folder holds. Raises ModelError, CheckpointError where transformers cannot read it."""
    [auto] = classes("AutoTokenizer")
    return reading(folder.path, lambda: auto.from_pretrained(str(folder.path), local_files_only=True))


def tokens(tokenizer: Any, text: str, length: int, *, padded: bool) -> dict[str, Tensor]:
    """int64 [1, L] `input_ids` and `attention_mask` (and what else the tokenizer gives) of a text, of at most `length` tokens.

    padded: L is `length`. A text of more is cut at its end, which a note says.
    """
    cut = tokenizer(text, padding="max_length" if padded else False, truncation=True, max_length=length, return_tensors="pt")
    if len(tokenizer(text, verbose=False)["input_ids"]) > length:
        note(f"a phrase has more tokens than the model takes: only its first {length} are read")
    return {k: v for k, v in cut.items() if isinstance(v, Tensor)}


class Remembered(Generic[T]):
    """A function of a text whose last results are kept: an image is asked for the phrases of the image before, as a rule."""

    def __init__(self, compute: Callable[[str], T], most: int = REMEMBERED) -> None:
        self._compute, self._most = compute, most
        self._held: OrderedDict[str, T] = OrderedDict()

    def __call__(self, text: str) -> T:
        if text in self._held:
            self._held.move_to_end(text)
            return self._held[text]
        found = self._compute(text)
        self._held[text] = found
        if len(self._held) > self._most:
            self._held.popitem(last=False)
        return found


def on(device: torch.device, given: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors on a device."""
    return {k: v.to(device) for k, v in given.items()}


def no_phrase(name: str, found: object) -> ModelError:
    """The error of a detector that is asked by example boxes."""
    return ModelError(f"{name} takes only phrases", expected="a phrase, without example boxes", found=shown(found))
