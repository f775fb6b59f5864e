"""Files as they come from broken tools and hostile hands: seeded mutations of valid ones."""

from __future__ import annotations

import copy
import json
import random
from typing import Any

NESTED, HUGE = "@nested@", "@huge@"  # written into the text afterwards: Python's own encoder has no form for them
ODD: list[Any] = [
    None, True, False, 0, 1, -1, 2, 64, 2**31, 2**32 + 1, 2**53 + 1, 2**63, 10**18, 10**400, -(10**20), 0.0, 0.5, -0.5, 1e-320, 1e9,
    1e300, float("nan"), float("inf"), -float("inf"), "", "0", "1", "1.0", "nan", "x", "../../x", "/etc/hostname", "a\0b", "\ud800",
    "C:\\x\\y.png", "9" * 50, "é\n", [], {}, [[]], [{}], [None], [1, 2, 3, 4], [[1, 1, 9, 1, 9, 9]],
    {"size": [4, 4], "counts": "04"}, {"size": [4, 4], "counts": [16]}, {"size": [50000, 50000], "counts": [2500000000]},
    NESTED, HUGE,
]  # fmt: skip


def mutated_json(raw: bytes, rng: random.Random) -> bytes:
    """A valid JSON file with one to four places changed: types swapped, keys deleted, values doubled, moved or made absurd."""
    try:
        content = json.loads(raw)
    except ValueError:  # what archives made on a Mac add
        return mutated_bytes(raw, rng)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        content = _changed(content, rng)
    text = json.dumps(content)
    depth = rng.choice((90, 700, 990, 5000))
    text = text.replace(json.dumps(NESTED), rng.choice(("[" * depth + "]" * depth, '{"a":' * depth + "1" + "}" * depth)))
    return text.replace(json.dumps(HUGE), "9" * rng.choice((400, 5000))).encode()


def mutated_bytes(raw: bytes, rng: random.Random) -> bytes:
    """A file with bytes flipped, cut off, left out, doubled or put in."""
    out = bytearray(raw)
    for _ in range(rng.choice((1, 1, 2, 8))):
        at = rng.randrange(len(out)) if out else 0
        kind = rng.randrange(6)
        if kind == 0 and out:
            out[at] ^= 1 << rng.randrange(8)
        elif kind == 1 and out:
            out[at] = rng.randrange(256)
        elif kind == 2:
            del out[at:]
        elif kind == 3:
            del out[at : at + rng.choice((1, 4, 64))]
        elif kind == 4:
            out[at:at] = out[at : at + rng.choice((1, 16, 256))]
        else:
            out[at:at] = bytes(rng.randrange(256) for _ in range(rng.choice((1, 8))))
    return bytes(out)


def mutated(raw: bytes, name: str, rng: random.Random) -> bytes:
    """Either, by the file's name."""
    if name.endswith(".json") and rng.random() < 0.75:
        return mutated_json(raw, rng)
    if name.endswith(".csv") and rng.random() < 0.5:
        return _table(raw, rng)
    return mutated_bytes(raw, rng)


def _table(raw: bytes, rng: random.Random) -> bytes:
    rows = [line.split(",") for line in raw.decode().splitlines()]
    row = rng.choice(rows)
    value = rng.choice([v for v in ODD if not isinstance(v, list | dict) and v not in (NESTED, HUGE, "\ud800")])
    row[rng.randrange(len(row))] = str(value)[:60]
    return "\n".join(",".join(r) for r in rows).encode()


def _changed(content: Any, rng: random.Random) -> Any:
    """The value with one place in it changed; a container is walked into, so that deep places are met as often as shallow ones."""
    if isinstance(content, dict | list) and content and rng.random() < 0.9:
        key = rng.choice(list(content)) if isinstance(content, dict) else rng.randrange(len(content))
        kind = rng.random()
        if kind < 0.06:
            del content[key]
        elif kind < 0.09 and isinstance(content, list):
            content.append(content[key])
        elif kind < 0.12:
            other = rng.choice(list(content)) if isinstance(content, dict) else rng.randrange(len(content))
            content[key], content[other] = content[other], content[key]
        else:
            content[key] = _changed(content[key], rng)
        return content
    kind = rng.random()
    if kind < 0.2 and isinstance(content, int | float | str):
        try:
            return rng.choice((str(content), float(content), -float(content), float(content) * 1e6, [content]))
        except (ValueError, OverflowError):
            return [content]
    return copy.deepcopy(rng.choice(ODD))
