"""Segment Anything as a `Segmenter`: one encoding an image, prompts decoded in batches of one shape."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from sambench.device.compiling import compile_fixed, compiling
from sambench.device.copies import to_device
from sambench.device.images import bilinear
from sambench.device.masks import LogitBatch
from sambench.errors import ModelError, unknown_name
from sambench.models.embedding import ImageEmbedding
from sambench.models.prompt_groups import check_image, groups
from sambench.models.sam.mask_decoder import DecoderInput
from sambench.models.sam.model import Sam
from sambench.pixels.interpolation import Geometry
from sambench.types import Prediction, Prompt, UInt8Array

PIXEL_MEAN = (123.675, 116.28, 103.53)  # RGB, of values 0..255
PIXEL_STD = (58.395, 57.12, 57.375)


@dataclass(frozen=True, eq=False)
class Pixels:
    """An image as the encoder takes it: float32 [1, 3, S, S], normalised and padded. size: (height, width) of the image itself."""

    values: Tensor
    size: tuple[int, int]


@dataclass(frozen=True)
class SamState:
    """What SAM remembers of an image. scale_xy: from pixels of the image to pixels of the encoder's input frame."""

    embedding: Tensor
    decoder: DecoderInput
    geometry: Geometry
    scale_xy: tuple[float, float]


class SamSegmenter:
    """A :class:`~sambench.types.Segmenter` around a :class:`Sam`.

    name: goes into the identity. device: 'cpu', 'cuda' or 'cuda:<n>'. precision: 'fp32', or 'bf16', in which the image
    encoder runs (prompts and decoder stay in fp32: they are a hundredth of the work). max_batch: prompts per decoder call.
    batched: whether prompts of one shape go through the decoder together; so on a GPU, one by one on a CPU.
    squash: images are brought to the encoder's square without keeping their aspect, and masks back in one step, as in HQ-SAM's
    evaluation (`preprocess_squashed`, `squashed_boxes`). single_output: the first mask token answers every prompt, `multimask` or
    not, and nothing ranks it: its score is 1. compiled: the image encoder goes through torch.compile (`sambench.device.compiling`).
    """

    max_batch: int = 64

    def __init__(
        self,
        model: Sam,
        *,
        name: str,
        device: str = "cpu",
        precision: str = "fp32",
        squash: bool = False,
        single_output: bool = False,
        compiled: bool = False,
    ) -> None:
        if precision not in ("fp32", "bf16"):
            raise unknown_name("precision", precision, ("fp32", "bf16"), where=name)
        self.device = torch.device(device)
        self.model = model.to(self.device).eval().requires_grad_(False)
        self.model.image_encoder.to(torch.bfloat16 if precision == "bf16" else torch.float32)
        self.precision = precision
        self.name = name
        self.squash = squash
        self.single_output = single_output
        self.compiled = compiled
        self.batched = self.device.type != "cpu"
        if compiled:
            compile_fixed(self.model.image_encoder)

    @property
    def device_kind(self) -> str:
        return self.device.type

    @property
    def identity(self) -> Mapping[str, Any]:
        """What can change a number beside the weights; options that are off are left out."""
        on = {name: True for name in ("squash", "single_output", "compiled") if getattr(self, name)}
        return {"model": self.name, "image_size": self.model.image_size, **on}

    def prepare(self, image: UInt8Array) -> Pixels:
        """image uint8 [H, W, 3] RGB, resized and normalised on the host: `encode`'s first step, in any thread.

        Raises ModelError for anything else.
        """
        check_image(image, self.name)
        side = self.model.image_size
        values = preprocess_squashed(image, side) if self.squash else preprocess(image, side)
        on_gpu = self.device.type == "cuda"
        return Pixels(values.pin_memory() if on_gpu else values, (image.shape[0], image.shape[1]))  # pinned is copied beside work

    @torch.inference_mode()
    def encode(self, image: UInt8Array | Pixels) -> SamState:
        """image uint8 [H, W, 3] RGB, or what `prepare` made of it -> state. Raises ModelError for anything else.

        Raises ModelError too where the encoder is to be compiled, and cannot be.
        """
        prepared = image if isinstance(image, Pixels) else self.prepare(image)
        side, (height, width) = self.model.image_size, prepared.size
        new_h, new_w = (side, side) if self.squash else resized_size(height, width, side)
        dtype = torch.bfloat16 if self.precision == "bf16" else torch.float32
        with compiling(self.name) if self.compiled else nullcontext():
            embedding, decoder = self.model.encode(prepared.values.to(self.device, non_blocking=True).to(dtype))
        low = (4 * decoder.size[0], 4 * decoder.size[1])
        if self.squash:
            geometry = Geometry(low=low, size=(height, width))
        else:
            geometry = Geometry(low=low, square=(side, side), crop=(new_h, new_w), size=(height, width))
        return SamState(embedding, decoder, geometry, (new_w / width, new_h / height))

    def embedding(self, state: SamState) -> ImageEmbedding:
        """The encoder's map, on the host; beyond the image, at the right and below, it is of padding."""
        values = state.embedding[0].float().cpu().numpy()
        cell = self.model.image_size / values.shape[-1]
        return ImageEmbedding(values, (state.scale_xy[0] / cell, state.scale_xy[1] / cell))

    @torch.inference_mode()
    def decode(self, state: SamState, prompts: list[Prompt]) -> list[Prediction]:
        """One prediction a prompt, in order: three candidates with `multimask`, else the single-output mask.

        (What `multimask` gives is the model's: HQ-SAM's answers have one mask either way, single-output models know no other.)
        Prompts of one shape (number of points, box or not, carry or not, multimask) go through the decoder together, at most
        `max_batch` at a time. carry: a candidate's low-resolution logits, a float32 tensor [h, w] on the model's device.
        """
        out: dict[int, Prediction] = {}
        if self.single_output:
            prompts = [replace(p, multimask=False) for p in prompts]
        for indices in groups(prompts, self.max_batch):
            group = [prompts[i] for i in indices]
            low, iou = self._decode_group(state, group)
            if self.single_output:
                iou = torch.ones_like(iou)
            batch, scores = LogitBatch(low, state.geometry), iou.cpu().numpy()
            for j, i in enumerate(indices):
                out[i] = Prediction(batch.masks(j), scores[j], carry=tuple(low[j]))
        return [out[i] for i in range(len(prompts))]

    def _decode_group(self, state: SamState, prompts: list[Prompt]) -> tuple[Tensor, Tensor]:
        """Prompts of one shape -> low-resolution logits [B, C, h, w] and predicted IoU [B, C]."""
        first = prompts[0]
        scale = np.asarray(state.scale_xy, np.float64)
        points = labels = boxes = masks = None
        if len(first.labels):
            points = self._tensor(np.stack([p.points_xy for p in prompts]) * scale)
            labels = to_device(np.stack([p.labels for p in prompts]), self.device)
        if first.box_xyxy is not None:
            whole = np.array([p.box_xyxy for p in prompts], np.float64)
            boxes = self._tensor(squashed_boxes(whole, scale) if self.squash else whole * np.tile(scale, 2))
        if first.carry is not None:
            masks = torch.stack([self._carried(p.carry, state.geometry.low) for p in prompts])[:, None]
        # One prompt's image stream fits in a CPU's cache, 64 do not; alone, its numbers don't depend on the batch either.
        step = len(prompts) if self.batched else 1
        parts = []
        for start in range(0, len(prompts), step):
            part = slice(start, start + step)
            cut = (None if t is None else t[part] for t in (points, labels, boxes, masks))
            parts.append(self._forward(state, len(prompts[part]), *cut, multimask=first.multimask))
        return torch.cat([low for low, _ in parts]), torch.cat([iou for _, iou in parts])

    def _forward(
        self,
        state: SamState,
        count: int,
        points_xy: Tensor | None,
        labels: Tensor | None,
        boxes_xyxy: Tensor | None,
        masks: Tensor | None,
        *,
        multimask: bool,
    ) -> tuple[Tensor, Tensor]:
        """`count` prompts in the input frame -> low-resolution logits [B, C, h, w] and predicted IoU [B, C]."""
        prompt = self.model.prompt_encoder
        dense = prompt.no_mask_embed.weight[None] if masks is None else prompt.dense(masks)
        sparse = prompt.sparse(points_xy, labels, boxes_xyxy).expand(count, -1, -1)
        out: tuple[Tensor, Tensor] = self.model.mask_decoder(state.decoder, sparse, dense, multimask=multimask)
        return out

    def _tensor(self, values: np.ndarray[Any, Any]) -> Tensor:
        return to_device(values.astype(np.float32), self.device)

    def _carried(self, carry: Any, low: tuple[int, int]) -> Tensor:
        if not isinstance(carry, Tensor) or tuple(carry.shape) != low:
            raise ModelError(
                f"{self.name} can't read a prompt's carry",
                expected=f"an entry of its own Prediction.carry, a tensor {list(low)}",
                found=f"{type(carry).__name__} {list(getattr(carry, 'shape', []))}",
            )
        return carry.to(self.device, torch.float32, non_blocking=True)


def resized_size(height: int, width: int, side: int) -> tuple[int, int]:
    """(height, width) with the long side scaled to `side`, halves rounded up; a side of an image that is a line keeps a pixel."""
    scale = side / max(height, width)
    return max(1, int(height * scale + 0.5)), max(1, int(width * scale + 0.5))


def preprocess(image: UInt8Array, side: int) -> Tensor:
    """uint8 [H, W, 3] RGB -> float32 [1, 3, side, side]: resized (antialiased, to uint8), normalised, then padded with zeros.

    Zeros after the normalisation, so the padding is the mean colour.
    """
    new_h, new_w = resized_size(image.shape[0], image.shape[1], side)
    resized = np.asarray(Image.fromarray(image).resize((new_w, new_h), Image.Resampling.BILINEAR))
    out = torch.zeros(1, 3, side, side)
    out[0, :, :new_h, :new_w] = _normalised(torch.from_numpy(resized.copy()).permute(2, 0, 1))
    return out


def preprocess_squashed(image: UInt8Array, side: int) -> Tensor:
    """uint8 [H, W, 3] RGB -> float32 [1, 3, side, side]: both sides resized to `side`, normalised.

    As HQ-SAM's evaluation resizes (SysCV/sam-hq, train/): bilinear in floating point, not antialiased, fractions cut off.
    """
    pixels = torch.from_numpy(image.copy()).permute(2, 0, 1)[None].float()
    return _normalised(bilinear(pixels, (side, side), align_corners=False).trunc())


def squashed_boxes(boxes_xyxy: npt.NDArray[np.float64], scale_xy: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Boxes [B, 4] of pixel indices in the image -> those of the pixels that a filled box has once it is squashed.

    As HQ-SAM's evaluation has them: the object's map (0 and 255) is squashed like the image, and the box is that of values above
    128. An object that fills its box only by thin tips may have a smaller one there. A box without any such pixel is scaled.
    """
    # Between the centres of the box's last pixel and of the next one the map falls from 255 to 0: above 128 for 127/255 of the way.
    reach = 0.5 + 127 / 255
    low, high = boxes_xyxy[:, :2], boxes_xyxy[:, 2:]
    first = np.floor((low + 1 - reach) * scale_xy - 0.5) + 1
    last = np.ceil((high + reach) * scale_xy - 0.5) - 1
    empty = first > last
    return np.hstack([np.where(empty, low * scale_xy, first), np.where(empty, high * scale_xy, last)])


def _normalised(pixels: Tensor) -> Tensor:
    """RGB values 0..255 [..., 3, H, W] -> zero mean and unit spread per channel, by SAM's constants."""
    mean, std = (torch.tensor(v)[:, None, None] for v in (PIXEL_MEAN, PIXEL_STD))
    return (pixels - mean) / std
