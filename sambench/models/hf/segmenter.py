"""SAM 2 and its kin (EdgeTAM, the tracker of SAM 3), as transformers computes them, behind the protocol of a `Segmenter`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sambench.device.copies import to_device
from sambench.device.images import normalised
from sambench.device.masks import LogitBatch
from sambench.errors import ModelError
from sambench.models.embedding import ImageEmbedding
from sambench.models.hf.base import TransformersModel
from sambench.models.hf.settings import CLAMP, Settings
from sambench.models.prompt_groups import check_image, groups
from sambench.pixels.interpolation import Geometry
from sambench.types import Prediction, Prompt, UInt8Array


@dataclass(frozen=True)
class Sam2State:
    """What the model remembers of an image. maps: [1, C, h, w] from fine to coarse, float32.

    scale_xy: from pixels of the image to pixels of the model's square.
    """

    maps: tuple[Tensor, ...]
    scale_xy: tuple[float, float]
    size: tuple[int, int]


class Sam2Segmenter(TransformersModel[Settings]):
    """A :class:`~sambench.types.Segmenter` around a `Sam2Model`, `EdgeTamModel` or `Sam3TrackerModel`.

    In bf16 prompts and decoder stay in fp32, for positions of 1,000 pixels have no fractions in bf16. max_batch: prompts a decoder
    call.
    """

    max_batch: int = 64

    def __init__(self, model: nn.Module, settings: Settings, *, name: str, device: str = "cpu", precision: str = "fp32") -> None:
        super().__init__(model, settings, name=name, device=device, precision=precision)
        self.side = _side(self.model.config.prompt_encoder_config.image_size, name)
        _set_dynamic(self.model.mask_decoder, settings)
        self._pixel_dtype = torch.float32
        if precision == "bf16":
            self._pixel_dtype = torch.bfloat16
            self.model.vision_encoder.to(torch.bfloat16)
            self.model.vision_encoder.register_forward_hook(_in_float32)
        # On a CPU the image's maps of one prompt fit in the cache, and its numbers don't depend on the batch.
        self.step = 1 if self.device.type == "cpu" else self.max_batch

    @property
    def identity(self) -> Mapping[str, Any]:
        """What can change a number beside the weights."""
        return {**super().identity, "image_size": self.side}

    @torch.inference_mode()
    def encode(self, image: UInt8Array) -> Sam2State:
        """image uint8 [H, W, 3] RGB -> state. Raises ModelError for anything else."""
        check_image(image, self.name)
        height, width = image.shape[:2]
        pixels = squashed(image, self.side, self.settings, self.device)
        maps = self.model.get_image_embeddings(pixels.to(self._pixel_dtype))
        return Sam2State(tuple(maps), (self.side / width, self.side / height), (height, width))

    def embedding(self, state: Sam2State) -> ImageEmbedding:
        """The encoder's coarsest map, on the host."""
        values = state.maps[-1][0].float().cpu().numpy()
        (sx, sy), (down, across) = state.scale_xy, values.shape[-2:]
        return ImageEmbedding(values, (sx * across / self.side, sy * down / self.side))

    @torch.inference_mode()
    def decode(self, state: Sam2State, prompts: list[Prompt]) -> list[Prediction]:
        """One prediction a prompt, in order: with `multimask` three candidates in the order of the model's tokens, else one.

        A score is the predicted IoU. Prompts of one shape (number of points, box or not, carry or not, multimask) go through the
        decoder together. carry: a candidate's low-resolution logits within +-32, a float32 tensor [h, w] on the model's device.
        """
        out: dict[int, Prediction] = {}
        for indices in groups(prompts, self.max_batch):
            for start in range(0, len(indices), self.step):
                part = indices[start : start + self.step]
                low, iou = self._forward(state, [prompts[i] for i in part])
                geometry = Geometry(low=(low.shape[2], low.shape[3]), size=state.size)
                carry = low.clamp(-CLAMP, CLAMP)
                batch, scores = LogitBatch(low, geometry), iou.cpu().numpy()
                for j, i in enumerate(part):
                    out[i] = Prediction(batch.masks(j), scores[j], carry=tuple(carry[j]))
        return [out[i] for i in range(len(prompts))]

    def _forward(self, state: Sam2State, prompts: Sequence[Prompt]) -> tuple[Tensor, Tensor]:
        """B prompts of one shape -> low-resolution logits [B, C, h, w] and predicted IoU [B, C].

        Each is an image of its own to the model, with the same maps: a mask is fed back for an image, not for an object.
        """
        first, count = prompts[0], len(prompts)
        scale = np.asarray(state.scale_xy)
        given: dict[str, Any] = {}
        if len(first.labels):
            given["input_points"] = self._tensor(np.stack([p.points_xy for p in prompts]) * scale)[:, None]
            labels = np.stack([p.labels for p in prompts]).astype(np.int64)
            given["input_labels"] = to_device(labels, self.device)[:, None]
        if first.box_xyxy is not None:
            boxes = np.array([p.box_xyxy for p in prompts], np.float64) * np.tile(scale, 2)
            given["input_boxes"] = self._tensor(boxes)[:, None]
        if first.carry is not None:
            given["input_masks"] = torch.stack([self._carried(p.carry) for p in prompts])[:, None]
        maps = [m.expand(count, -1, -1, -1) for m in state.maps]
        found = self.model(image_embeddings=maps, multimask_output=first.multimask, **given)
        return found.pred_masks[:, 0].float(), found.iou_scores[:, 0].float()

    def _tensor(self, values: np.ndarray[Any, Any]) -> Tensor:
        return to_device(values.astype(np.float32), self.device)

    def _carried(self, carry: Any) -> Tensor:
        side = tuple(self.model.prompt_encoder.mask_input_size)
        if not isinstance(carry, Tensor) or tuple(carry.shape) != side:
            raise ModelError(
                f"{self.name} can't read a prompt's carry",
                expected=f"an entry of its own Prediction.carry, a tensor {list(side)}",
                found=f"{type(carry).__name__} {list(getattr(carry, 'shape', []))}",
            )
        return carry.to(self.device, torch.float32, non_blocking=True)


def squashed(image: UInt8Array, side: int, settings: Settings, device: torch.device) -> Tensor:
    """uint8 [H, W, 3] RGB -> float32 [1, 3, side, side], both sides resized to `side`, normalised.

    As SAM 2's own predictor does it: values to 0..1 first, then bilinear and antialiased in floating point, so that nothing is
    rounded to whole grey levels (which transformers' processors do).
    """
    pixels = to_device(image, device).permute(2, 0, 1)[None].float() / 255
    pixels = F.interpolate(pixels, (side, side), mode="bilinear", align_corners=False, antialias=True)
    return normalised(pixels, settings.mean, settings.std)


def _side(told: Any, name: str) -> int:
    sides = {int(v) for v in told} if isinstance(told, list | tuple) else {int(told)}
    if len(sides) != 1:
        raise ModelError(f"{name} takes no square", where="config, image_size", expected="one side", found=told)
    return sides.pop()


def _set_dynamic(decoder: Any, settings: Settings) -> None:
    """The decoder's dynamic single output as the settings have it, which are in the identity."""
    decoder.dynamic_multimask_via_stability = settings.dynamic is not None
    if settings.dynamic is not None:
        decoder.dynamic_multimask_stability_delta = settings.dynamic.delta
        decoder.dynamic_multimask_stability_thresh = settings.dynamic.threshold


def _in_float32(_module: nn.Module, _inputs: Any, output: Any) -> Any:
    """Of an encoder in bf16: its maps as the decoder, whose convolutions come next, takes them."""
    output.fpn_hidden_states = tuple(m.float() for m in output.fpn_hidden_states)
    return output
