"""The mask decoder of `sam_nano`: SAM's tokens and two-way transformer, with prompts and image also met at strides 8 and 4.

At width 128 and with an hour of training, not weeks, much has to be given, not learned: besides its Fourier features a prompt's
token gets the image feature under it, and the maps of `nano_prompts` join the upscaling, with learned affinities to what lies
under the clicks.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sambench.models.sam.layers import MLP, LayerNorm2d
from sambench.models.sam.mask_decoder import MaskDecoder
from sambench.models.sam.nano_layers import NanoInput, halved, twice
from sambench.models.sam.nano_prompts import N_MAPS
from sambench.models.sam.transformer import TwoWayTransformer

N_AFFINITIES = 4  # of the image to what lies under a click, for foreground and background clicks each
AFFINITY_DIM = 16


class NanoTransformer(TwoWayTransformer):
    """The same sums, no buffer used twice: gradients can be taken."""

    def forward(self, image: Tensor, image_pe: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """image [B or 1, N, C], image_pe [N, C] or [B, N, C], tokens [B, T, C] -> tokens [B, T, C] and image [B, N, C]."""
        x = tokens
        for layer in self.layers:
            x, image = layer(x, tokens, image, image + image_pe)
        x = x + self.final_attn_token_to_image.gather(x + tokens, image + image_pe, image)
        return self.norm_final_attn(x), image


class NanoDecoder(MaskDecoder):
    """MaskDecoder whose upscaling also sees the image's finer maps and the prompt's own maps."""

    def __init__(self, *, transformer_dim: int, mlp_dim: int, num_heads: int, fine_chans: tuple[int, int]) -> None:
        super().__init__(transformer_dim=transformer_dim, mlp_dim=mlp_dim, num_heads=num_heads, iou_head_hidden_dim=transformer_dim)
        del self.output_upscaling
        c, (c8, c4) = transformer_dim, fine_chans
        self.transformer = NanoTransformer(depth=2, embedding_dim=c, num_heads=num_heads, mlp_dim=mlp_dim)
        self.maps16 = nn.Linear(N_MAPS + 2 * N_AFFINITIES, c)
        self.maps8 = nn.Linear(N_MAPS + 2 * N_AFFINITIES, c8)
        self.maps4 = nn.Linear(N_MAPS, c4)
        self.point_feature = nn.Linear(c + c8 + c4, c)
        self.corner_feature = nn.Linear(c + c8 + c4, c)
        self.affinity_query = nn.Linear(c + c8 + c4, AFFINITY_DIM * N_AFFINITIES)
        self.affinity_key = nn.Linear(c8, AFFINITY_DIM * N_AFFINITIES)
        self.affinity_range = nn.Parameter(torch.zeros(2, N_AFFINITIES))
        self.to8 = nn.Linear(c, c8)
        self.norm8 = LayerNorm2d(c8)
        self.conv8 = nn.Conv2d(c8, c8, 3, padding=1)
        self.to4 = nn.Conv2d(c8, c4, 1)
        self.conv4 = nn.Conv2d(c4, c4, 3, padding=1)
        for net in self.output_hypernetworks_mlps:
            assert isinstance(net, MLP)
            net.layers[-1] = nn.Linear(c, c4)
        self.mask_bias = nn.Linear(c, 1)

    def under(self, state: NanoInput, points_xy: Tensor, owner: Tensor | None = None) -> Tensor:
        """Image features [B, N, c + c8 + c4] under points [B, N, 2] in pixels of the input.

        owner [B]: the image of each prompt, default image 0 for all; so in the other methods.
        """
        h, w = state.size
        whose = torch.zeros(len(points_xy), dtype=torch.long, device=points_xy.device) if owner is None else owner
        parts = []
        for stride, level in (
            (16, state.image.view(-1, h, w, state.image.shape[-1])),
            (8, _last(state.fine8)),
            (4, _last(state.fine4)),
        ):
            # Pixel centres are at whole numbers: pixels 0..3 are cell 0 at stride 4.
            cell = ((points_xy + 0.5) / stride).long()
            x, y = cell[..., 0].clamp(0, level.shape[2] - 1), cell[..., 1].clamp(0, level.shape[1] - 1)
            parts.append(level[whose[:, None], y, x])
        return torch.cat(parts, dim=-1)

    def affinity_logits(self, state: NanoInput, points_xy: Tensor, owner: Tensor | None = None) -> Tensor:
        """Does every position at stride 8 belong with what is under each point? [B, N, 2] -> [B, N_AFFINITIES, N, 2h * 2w]."""
        b, n = points_xy.shape[:2]
        height, width = state.fine8.shape[2:]
        query = self.affinity_query(self.under(state, points_xy, owner)).view(b, n, N_AFFINITIES, AFFINITY_DIM).transpose(1, 2)
        keys = self.affinity_key(_last(state.fine8)).view(-1, height * width, N_AFFINITIES, AFFINITY_DIM).permute(0, 2, 3, 1)
        alike = torch.matmul(query * AFFINITY_DIM**-0.5, keys.expand(b, -1, -1, -1) if owner is None else keys[owner])
        x = torch.arange(width, device=points_xy.device) * 8.0 + 3.5 - points_xy[..., 0:1]
        y = torch.arange(height, device=points_xy.device) * 8.0 + 3.5 - points_xy[..., 1:2]
        apart = torch.hypot(y[..., :, None], x[..., None, :]).flatten(2)[:, None] / 32
        fall, base = self.affinity_range.view(2, 1, N_AFFINITIES, 1, 1)
        out: Tensor = alike + base - (F.softplus(fall) * apart.to(alike.dtype))
        return out

    def affinities(self, state: NanoInput, points_xy: Tensor, labels: Tensor, owner: Tensor | None = None) -> Tensor:
        """The same as probabilities, the best over the clicks [B, 2 * N_AFFINITIES, 2h, 2w]; 0 where there is no click of a kind.

        Foreground clicks, then background clicks.
        """
        alike = torch.sigmoid(self.affinity_logits(state, points_xy, owner))
        parts = [(alike * (labels == label)[:, None, :, None]).amax(dim=2) for label in (1, 0)]
        return torch.cat(parts, dim=1).view(len(points_xy), -1, *state.fine8.shape[2:])

    def predict(
        self,
        state: NanoInput,
        sparse: Tensor,
        dense: Tensor,
        maps: Tensor,
        affinities: Tensor,
        chosen: slice,
        owner: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """sparse [B, T, C], dense [B or 1, N or 1, C], maps [B, N_MAPS, 4h, 4w], affinities [B, 2 * N_AFFINITIES, 2h, 2w] -> logits
        float32 [B, M, 4h, 4w] and predicted IoU [B, M] of the chosen ones of the four masks."""
        h, w = state.size
        kind = state.image.dtype
        sparse, dense, maps = sparse.to(kind), dense.to(kind), maps.to(kind)
        maps8 = torch.cat((halved(maps), affinities.to(kind)), dim=1)
        drawn = _mixed(F.avg_pool2d(maps8, 2), self.maps16)
        image_pe = state.image_pe if state.image_pe.ndim == 2 else _of(state.image_pe, owner)
        tokens, image = self.transformer(_of(state.image, owner) + (dense + drawn), image_pe, self.tokens(sparse))
        # In place where no gradient needs the old values: at this size new memory costs more than the sums.
        x = twice(_first(self.to8(image), h))
        x = x.add_(_first(_mixed(maps8, self.maps8), 2 * h).add_(_of(state.fine8, owner)))
        x = self.conv8(F.relu_(self.norm8(x))).add_(x).relu_()
        x = twice(self.to4(x))
        x = x.add_(_first(_mixed(maps, self.maps4), 4 * h).add_(_of(state.fine4, owner))).relu_()
        x = self.conv4(x).add_(x).relu_()
        weights = self.hypernetworks(tokens, chosen)
        offset = self.mask_bias(tokens[:, 1 : 1 + self.num_mask_tokens][:, chosen])
        low = torch.baddbmm(offset, weights, _last(x).flatten(1, 2).transpose(1, 2)).view(len(sparse), -1, 4 * h, 4 * w)
        return low.float(), self.iou_prediction_head(tokens[:, 0])[:, chosen].float()


def _of(x: Tensor, owner: Tensor | None) -> Tensor:
    return x if owner is None else x[owner]


def _mixed(maps: Tensor, layer: nn.Linear) -> Tensor:
    """[B, K, h, w] through a layer on the channels -> [B, h * w, C]."""
    out: Tensor = layer(maps.flatten(2).transpose(1, 2))
    return out


def _last(x: Tensor) -> Tensor:
    return x.permute(0, 2, 3, 1)


def _first(x: Tensor, height: int) -> Tensor:
    """[B, h * w, C] -> [B, C, h, w]."""
    return x.view(len(x), height, -1, x.shape[-1]).permute(0, 3, 1, 2)
