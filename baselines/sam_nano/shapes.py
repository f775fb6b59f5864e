"""Outlines, masks and textures that the training pictures of `sam_nano` are made of. Everything comes from a numpy Generator."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

Rng = np.random.Generator
F32 = npt.NDArray[np.float32]
U8 = npt.NDArray[np.uint8]


def smooth_noise(rng: Rng, h: int, w: int, cell: float) -> F32:
    """float32 [h, w], about -1..1, varying over `cell` pixels."""
    gh, gw = int(h / cell) + 3, int(w / cell) + 3
    grid = rng.standard_normal((gh, gw), dtype=np.float32)
    big = cv2.resize(grid, (int(gw * cell) + 1, int(gh * cell) + 1), interpolation=cv2.INTER_CUBIC)
    y, x = int(cell / 2), int(cell / 2)
    return big[y : y + h, x : x + w] * 0.8


def fractal(rng: Rng, h: int, w: int, cell: float, persistence: float = 0.55) -> F32:
    """Octaves of smooth noise from `cell` pixels down to 2."""
    out, gain, total = np.zeros((h, w), np.float32), 1.0, 0.0
    while cell >= 2 and gain > 0.05:
        out += gain * smooth_noise(rng, h, w, cell)
        total += gain * gain
        cell, gain = cell / 2, gain * persistence
    return out / np.float32(max(total, 1e-6) ** 0.5)


def texture(rng: Rng, n: int) -> F32:
    """float32 [n, n] in about -1..1: one of many kinds."""
    kind = rng.choice(["fractal", "grain", "stripes", "warped", "checks", "dots", "rings", "bricks", "veins", "hairs"])
    if kind == "fractal":
        return fractal(rng, n, n, float(rng.uniform(8, 120)), float(rng.uniform(0.4, 0.9)))
    if kind == "grain":
        return np.clip(rng.standard_normal((n, n), dtype=np.float32) * 0.6, -1.5, 1.5)
    y, x = np.mgrid[0:n, 0:n].astype(np.float32)
    a = rng.uniform(0, np.pi)
    u, v = x * np.float32(np.cos(a)) + y * np.float32(np.sin(a)), y * np.float32(np.cos(a)) - x * np.float32(np.sin(a))
    period = np.float32(rng.uniform(4, 40))
    if kind == "stripes":
        wave = np.sin(u * (2 * np.pi / period))
        return wave if rng.random() < 0.5 else np.sign(wave)
    if kind == "warped":
        u = u + smooth_noise(rng, n, n, 40) * period
        return np.sin(u * (2 * np.pi / period))
    if kind == "checks":
        return np.sign(np.sin(u * (2 * np.pi / period)) * np.sin(v * (2 * np.pi / period)))
    if kind == "dots":
        return np.where(np.cos(u * (2 * np.pi / period)) + np.cos(v * (2 * np.pi / period)) > 0.8, 1, -0.3).astype(np.float32)
    if kind == "rings":
        cx, cy = rng.uniform(0, n, 2)
        return np.sin(np.hypot(x - np.float32(cx), y - np.float32(cy)) * (2 * np.pi / period) + smooth_noise(rng, n, n, 60))
    if kind == "bricks":
        row = np.floor(v / (period * 0.5))
        joint = (v % (period * 0.5) < 1.5) | ((u + row % 2 * period * 0.5) % period < 1.5)
        return np.where(joint, -1, 0.3).astype(np.float32) + 0.2 * smooth_noise(rng, n, n, 6)
    if kind == "veins":
        return 1 - 3 * np.minimum(np.abs(fractal(rng, n, n, float(rng.uniform(20, 90)))), 0.6)
    out = rng.standard_normal((n, n), dtype=np.float32)
    k = np.zeros((15, 15), np.float32)
    cv2.line(k, (int(7 - 7 * np.cos(a)), int(7 - 7 * np.sin(a))), (int(7 + 7 * np.cos(a)), int(7 + 7 * np.sin(a))), 1.0)
    return cv2.filter2D(out, -1, k / np.sqrt(k.sum()))


def outline(rng: Rng, size: float, kind: str | None = None) -> F32:
    """float32 [n, 2]: a closed outline around the origin, extending about `size` pixels."""
    kind = kind or str(
        rng.choice(["blob", "ellipse", "polygon", "star", "box", "lump", "leaf", "gear", "cross", "crescent", "triangle"])
    )
    t = np.linspace(0, 2 * np.pi, 48 if size < 40 else 96, endpoint=False)
    if kind == "polygon":
        t = np.sort(rng.uniform(0, 2 * np.pi, int(rng.integers(4, 9))))
        r = rng.uniform(0.6, 1.0, len(t))
    elif kind == "triangle":
        t = np.array([0, 2.1, 4.2]) + rng.uniform(-0.5, 0.5, 3)
        r = np.ones(3)
    elif kind == "star":
        n = int(rng.integers(4, 9))
        t = np.arange(2 * n) * np.pi / n
        r = np.where(np.arange(2 * n) % 2 == 0, 1.0, rng.uniform(0.35, 0.7))
    elif kind == "gear":
        r = 0.85 + 0.15 * np.sign(np.sin(t * rng.integers(6, 14)))
    elif kind == "leaf":
        r = np.abs(np.cos(t / 2)) ** rng.uniform(0.4, 1.0)
    elif kind == "lump":
        r = 1 + sum(rng.normal(0, 0.35 / k) * np.cos(k * t + rng.uniform(0, 6.3)) for k in range(2, 9))
        r = np.clip(r, 0.25, 1.8) / 1.3
    elif kind == "blob":
        r = 1 + sum(rng.normal(0, 0.16 / k) * np.cos(k * t + rng.uniform(0, 6.3)) for k in range(2, 6))
        r = np.clip(r, 0.4, 1.5)
    else:
        r = np.ones(len(t))
    p = np.stack([r * np.cos(t), r * np.sin(t)], axis=1)
    if kind == "box":
        b = rng.uniform(0.3, 1.0)
        e = rng.uniform(2, 12)
        p = np.sign(p) * np.abs(p) ** (2 / e) * (1, b)
    elif kind == "cross":
        w = rng.uniform(0.2, 0.45)
        p = np.array([(w, 1), (w, w), (1, w), (1, -w), (w, -w), (w, -1), (-w, -1), (-w, -w), (-1, -w), (-1, w), (-w, w), (-w, 1)])
    elif kind == "crescent":
        x, y = np.cos(t), np.sin(t)
        p = np.stack([np.where(x > 0, x * rng.uniform(-0.2, 0.6), x), y], axis=1)
    stretch = 1.0 if rng.random() < 0.3 else rng.uniform(0.35, 1.0)
    p = p * (1, stretch)
    a = rng.uniform(0, 2 * np.pi) if kind != "box" or rng.random() < 0.6 else rng.normal(0, 0.03)
    c, s = np.cos(a), np.sin(a)
    return (p @ np.array([[c, s], [-s, c]]) * size).astype(np.float32)


def stamp(rng: Rng, size: float, kind: str | None = None) -> U8:
    """uint8 [h, w], 0 or 255: a filled shape, a ring, a stroke, letters, a branching line or a clump of noise."""
    kind = kind or str(rng.choice(["fill", "ring", "stroke", "text", "branch", "clump"], p=[0.68, 0.08, 0.07, 0.06, 0.04, 0.07]))
    size = max(size, 2.0)
    half = int(size * 1.9) + 3
    out = np.zeros((2 * half + 1, 2 * half + 1), np.uint8)
    if kind in ("fill", "ring"):
        p = outline(rng, size)
        _fill(out, p + half, 255)
        if kind == "ring":
            _fill(out, p * rng.uniform(0.4, 0.8) + half, 0)
    elif kind == "stroke":
        steps = np.cumsum(rng.normal(0, 0.35, 24))
        p = np.cumsum(np.stack([np.cos(steps), np.sin(steps)], axis=1), axis=0)
        p = (p - p.mean(0)) / max(np.abs(p - p.mean(0)).max(), 1e-6) * size + half
        thick = int(max(1, rng.uniform(0.05, 0.25) * size))
        cv2.polylines(out, [np.round(p * 16).astype(np.int32)], False, 255, min(thick, 24), cv2.LINE_8, 4)
    elif kind == "branch":
        for _ in range(int(rng.integers(3, 8))):
            a, r = rng.uniform(0, 6.3), size * rng.uniform(0.5, 1.0)
            b = a + rng.normal(0, 0.4)
            mid = (half + r * 0.5 * np.cos(a), half + r * 0.5 * np.sin(a))
            end = (half + r * np.cos(b), half + r * np.sin(b))
            p = np.array([(half, half), mid, end])
            cv2.polylines(
                out, [np.round(p * 16).astype(np.int32)], False, 255, max(1, int(size * rng.uniform(0.04, 0.16))), cv2.LINE_8, 4
            )
    elif kind == "text":
        text = "".join(rng.choice(list("ABCDEFGHJKLMNPRSTUVWXYZ0123456789&%@?abdefghkmnpqrstuwyz"), int(rng.integers(1, 3))))
        font, scale = int(rng.choice([0, 2, 3, 4, 6])), size / 16
        thick = max(1, int(size * rng.uniform(0.1, 0.3)))
        (w, h), _ = cv2.getTextSize(text, font, scale, thick)
        cv2.putText(out, text, (half - w // 2, half + h // 2), font, scale, 255, thick, cv2.LINE_8)
    else:
        n = fractal(rng, *out.shape, max(size * 0.8, 3.0))
        y, x = np.mgrid[-1 : 1 : out.shape[0] * 1j, -1 : 1 : out.shape[1] * 1j]
        out[:] = (n - 3.5 * (x * x + y * y) > -0.9) * np.uint8(255)
    return out


def _fill(out: U8, p: F32, value: int) -> None:
    cv2.fillPoly(out, [np.round(p * 16).astype(np.int32)], value, cv2.LINE_8, 4)
