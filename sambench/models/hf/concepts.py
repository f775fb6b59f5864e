"""SAM 3's detector (and its kin with a light text encoder), as transformers computes it: all instances of a phrase.

Pictures are resized here, in floating point. A score is sigmoid(query) * sigmoid(presence), as the authors' evaluation and
transformers' processor have it. What is done otherwise than there can be chosen: by `resize`.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn

from sambench.concepts import ConceptPrediction, ConceptPrompt
from sambench.device.images import bilinear
from sambench.device.masks import LogitBatch
from sambench.errors import ModelError
from sambench.models.hf.base import TransformersModel
from sambench.models.hf.phrases import Remembered, on, tokens
from sambench.models.hf.segmenter import squashed
from sambench.models.hf.settings import Settings
from sambench.models.hf.text_settings import LENGTH, ConceptSettings
from sambench.models.prompt_groups import check_image
from sambench.pixels.candidates import DenseMasks
from sambench.pixels.interpolation import Geometry
from sambench.types import Masks, UInt8Array

_BY_BOXES: Final = "visual"  # the phrase of a prompt that has example boxes alone


@dataclass(frozen=True)
class ConceptState:
    """What the model remembers of an image. maps, positions: [1, C, h, w] from fine to coarse. size: (height, width)."""

    maps: tuple[Tensor, ...]
    positions: tuple[Tensor, ...]
    size: tuple[int, int]


class Sam3Concepts(TransformersModel[ConceptSettings]):
    """A :class:`~sambench.concepts.ConceptSegmenter` around a `Sam3Model` or `Sam3LiteTextModel`."""

    max_batch: int = 16

    def __init__(
        self,
        model: nn.Module,
        tokenizer: Any,
        settings: ConceptSettings,
        *,
        name: str,
        device: str = "cpu",
        precision: str = "fp32",
    ) -> None:
        super().__init__(model, settings, name=name, device=device, precision=precision)
        self.tokenizer = tokenizer
        self.side = int(self.model.config.image_size)
        self.step = 1 if self.device.type == "cpu" else self.max_batch
        self._pixels = Settings(settings.mean, settings.std, None)
        self._text = Remembered(self._features)
        self._text_output = importlib.import_module("transformers.modeling_outputs").BaseModelOutputWithPooling
        self._vision_output = importlib.import_module("transformers.models.sam3.modeling_sam3").Sam3VisionEncoderOutput

    @property
    def identity(self) -> Mapping[str, Any]:
        """What can change a number beside the weights."""
        return {**super().identity, "image_size": self.side}

    @torch.inference_mode()
    def encode(self, image: UInt8Array) -> ConceptState:
        """image uint8 [H, W, 3] RGB -> state. Raises ModelError for anything else."""
        check_image(image, self.name)
        pixels = squashed(image, self.side, self._pixels, self.device)
        with self.encoding():
            found = self.model.get_vision_features(pixels)
        maps, positions = (tuple(m.float() for m in t) for t in (found.fpn_hidden_states, found.fpn_position_encoding))
        return ConceptState(maps, positions, (image.shape[0], image.shape[1]))

    @torch.inference_mode()
    def concepts(self, state: ConceptState, prompts: list[ConceptPrompt]) -> list[ConceptPrediction]:
        """One prediction a prompt, in order: the instances of more than the threshold's score, by falling score.

        Prompts with equally many example boxes go through the detector together, on a CPU each alone: its numbers do not depend on
        the others then. Raises ModelError for a prompt with neither phrase nor boxes.
        """
        by_boxes: dict[int, list[int]] = {}
        for i, prompt in enumerate(prompts):
            by_boxes.setdefault(len(prompt.labels), []).append(i)
        out: dict[int, ConceptPrediction] = {}
        for indices in by_boxes.values():
            for start in range(0, len(indices), self.step):
                part = indices[start : start + self.step]
                out |= zip(part, self._answers(state, [prompts[i] for i in part]), strict=True)
        return [out[i] for i in range(len(prompts))]

    def _answers(self, state: ConceptState, prompts: Sequence[ConceptPrompt]) -> list[ConceptPrediction]:
        found = self._forward(state, prompts)
        presence = found.presence_logits.float().sigmoid()
        scores = found.pred_logits.float().sigmoid() * presence
        out = []
        for row, there, masks in zip(scores, presence.flatten().tolist(), found.pred_masks, strict=True):
            order = torch.sort(row, descending=True, stable=True).indices
            kept = order[row[order] > self.settings.threshold]
            out.append(ConceptPrediction(self._masks(masks[kept].float(), state.size), row[kept].cpu().numpy(), there))
        return out

    def _forward(self, state: ConceptState, prompts: Sequence[ConceptPrompt]) -> Any:
        """B prompts with equally many boxes. Each is an image of its own to the model, with the same maps."""
        text = [self._text(self._phrase(p)) for p in prompts]
        given: dict[str, Any] = {}
        if len(prompts[0].labels):
            _check_torchvision(self.name)
            given["input_boxes"] = torch.stack([self._boxes(p, state.size) for p in prompts])
            labels = np.stack([p.labels for p in prompts]).astype(np.int64)
            given["input_boxes_labels"] = torch.as_tensor(labels, device=self.device)
        maps, positions = (tuple(m.expand(len(prompts), -1, -1, -1) for m in t) for t in (state.maps, state.positions))
        return self.model(
            vision_embeds=self._vision_output(fpn_hidden_states=maps, fpn_position_encoding=positions),
            text_embeds=self._text_output(pooler_output=torch.cat([features for features, _ in text])),
            attention_mask=torch.cat([mask for _, mask in text]),
            **given,
        )

    def _features(self, phrase: str) -> tuple[Tensor, Tensor]:
        """Of a phrase: its features [1, LENGTH, C], and int64 [1, LENGTH], 1 where a token is no padding."""
        given = on(self.device, tokens(self.tokenizer, phrase, LENGTH, padded=True))
        found = self.model.get_text_features(input_ids=given["input_ids"], attention_mask=given["attention_mask"])
        return found.pooler_output.float(), given["attention_mask"]

    def _phrase(self, prompt: ConceptPrompt) -> str:
        if prompt.phrase is None and not len(prompt.labels):
            raise ModelError(f"{self.name} got an empty prompt", expected="a phrase, example boxes, or both", found="neither")
        return _BY_BOXES if prompt.phrase is None else prompt.phrase

    def _boxes(self, prompt: ConceptPrompt, size: tuple[int, int]) -> Tensor:
        """float32 [N, 4]: centre, width and height as shares of the picture's sides, of boxes with inclusive corners."""
        boxes = np.asarray(prompt.boxes_xyxy, np.float64) + np.array([0, 0, 1, 1])
        low, high = boxes[:, :2], boxes[:, 2:]
        shares = np.concatenate([(low + high) / 2, high - low], axis=1) / np.array([size[1], size[0]] * 2)
        return torch.as_tensor(shares.astype(np.float32), device=self.device)

    def _masks(self, low: Tensor, size: tuple[int, int]) -> Masks:
        """Of logits float32 [N, h, w]."""
        if self.settings.resize == "logits" or not len(low):
            return LogitBatch(low[None], Geometry(low=(low.shape[1], low.shape[2]), size=size)).masks(0)
        full = bilinear(low.sigmoid()[None], size, align_corners=False)[0]
        return DenseMasks((full > 0.5).cpu().numpy())


def _check_torchvision(name: str) -> None:
    """transformers takes what lies in example boxes by an operation of torchvision. Raises ModelError without it."""
    if importlib.util.find_spec("torchvision") is None:
        raise ModelError(
            f"example boxes for a {name} need the package torchvision",
            expected="the build of it that fits your torch",
            found="none",
            remedy="install it, or ask only by phrases",
        )
