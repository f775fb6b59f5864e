"""Settings of the models that read phrases, read from a folder and options before anything is built. Without torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from sambench.errors import ModelError, UsageError, shown, unknown_name
from sambench.models.hf.folder import ModelFolder
from sambench.models.hf.settings import Channels, channels_of

LENGTH: Final = 32  # tokens of a phrase, padded, as SAM 3's processor has it
THRESHOLD: Final = 0.3  # of SAM 3's authors' evaluation (eval_base.yaml), and of transformers
OWL_THRESHOLD, DINO_THRESHOLD = 0.1, 0.25  # transformers' own
RESIZES: Final = ("logits", "probabilities")


@dataclass(frozen=True)
class ConceptSettings:
    """mean, std: of RGB values from 0 to 1. threshold: answers of this score or less are left out. resize: what of the small masks
    is brought to the picture's size: `logits`, as the authors do, or `probabilities`, as transformers' processor does."""

    mean: Channels
    std: Channels
    threshold: float = THRESHOLD
    resize: str = RESIZES[0]

    def __post_init__(self) -> None:
        if self.resize not in RESIZES:
            raise unknown_name("value of the option resize", str(self.resize), RESIZES, where="-M resize")

    def identity(self) -> dict[str, Any]:
        """What can change a number beside config and weights."""
        pixels = {"mean": list(self.mean), "std": list(self.std), "resize": "square, float, bilinear, antialiased"}
        return {**pixels, "threshold": float(self.threshold), "masks": f"bilinear {self.resize}", "tokens": LENGTH}


def concept_settings(folder: ModelFolder, *, threshold: float = THRESHOLD, resize: str = RESIZES[0]) -> ConceptSettings:
    """Of a folder of SAM 3. Raises ModelError where it asks for a preparation of pictures that is not done here."""
    return ConceptSettings(*channels_of(folder), threshold, resize)


@dataclass(frozen=True)
class DetectorSettings:
    """mean, std: of RGB values from 0 to 1. size: (height, width) of OWLv2's square, (shortest, longest) edge of Grounding DINO.
    threshold: boxes of this score or less are left out. template: what an OWLv2 is asked, with {} for the phrase."""

    mean: Channels
    std: Channels
    size: tuple[int, int]
    threshold: float
    template: str = "{}"

    def __post_init__(self) -> None:
        if self.template.count("{}") != 1 or self.template.replace("{}", "").strip("{}") != self.template.replace("{}", ""):
            expected = "a text with {} for the phrase, as in 'a photo of a {}'"
            raise UsageError("an option does not fit", where="-M template", expected=expected, found=shown(repr(self.template)))

    def identity(self) -> dict[str, Any]:
        """What can change a number beside config and weights."""
        pixels = {"mean": list(self.mean), "std": list(self.std), "size": list(self.size)}
        return {**pixels, "threshold": float(self.threshold), "template": self.template}


def owl_settings(folder: ModelFolder, *, threshold: float = OWL_THRESHOLD, template: str = "{}") -> DetectorSettings:
    """Of an OWLv2's folder. Raises ModelError where it asks for a preparation of pictures that is not done here."""
    size = _size(folder, ("height", "width"), (960, 960))
    return DetectorSettings(*channels_of(folder), size, threshold, template)


def dino_settings(folder: ModelFolder, *, threshold: float = DINO_THRESHOLD) -> DetectorSettings:
    """Of a Grounding DINO's folder; as `owl_settings`."""
    return DetectorSettings(*channels_of(folder), _size(folder, ("shortest_edge", "longest_edge"), (800, 1333)), threshold)


def _size(folder: ModelFolder, keys: tuple[str, str], default: tuple[int, int]) -> tuple[int, int]:
    said = folder.processor.get("size")
    if said is None:
        return default
    found = [v for k in keys if type(v := said.get(k)) is int and v > 0] if isinstance(said, Mapping) else []
    if len(found) != len(keys):
        where, expected = f"{folder.path}, its image processor", f"size with {keys[0]} and {keys[1]}, in pixels"
        message = "a folder's size asks for what is not done here"
        raise ModelError(message, where=where, expected=expected, found=shown(repr(said)))
    return found[0], found[1]
