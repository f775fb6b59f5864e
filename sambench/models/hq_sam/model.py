"""HQ-SAM under one module, whose state_dict has the official key names."""

from __future__ import annotations

from torch import Tensor, nn

from sambench.models.hq_sam.mask_decoder import HqInput, MaskDecoderHQ
from sambench.models.sam.model import Sam
from sambench.models.sam.prompt_encoder import PromptEncoder


class HqSam(Sam):
    """Sam whose decoder also sees an early feature of the image encoder.

    image_encoder: called with `tap=`, a function of (layer index, feature [1, g, g, early_dim]). early_layer: the one that counts.
    """

    mask_decoder: MaskDecoderHQ

    def __init__(
        self, *, image_encoder: nn.Module, early_layer: int, prompt_encoder: PromptEncoder, mask_decoder: MaskDecoderHQ
    ) -> None:
        super().__init__(image_encoder=image_encoder, prompt_encoder=prompt_encoder, mask_decoder=mask_decoder)
        self.early_layer = early_layer

    def encode(self, pixels: Tensor) -> tuple[Tensor, HqInput]:
        """[1, 3, S, S] normalised, in the encoder's precision -> embedding [1, C, g, g] and the decoder's side of it, float32."""
        early: dict[int, Tensor] = {}

        def tap(layer: int, feature: Tensor) -> None:
            if layer == self.early_layer:
                early[layer] = feature

        embedding: Tensor = self.image_encoder(pixels, tap=tap).float()
        return embedding, self.hq_input(embedding, early[self.early_layer].float())

    def hq_input(self, embedding: Tensor, early: Tensor) -> HqInput:
        """The decoder's side of an image: its embedding [1, C, g, g] and its early feature [1, g, g, early_dim]."""
        plain = self.decoder_input(embedding)
        return HqInput(plain.image, plain.image_pe, plain.size, fine=self.mask_decoder.fine(embedding, early))
