"""The prompts of `sam_nano` as maps at stride 4: where was clicked, what has the clicks' colour, what of it hangs together.

Nothing here is learned. At this size, position and colour are better given than learned.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from sambench.models.sam.nano_layers import NanoInput, halved, twice

STRIDE = 4  # input pixels a cell
CLICK_SIGMAS_PX = (5.0, 20.0)
COLOUR_SIGMAS = (0.3, 1.0)  # of the picture's own spread of colours
FLOOD_STEPS = 16  # of one cell at stride 8
N_DRAWN = 2 * len(CLICK_SIGMAS_PX) + 3
N_MAPS = N_DRAWN + 3 * len(COLOUR_SIGMAS)


def draw_maps(
    size: tuple[int, int],
    points_xy: Tensor | None,
    labels: Tensor | None,
    boxes_xyxy: Tensor | None,
    masks: Tensor | None,
    batch: int,
) -> Tensor:
    """Where the prompts are: float32 [B, N_DRAWN, 4h, 4w] for an embedding of size (h, w).

    points_xy [B, N, 2] in pixels of the input, labels [B, N] (1, 0, or -1 for none); boxes_xyxy [B, 4], NaN for none; masks
    [B, 1, 4h, 4w], logits. Channels: foreground clicks, then background clicks, as bells of each width; the box's inside and its
    bell; the mask, squashed.
    """
    height, width = STRIDE * size[0], STRIDE * size[1]
    device = next(t for t in (points_xy, boxes_xyxy, masks) if t is not None).device
    out = torch.zeros(batch, N_DRAWN, height, width, device=device)
    y = torch.arange(height, device=device) * float(STRIDE) + (STRIDE - 1) / 2
    x = torch.arange(width, device=device) * float(STRIDE) + (STRIDE - 1) / 2
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
        out[:, -1] = torch.tanh(masks[:, 0] * 0.5)
    return out


@torch.no_grad()
def colour_maps(state: NanoInput, points_xy: Tensor, labels: Tensor, owner: Tensor | None = None) -> Tensor:
    """What has the colour of the clicks, and what of it is connected with them: float32 [B, 3 * len(COLOUR_SIGMAS), 4h, 4w].

    Per width of COLOUR_SIGMAS: likeness to the nearest foreground click's colour, to the nearest background click's, and the first
    along the best path from a click (seeded region growing, at stride 8). owner [B]: the image of each prompt, default image 0.
    """
    b, n = points_xy.shape[:2]
    whose = torch.zeros(b, dtype=torch.long, device=points_xy.device) if owner is None else owner
    height, width = state.colours.shape[2:]
    cell = ((points_xy + 0.5) / STRIDE).long()
    x, y = cell[..., 0].clamp(0, width - 1), cell[..., 1].clamp(0, height - 1)
    clicked = state.smooth.permute(0, 2, 3, 1)[whose[:, None], y, x]
    flat = state.colours.flatten(2)
    flat = flat.expand(b, -1, -1) if owner is None else flat[owner]
    squared = flat.square().sum(1, keepdim=True) + clicked.square().sum(2, keepdim=True) - 2 * torch.matmul(clicked, flat)
    out = torch.zeros(b, 3 * len(COLOUR_SIGMAS), height, width, device=points_xy.device)
    for i, label in enumerate((1, 0)):
        on = (labels == label)[..., None]
        nearest = torch.where(on, squared, 1e4).amin(dim=1).clamp(min=0).view(b, height, width)
        for j, sigma in enumerate(COLOUR_SIGMAS):
            torch.exp(nearest * (-0.5 / sigma**2), out=out[:, 3 * j + i])
    like = halved(out[:, 0::3])
    reach = torch.zeros_like(like)
    on = labels == 1
    rows = torch.arange(b, device=points_xy.device)[:, None].expand(b, n)[on]
    y8, x8 = (y // 2)[on], (x // 2)[on]
    reach[rows, :, y8, x8] = like[rows, :, y8, x8]
    for _ in range(FLOOD_STEPS):
        reach = torch.minimum(_spread(reach), like)
    out[:, 2::3] = twice(reach)
    return out


def hinted(points_xy: Tensor | None, labels: Tensor | None, boxes_xyxy: Tensor | None) -> tuple[Tensor | None, Tensor | None]:
    """The clicks, and what a box says of colours: its middle is likely foreground, its corners are likely background.

    points_xy [B, N, 2] and labels [B, N], boxes_xyxy [B, 4] (NaN for none) -> [B, 5 + N, 2] and [B, 5 + N] if there are boxes.
    """
    if boxes_xyxy is None:
        return points_xy, labels
    there = ~boxes_xyxy.isnan().any(dim=1, keepdim=True)
    x0, y0, x1, y1 = torch.nan_to_num(boxes_xyxy).unbind(1)
    x = torch.stack(((x0 + x1) / 2, x0, x1, x0, x1), dim=1)
    y = torch.stack(((y0 + y1) / 2, y0, y0, y1, y1), dim=1)
    hints = torch.stack((x, y), dim=2)
    kinds = torch.where(there, torch.tensor([1, 0, 0, 0, 0], device=x.device), -1).to(torch.int8)
    if points_xy is None or labels is None:
        return hints, kinds
    return torch.cat((hints, points_xy), dim=1), torch.cat((kinds, labels), dim=1)


def prompt_maps(
    state: NanoInput,
    points_xy: Tensor | None,
    labels: Tensor | None,
    boxes_xyxy: Tensor | None,
    masks: Tensor | None,
    batch: int,
    owner: Tensor | None = None,
    *,
    box_hints: bool = True,
) -> Tensor:
    """All maps of B prompts, float32 [B, N_MAPS, 4h, 4w]: `draw_maps`, then `colour_maps` (zeros without points and boxes)."""
    drawn = draw_maps(state.size, points_xy, labels, boxes_xyxy, masks, batch)
    points_xy, labels = hinted(points_xy, labels, boxes_xyxy if box_hints else None)
    if points_xy is None or labels is None:
        colours = drawn.new_zeros(batch, N_MAPS - N_DRAWN, *drawn.shape[2:])
    else:
        colours = colour_maps(state, points_xy, labels, owner)
    return torch.cat((drawn, colours), dim=1)


def smoothed(colours: Tensor) -> Tensor:
    """[B, 3, h, w], averaged over 3 x 3 cells."""
    return F.avg_pool2d(colours, 3, 1, 1, count_include_pad=False)


def _spread(x: Tensor) -> Tensor:
    """The largest of each 3 x 3 neighbourhood, for values of 0 and above."""
    x = F.pad(x, (1, 1, 1, 1))
    x = torch.maximum(torch.maximum(x[..., :-2], x[..., 1:-1]), x[..., 2:])
    return torch.maximum(torch.maximum(x[..., :-2, :], x[..., 1:-1, :]), x[..., 2:, :])
