"""Edge non-maximum suppression: both flavours against a pixel-by-pixel version, and on crests whose answer is known."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from sambench.errors import DataError
from sambench.pixels.edge_maps import canny_nms, dollar_nms, ridge_direction


def sample(e: np.ndarray, y: float, x: float) -> float:
    """Bilinear value of the map, clamped to the image."""
    y, x = min(max(y, 0.0), e.shape[0] - 1.0), min(max(x, 0.0), e.shape[1] - 1.0)
    i, j = min(int(y), e.shape[0] - 2), min(int(x), e.shape[1] - 2)
    dy, dx = y - i, x - j
    top = (1 - dx) * e[i, j] + dx * e[i, j + 1]
    bottom = (1 - dx) * e[i + 1, j] + dx * e[i + 1, j + 1]
    return (1 - dy) * top + dy * bottom


def slow_canny(e: np.ndarray, gx: np.ndarray, gy: np.ndarray) -> np.ndarray:
    out = np.zeros(e.shape)
    for y, x in np.ndindex(e.shape):
        longest = max(abs(gx[y, x]), abs(gy[y, x]))
        sy, sx = gy[y, x] / longest, gx[y, x] / longest
        if e[y, x] >= sample(e, y - sy, x - sx) and e[y, x] > sample(e, y + sy, x + sx):
            out[y, x] = e[y, x]
    return out


def slow_dollar(e: np.ndarray, m: float, s: int) -> np.ndarray:
    height, width = e.shape
    triangle = np.array([1, 2, 3, 4, 5, 4, 3, 2, 1]) / 25
    smooth = np.pad(e, 4, mode="symmetric")
    smooth = np.apply_along_axis(np.convolve, 0, smooth, triangle, "valid")
    smooth = np.apply_along_axis(np.convolve, 1, smooth, triangle, "valid")

    def d(f: np.ndarray, axis: int) -> np.ndarray:
        f = np.moveaxis(f, axis, 0)
        out = np.empty(f.shape)
        out[1:-1] = (f[2:] - f[:-2]) / 2
        out[0], out[-1] = f[1] - f[0], f[-1] - f[-2]
        return np.moveaxis(out, 0, axis)

    oxx, oxy, oyy = d(d(smooth, 1), 1), d(d(smooth, 1), 0), d(d(smooth, 0), 0)
    out = np.zeros(e.shape)
    for y, x in np.ndindex(e.shape):
        angle = math.atan(oyy[y, x] * (-1 if oxy[y, x] > 0 else 1) / (oxx[y, x] + 1e-5)) % math.pi
        beside = [sample(e, y + k * math.sin(angle), x + k * math.cos(angle)) for k in (-1, 1)]
        if m * e[y, x] >= max(beside):
            out[y, x] = e[y, x] * math.prod(min(k, s) / s for k in (x, width - 1 - x, y, height - 1 - y))
    return out


def soft_map(seed: int, shape: tuple[int, int] = (31, 44)) -> np.ndarray:
    e = gaussian_filter(np.random.default_rng(seed).random(shape), 1.5)
    return ((e - e.min()) / (e.max() - e.min())).astype(np.float32)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_canny_flavour_pixel_by_pixel(seed: int) -> None:
    image = soft_map(seed)
    gx, gy = cv2.Sobel(image, cv2.CV_32F, 1, 0), cv2.Sobel(image, cv2.CV_32F, 0, 1)
    gx += (gx == 0) * np.float32(1e-12)
    e = np.hypot(gx, gy)
    ours, slow = canny_nms(e, gx, gy), slow_canny(e.astype(float), gx.astype(float), gy.astype(float))
    assert ours.dtype == np.float32
    assert ours == pytest.approx(slow, abs=1e-7)
    assert 0.03 < (ours > 0).mean() < 0.4


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_dollar_flavour_pixel_by_pixel(seed: int) -> None:
    e = soft_map(seed)
    ours, slow = dollar_nms(e), slow_dollar(e.astype(float), 1.01, 5)
    assert ours.dtype == np.float32
    assert ours == pytest.approx(slow, abs=1e-6)
    assert 0.03 < (ours > 0).mean() < 0.6


def ridge(normal_deg: float, size: int = 61) -> tuple[np.ndarray, np.ndarray]:
    """A straight ridge through the middle, and each pixel's distance from its crest."""
    y, x = np.mgrid[:size, :size] - size // 2
    t = math.radians(normal_deg)
    off = x * math.cos(t) + y * math.sin(t)
    return np.exp(-((off / 3) ** 2)).astype(np.float32), off


@pytest.mark.parametrize("normal_deg", [0, 20, 45, 70, 90, 110, 135, 160])
def test_straight_crests(normal_deg: float) -> None:
    e, off = ridge(normal_deg)
    angle = np.degrees(ridge_direction(e))[20:41, 20:41][abs(off[20:41, 20:41]) < 1]
    error = abs((angle - normal_deg + 90) % 180 - 90).max()
    assert error < (1 if normal_deg % 45 == 0 else 12)
    t = math.radians(normal_deg)
    for kept in (dollar_nms(e), canny_nms(e, np.full(e.shape, math.cos(t)), np.full(e.shape, math.sin(t)))):
        inner, inner_off = kept[10:51, 10:51] > 0, off[10:51, 10:51]
        assert inner[abs(inner_off) < 0.3].all()
        assert not inner[(abs(inner_off) > 1.01) & (abs(inner_off) < 6)].any()
        assert (kept[kept > 0] <= e[kept > 0]).all()


def test_a_crest_two_pixels_wide() -> None:
    """Canny's keeps one of two equal pixels; the other flavour keeps both, and one that is within a percent."""
    e = np.zeros((20, 20), np.float32)
    e[:, 9:11] = 0.5
    along_x = np.ones(e.shape)
    assert (canny_nms(e, along_x, along_x * 0) > 0).sum(axis=1).tolist() == [1] * 20
    assert np.flatnonzero(dollar_nms(e)[10]).tolist() == [9, 10]
    e[:, 10] = 0.504
    assert np.flatnonzero(dollar_nms(e)[10]).tolist() == [9, 10]
    e[:, 10] = 0.506
    assert np.flatnonzero(dollar_nms(e)[10]).tolist() == [10]
    assert np.flatnonzero(canny_nms(e, -along_x, along_x * 0)[10]).tolist() == [10]


def test_transposing_commutes() -> None:
    e = soft_map(7)
    gx, gy = soft_map(8) - 0.5, soft_map(9) - 0.5
    assert (canny_nms(e.T, gy.T, gx.T) == canny_nms(e, gx, gy).T).all()


def test_border_fades() -> None:
    e, _ = ridge(90)
    crest = dollar_nms(e)[30]
    assert crest[:7] == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1, 1])
    assert crest[-3:] == pytest.approx([0.4, 0.2, 0])
    assert dollar_nms(e, suppress_border_px=0)[30] == pytest.approx(np.ones(61))


def test_empty_and_flat_maps_stay_empty() -> None:
    zeros = np.zeros((12, 15), np.float32)
    assert not canny_nms(zeros, zeros, zeros).any()
    assert not dollar_nms(zeros).any()
    assert not canny_nms(zeros + 0.5, zeros, zeros).any()  # no crest


def test_maps_that_do_not_fit_are_refused() -> None:
    e = np.zeros((5, 6), np.float32)
    for bad in ((e[None], e[None], e[None]), (e, e.T, e.T), (e[:1], e[:1], e[:1])):
        with pytest.raises(DataError):
            canny_nms(*bad)
    with pytest.raises(DataError):
        dollar_nms(e[0])
