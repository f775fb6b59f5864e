"""`sam_nano`: a Segment Anything of 4.7 million parameters, whose weights come with the package.

Trained on procedural pictures alone (baselines/sam_nano), for demonstration and tests; not a baseline.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from sambench.models.card_factory import CardFactory
from sambench.models.sam.build import load_whole, notes_of, state_of
from sambench.models.sam.model import Sam
from sambench.models.sam.nano_decoder import N_AFFINITIES, NanoDecoder
from sambench.models.sam.nano_encoder import NanoEncoder
from sambench.models.sam.nano_layers import NanoInput
from sambench.models.sam.nano_prompts import hinted, prompt_maps, smoothed
from sambench.models.sam.prompt_encoder import PromptEncoder
from sambench.models.sam.segmenter import SamSegmenter, SamState

IMAGE_SIZE = 512
PATCH = 16
WIDTH = 128
FINE = (32, 16)
WEIGHTS = Path(__file__).with_name("sam_nano.safetensors")


class NanoSam(Sam):
    """The three parts under one module. state_dict keys are its own, in SAM's manner."""

    mask_decoder: NanoDecoder

    def __init__(self) -> None:
        grid = IMAGE_SIZE // PATCH
        super().__init__(
            image_encoder=NanoEncoder(out_chans=WIDTH, fine_chans=FINE),
            prompt_encoder=PromptEncoder(embed_dim=WIDTH, embedding_size=(grid, grid), image_size=IMAGE_SIZE),
            mask_decoder=NanoDecoder(transformer_dim=WIDTH, mlp_dim=4 * WIDTH, num_heads=4, fine_chans=FINE),
        )

    def decoder_input(self, embedding: Tensor) -> NanoInput:
        """The decoder's side of one image's embedding [1, C, g, g]: the encoder's map, unfolded."""
        image, fine8, fine4, colours = torch.split(embedding.float(), [WIDTH, 4 * FINE[0], 16 * FINE[1], 16 * 3], dim=1)
        colours = torch.pixel_shuffle(colours, 4).contiguous()
        return NanoInput(
            image=image.flatten(2).transpose(1, 2).contiguous(),
            image_pe=self.prompt_encoder.dense_pe(),
            size=(embedding.shape[2], embedding.shape[3]),
            fine8=torch.pixel_shuffle(fine8, 2).contiguous(memory_format=torch.channels_last),
            fine4=torch.pixel_shuffle(fine4, 4).contiguous(memory_format=torch.channels_last),
            colours=colours,
            smooth=smoothed(colours),
        )

    def tokens(
        self,
        state: NanoInput,
        points_xy: Tensor | None,
        labels: Tensor | None,
        boxes_xyxy: Tensor | None,
        *,
        origin_xy: Tensor | None = None,
        owner: Tensor | None = None,
    ) -> Tensor:
        """Sparse tokens [B, T, C] of prompts of one shape, in pixels of the input frame, each with the image feature under it.

        origin_xy [B, 1, 2]: where in the frame the input begins (crops, in training). owner: see NanoDecoder.predict.
        """
        shift = 0.0 if origin_xy is None else origin_xy
        framed = None if points_xy is None else points_xy + shift
        boxed = None if boxes_xyxy is None else (boxes_xyxy.view(-1, 2, 2) + shift).flatten(1)
        sparse = self.prompt_encoder.sparse(framed, labels, boxed)
        extra = []
        if points_xy is not None and labels is not None:
            on = (labels >= 0)[..., None]
            extra.append(self.mask_decoder.point_feature(self.mask_decoder.under(state, points_xy, owner)) * on)
            if boxes_xyxy is None:
                extra.append(torch.zeros_like(extra[0][:, :1]))
        if boxes_xyxy is not None:
            middle = boxes_xyxy.view(-1, 2, 2).mean(dim=1, keepdim=True)
            extra.append(self.mask_decoder.corner_feature(self.mask_decoder.under(state, middle, owner)).expand(-1, 2, -1))
        return sparse + torch.cat(extra, dim=1) if extra else sparse


class NanoSegmenter(SamSegmenter):
    """SamSegmenter of a NanoSam: the decoder also gets the prompts as maps."""

    model: NanoSam

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
        decoder, prompt = state.decoder, self.model.prompt_encoder
        assert isinstance(decoder, NanoInput)
        sparse = self.model.tokens(decoder, points_xy, labels, boxes_xyxy).expand(count, -1, -1)
        maps = prompt_maps(decoder, points_xy, labels, boxes_xyxy, masks, count)
        clicks, kinds = hinted(points_xy, labels, boxes_xyxy)
        if clicks is None or kinds is None:
            alike = maps.new_zeros(count, 2 * N_AFFINITIES, *decoder.fine8.shape[2:])
        else:
            alike = self.model.mask_decoder.affinities(decoder, clicks, kinds)
        dense = prompt.no_mask_embed.weight[None] if masks is None else prompt.dense(masks)
        chosen = slice(1, None) if multimask else slice(0, 1)
        return self.model.mask_decoder.predict(decoder, sparse, dense, maps, alike, chosen)


def build_nano(
    weights: Path | Mapping[str, Tensor] | None,
    *,
    key: str | None = None,
    strip_prefix: str | None = None,
    base: str | Path | None = None,
) -> NanoSam:
    """The bare module, in evaluation mode: from a file, from a state dict, or (None) with fresh weights.

    key, strip_prefix: where in the file the state dict is (`checkpoints.load_state_dict`). base: a whole checkpoint, over which
    `weights`, a part, is laid. Raises CheckpointError.
    """
    model = NanoSam().eval()
    held = state_of(weights, NanoSam, key=key, strip_prefix=strip_prefix, base=base)
    if held.state is not None:
        load_whole(model, held)
    for parameter in model.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    return model


def card_nano(
    *,
    weights: Path,
    device: str = "cpu",
    precision: str = "fp32",
    key: str | None = None,
    strip_prefix: str | None = None,
    base: str | None = None,
) -> NanoSegmenter:
    """What the card `sam_nano` builds. key, strip_prefix, base: as for SAM."""
    model = build_nano(weights, key=key, strip_prefix=strip_prefix, base=base)
    return NanoSegmenter(model, name="sam_nano", device=device, precision=precision)


sam_nano = CardFactory(card_nano, partial(notes_of, NanoSam), packaged=WEIGHTS)
