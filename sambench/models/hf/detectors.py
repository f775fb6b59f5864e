"""OWLv2 and Grounding DINO, as transformers computes them: boxes of a phrase.

Pictures are prepared here as transformers' processors do, but in floating point where they round to whole grey levels. Each phrase
is asked alone: Grounding DINO's answers depend on what else stands in its text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
import torch.nn.functional as F
from scipy import ndimage
from torch import Tensor, nn

from sambench.device.images import normalised
from sambench.models.detector import Detected
from sambench.models.hf.base import TransformersModel
from sambench.models.hf.phrases import Remembered, on, tokens
from sambench.models.hf.text_settings import DetectorSettings
from sambench.models.prompt_groups import check_image
from sambench.types import UInt8Array

DINO_LENGTH: Final = 256  # tokens, where the config does not say


@dataclass(frozen=True)
class DetectorState:
    """What a detector remembers of an image. size: (height, width)."""

    features: Any
    size: tuple[int, int]


class _Detector(TransformersModel[DetectorSettings]):
    """What both share."""

    max_batch: int = 16

    def __init__(
        self,
        model: nn.Module,
        tokenizer: Any,
        settings: DetectorSettings,
        *,
        name: str,
        device: str = "cpu",
        precision: str = "fp32",
    ) -> None:
        super().__init__(model, settings, name=name, device=device, precision=precision)
        self.tokenizer = tokenizer

    def _normalised(self, pixels: Tensor) -> Tensor:
        return normalised(pixels, self.settings.mean, self.settings.std)

    def _found(self, boxes_cxcywh: Tensor, scores: Tensor, scale_xy: tuple[float, float], size: tuple[int, int]) -> Detected:
        """Of boxes [Q, 4] as shares and scores [Q]: those above the threshold that have an area in the picture."""
        order = torch.sort(scores, descending=True, stable=True).indices
        kept = order[scores[order] > self.settings.threshold]
        centres, sides = np.split(boxes_cxcywh[kept].double().cpu().numpy(), 2, axis=1)
        boxes = np.concatenate([centres - sides / 2, centres + sides / 2], axis=1) * np.tile(scale_xy, 2)
        boxes = boxes.clip(0, np.array([size[1], size[0]] * 2, np.float64))
        inside = (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
        return Detected(boxes[inside], scores[kept].float().cpu().numpy()[inside])


class OwlDetector(_Detector):
    """A :class:`~sambench.models.detector.PhraseDetector` around an `Owlv2ForObjectDetection`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._queries = Remembered(self._query)
        self._length = int(self.model.config.text_config.max_position_embeddings)

    @torch.inference_mode()
    def encode(self, image: UInt8Array) -> DetectorState:
        """image uint8 [H, W, 3] RGB -> state. Raises ModelError for anything else."""
        check_image(image, self.name)
        pixels = torch.as_tensor(padded_square(image, self.settings.size), device=self.device)
        with self.encoding():
            grid = self.model.image_embedder(self._normalised(pixels)[None])[0].float()
        features = grid.reshape(1, -1, grid.shape[-1])
        return DetectorState((features, self.model.box_predictor(features, grid)[0]), (image.shape[0], image.shape[1]))

    @torch.inference_mode()
    def detect(self, state: DetectorState, phrases: Sequence[str]) -> list[Detected]:
        """One answer a phrase, in order."""
        features, boxes = state.features
        side = float(max(state.size))
        out = []
        for phrase in phrases:
            query, mask = self._queries(self.settings.template.replace("{}", phrase))
            logits, _ = self.model.class_predictor(features, query[None], mask[None])
            out.append(self._found(boxes, logits[0, :, 0].sigmoid(), (side, side), state.size))
        return out

    def _query(self, text: str) -> tuple[Tensor, Tensor]:
        """Of a text: its embedding [1, C] of length 1, and bool [1], whether it is one at all."""
        given = on(self.device, tokens(self.tokenizer, text, self._length, padded=True))
        found = self.model.owlv2.get_text_features(input_ids=given["input_ids"], attention_mask=given["attention_mask"])
        query = found.pooler_output.float()
        return query / torch.linalg.norm(query, ord=2, dim=-1, keepdim=True), given["input_ids"][:, 0] > 0


class DinoDetector(_Detector):
    """A :class:`~sambench.models.detector.PhraseDetector` around a `GroundingDinoForObjectDetection`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._backbone = self.model.model.backbone
        self.model.model.backbone = _Replay(self._backbone.position_embedding)
        self._length = int(getattr(self.model.config, "max_text_len", DINO_LENGTH))

    @torch.inference_mode()
    def encode(self, image: UInt8Array) -> DetectorState:
        """image uint8 [H, W, 3] RGB -> state. Raises ModelError for anything else."""
        check_image(image, self.name)
        size = fitted(image.shape[:2], *self.settings.size)
        pixels = torch.tensor(image, device=self.device).permute(2, 0, 1)[None].float() / 255
        if size != image.shape[:2]:
            pixels = F.interpolate(pixels, size, mode="bilinear", align_corners=False, antialias=True)
        pixels = self._normalised(pixels)
        mask = torch.ones((1, *size), dtype=torch.long, device=self.device)
        with self.encoding():
            maps, positions = self._backbone(pixels, mask)
        kept = [(m.float(), known) for m, known in maps], [p.float() for p in positions]
        return DetectorState((pixels, mask, kept), (image.shape[0], image.shape[1]))

    @torch.inference_mode()
    def detect(self, state: DetectorState, phrases: Sequence[str]) -> list[Detected]:
        """One answer a phrase, in order."""
        pixels, mask, self.model.model.backbone.kept = state.features
        height, width = state.size
        out = []
        for phrase in phrases:
            # As transformers' processor writes labels: lower case, with a full stop.
            given = on(self.device, tokens(self.tokenizer, f"{phrase.strip().lower()}.", self._length, padded=False))
            found = self.model(pixel_values=pixels, pixel_mask=mask, **given)
            scores = found.logits[0].float().sigmoid().amax(dim=-1)
            out.append(self._found(found.pred_boxes[0], scores, (float(width), float(height)), state.size))
        self.model.model.backbone.kept = None
        return out


class _Replay(nn.Module):
    """Stands where the image encoder was, and gives what that made of the image: it is asked once for all phrases."""

    def __init__(self, position_embedding: nn.Module) -> None:
        super().__init__()
        self.position_embedding = position_embedding  # which the model asks for its coarsest map
        self.kept: Any = None

    def forward(self, _pixels: Tensor, _mask: Tensor) -> tuple[list[Any], list[Tensor]]:
        maps, positions = self.kept
        return list(maps), list(positions)


def padded_square(image: UInt8Array, size: tuple[int, int]) -> Any:
    """float32 [3, h, w], values from 0 to 1: the picture in the upper left of a black square, which is resized to `size`.

    As scikit-image resizes with antialiasing, in double precision: a Gaussian of (factor - 1) / 2 pixels, then linear, mirrored at
    the borders, within the picture's own range of values.
    """
    side = max(image.shape[:2])
    square = np.zeros((side, side, 3), np.float64)
    square[: image.shape[0], : image.shape[1]] = image / 255.0
    factors = np.array([side / size[0], side / size[1], 1.0])
    smooth = ndimage.gaussian_filter(square, np.maximum(0, (factors - 1) / 2), mode="mirror")
    out = ndimage.zoom(smooth, 1 / factors, order=1, mode="mirror", grid_mode=True)
    return out.clip(square.min(), square.max()).astype(np.float32).transpose(2, 0, 1).copy()


def fitted(size: tuple[int, int], shortest: int, longest: int) -> tuple[int, int]:
    """(height, width) of a picture whose shorter side becomes `shortest`, or less, so that the longer one is `longest` at most.

    Rounded as transformers does (`get_size_with_aspect_ratio`): the other side is cut to whole pixels.
    """
    height, width = size
    low, high = float(min(size)), float(max(size))
    exact = longest * low / high if high / low * shortest > longest else float(shortest)
    side = round(exact)
    if min(size) == side:
        return height, width
    return (int(exact * height / width), side) if width < height else (side, int(exact * width / height))
