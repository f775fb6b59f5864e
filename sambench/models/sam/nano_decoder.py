"""The decoder side of `sam_nano`: SAM's tokens and two-way transformer, with prompts and image also met at strides 8 and 4.

At width 128 and with hours of training, not weeks, position has to be given, not learned: besides its Fourier features a prompt's
token gets the image feature under it, and clicks, box and earlier mask are also drawn as maps that join the upscaling.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sambench.models.sam.layers import LayerNorm2d
from sambench.models.sam.mask_decoder import DecoderInput, MaskDecoder
from sambench.models.sam.transformer import TwoWayTransformer

CLICK_SIGMAS_PX = (5.0, 20.0)  # of the input frame
N_MAPS = 2 * len(CLICK_SIGMAS_PX) + 3
N_AFFINITIES = 4  # of the image to what lies under a click, for foreground and background clicks each
LOW_STRIDE = 4  # input pixels a cell of the low-resolution masks


@dataclass(frozen=True)
class NanoInput(DecoderInput):
    """B images' side of the decoder (B = 1 in use, more in training). fine8 [B, 32, 2h, 2w], fine4 [B, 16, 4h, 4w]."""

    fine8: Tensor
    fine4: Tensor


def draw_maps(
    size: tuple[int, int],
    points_xy: Tensor | None,
    labels: Tensor | None,
    boxes_xyxy: Tensor | None,
    masks: Tensor | None,
    batch: int,
) -> Tensor:
    """Prompts as maps float32 [B, N_MAPS, 4h, 4w] for an embedding of size (h, w).

    points_xy [B, N, 2] in pixels of the map's own frame (an input crop), labels [B, N] (1, 0, or -1 for none); boxes_xyxy [B, 4],
    NaN for none; masks [B, 1, 4h, 4w], logits, NaN for none. Channels: foreground clicks and background clicks, as bells of each width;
    the box's inside and its bell; the mask, squashed.
    """
    height, width = LOW_STRIDE * size[0], LOW_STRIDE * size[1]
    ref = next(t for t in (points_xy, boxes_xyxy, masks) if t is not None)
    out = torch.zeros(batch, N_MAPS, height, width, device=ref.device)
    y = torch.arange(height, device=ref.device) * float(LOW_STRIDE) + (LOW_STRIDE - 1) / 2
    x = torch.arange(width, device=ref.device) * float(LOW_STRIDE) + (LOW_STRIDE - 1) / 2
    if points_xy is not None and labels is not None and points_xy.shape[1]:
        dx, dy = x - points_xy[..., 0:1], y - points_xy[..., 1:2]
        for i, label in enumerate((1, 0)):
            on = (labels == label).to(x.dtype)[..., None]
            for j, sigma in enumerate(CLICK_SIGMAS_PX):
                # A bell is the product of two, one an axis; the sum over clicks is then a matrix product.
                rows, cols = torch.exp(-0.5 * (dy / sigma) ** 2) * on, torch.exp(-0.5 * (dx / sigma) ** 2)
                torch.matmul(rows.transpose(1, 2), cols, out=out[:, i * len(CLICK_SIGMAS_PX) + j])
    if boxes_xyxy is not None:
        there = ~boxes_xyxy.isnan().any(dim=1)
        x0, y0, x1, y1 = (v[:, None] for v in torch.nan_to_num(boxes_xyxy).unbind(1))
        inside_x = torch.sigmoid(torch.minimum(x - x0, x1 - x) + 0.5) * there[:, None]
        inside_y = torch.sigmoid(torch.minimum(y - y0, y1 - y) + 0.5)
        out[:, -3] = inside_y[:, :, None] * inside_x[:, None, :]
        bell_x = torch.exp(-2 * ((2 * x - x0 - x1) / (x1 - x0 + 4)) ** 2) * there[:, None]
        bell_y = torch.exp(-2 * ((2 * y - y0 - y1) / (y1 - y0 + 4)) ** 2)
        out[:, -2] = bell_y[:, :, None] * bell_x[:, None, :]
    if masks is not None:
        out[:, -1] = torch.tanh(torch.nan_to_num(masks[:, 0]) * 0.5)
    return out


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
        self.transformer = NanoTransformer(depth=2, embedding_dim=transformer_dim, num_heads=num_heads, mlp_dim=mlp_dim)
        c, (c8, c4) = transformer_dim, fine_chans
        self.maps16 = nn.Linear(N_MAPS + 2 * N_AFFINITIES, c)
        self.maps8 = nn.Linear(N_MAPS + 2 * N_AFFINITIES, c8)
        self.maps4 = nn.Linear(N_MAPS, c4)
        self.point_feature = nn.Linear(c + c8 + c4, c)
        self.corner_feature = nn.Linear(c + c8 + c4, c)
        self.affinity_query = nn.Linear(c + c8 + c4, c8)
        self.to8 = nn.Linear(c, c8)
        self.norm8 = LayerNorm2d(c8)
        self.conv8 = nn.Conv2d(c8, c8, 3, padding=1)
        self.to4 = nn.Conv2d(c8, c4, 1)
        self.conv4 = nn.Conv2d(c4, c4, 3, padding=1)
        for i, net in enumerate(self.output_hypernetworks_mlps):
            net.layers[-1] = nn.Linear(c, c4)
            self.output_hypernetworks_mlps[i] = net
        self.mask_bias = nn.Linear(c, 1)

    def under(self, state: NanoInput, points_xy: Tensor, owner: Tensor | None = None) -> Tensor:
        """Image features [B, N, c + c8 + c4] under points [B, N, 2] in pixels of the input. owner: the image of each prompt, default 0."""
        h, w = state.size
        whose = torch.zeros(len(points_xy), dtype=torch.long, device=points_xy.device) if owner is None else owner
        image = state.image.view(-1, h, w, state.image.shape[-1]).permute(0, 3, 1, 2)
        parts = []
        for stride, level in ((16, image), (8, state.fine8), (4, state.fine4)):
            # Pixel centres are at whole numbers: pixels 0..3 are cell 0 at stride 4.
            cell = ((points_xy + 0.5) / stride).long()
            x, y = cell[..., 0].clamp(0, level.shape[3] - 1), cell[..., 1].clamp(0, level.shape[2] - 1)
            parts.append(level.permute(0, 2, 3, 1)[whose[:, None], y, x])
        return torch.cat(parts, dim=-1)

    def affinities(self, state: NanoInput, points_xy: Tensor, labels: Tensor, owner: Tensor | None = None) -> Tensor:
        """How alike the image is to what lies under the clicks [B, 2 * N_AFFINITIES, 2h, 2w]: foreground, then background; 0 without."""
        query = self.affinity_query(self.under(state, points_xy, owner)).unflatten(2, (N_AFFINITIES, -1))
        keys = state.fine8.unflatten(1, (N_AFFINITIES, -1))
        keys = keys.expand(len(query), -1, -1, -1, -1) if owner is None else keys[owner]
        # [B, heads, clicks, d] x [B, heads, d, positions]
        alike = torch.matmul(query.transpose(1, 2) * query.shape[-1] ** -0.5, keys.flatten(3))
        parts = []
        for label in (1, 0):
            on = (labels == label)[:, None, :, None]
            best = torch.where(on, alike, -30.0).amax(dim=2)
            parts.append(torch.where(on.any(dim=2), best, 0.0))
        return torch.cat(parts, dim=1).unflatten(2, keys.shape[-2:])

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
        """sparse [B, T, C], dense [B or 1, N or 1, C], maps [B, N_MAPS, 4h, 4w] -> logits [B, M, 4h, 4w], predicted IoU [B, M].

        affinities [B, 2 * N_AFFINITIES, 2h, 2w]. chosen: which of the four masks. owner: the image of each prompt [B], default all of image 0.
        """
        h, w = state.size
        kind = state.image.dtype
        sparse, dense, maps = sparse.to(kind), dense.to(kind), maps.to(kind)
        maps8 = torch.cat((F.avg_pool2d(maps, 2), affinities.to(kind)), dim=1)
        drawn = self.maps16(_last(F.avg_pool2d(maps8, 2))).flatten(1, 2)
        pick = (lambda t: t) if owner is None else (lambda t: t[owner])
        image_pe = state.image_pe if owner is None or state.image_pe.ndim == 2 else state.image_pe[owner]
        tokens, image = self.transformer(pick(state.image) + (dense + drawn), image_pe, self.tokens(sparse))
        x = _twice(_first(self.to8(image).unflatten(1, (h, w))))
        x = x + (pick(state.fine8) + _first(self.maps8(_last(maps8))))
        x = x + self.conv8(F.relu(self.norm8(x)))
        x = _twice(self.to4(F.relu(x)))
        x = F.relu(x + (pick(state.fine4) + _first(self.maps4(_last(maps)))))
        x = F.relu(x + self.conv4(x))
        weights = self.hypernetworks(tokens, chosen)
        offset = self.mask_bias(tokens[:, 1 : 1 + self.num_mask_tokens][:, chosen])
        low = torch.baddbmm(offset, weights, _last(x).flatten(1, 2).transpose(1, 2)).unflatten(2, (4 * h, 4 * w))
        return low.float(), self.iou_prediction_head(tokens[:, 0])[:, chosen].float()


def _last(x: Tensor) -> Tensor:
    return x.permute(0, 2, 3, 1)


def _first(x: Tensor) -> Tensor:
    return x.permute(0, 3, 1, 2)


def _twice(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2.0, mode="nearest")
