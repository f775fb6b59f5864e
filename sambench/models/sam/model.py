"""The three parts of Segment Anything under one module, whose state_dict has the official key names."""

from __future__ import annotations

from torch import Tensor, nn

from sambench.models.sam.mask_decoder import DecoderInput, MaskDecoder
from sambench.models.sam.prompt_encoder import PromptEncoder


class Sam(nn.Module):
    """Image encoder [B, 3, S, S] -> [B, C, g, g], prompt encoder and mask decoder of width C. See `build.build_sam_model`."""

    def __init__(self, *, image_encoder: nn.Module, prompt_encoder: PromptEncoder, mask_decoder: MaskDecoder) -> None:
        super().__init__()
        self.image_encoder = image_encoder
        self.prompt_encoder = prompt_encoder
        self.mask_decoder = mask_decoder

    @property
    def image_size(self) -> int:
        """Side in pixels of the square that the image encoder takes."""
        return self.prompt_encoder.image_size

    def encode(self, pixels: Tensor) -> tuple[Tensor, DecoderInput]:
        """[1, 3, S, S] normalised, in the encoder's precision -> embedding [1, C, g, g] and the decoder's side of it, float32."""
        out: Tensor = self.image_encoder(pixels)
        embedding = out.float()
        return embedding, self.decoder_input(embedding)

    def decoder_input(self, embedding: Tensor) -> DecoderInput:
        """The decoder's side of one image's embedding [1, C, g, g]."""
        image = embedding.flatten(2).transpose(1, 2).float().contiguous()
        return DecoderInput(image, self.prompt_encoder.dense_pe(), (embedding.shape[2], embedding.shape[3]))
