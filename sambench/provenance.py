"""Where a number comes from: canonical hashes, identities, file digests, versions of everything that computed it."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from sambench import __version__

# The key of the order in which images are drawn. Fixed for ever: every `--limit` and every redrawn subset depends on it.
ORDER_KEY = b"sambench/1"


def canonical_json(value: Any) -> str:
    """One text per value: sorted keys, no spaces, floats as Python repr.

    Raises TypeError on what JSON has no form for, ValueError on NaN and infinities.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def digest(value: Any) -> str:
    """sha256 hex of the canonical JSON of `value`."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def keyed_hash(*parts: str) -> int:
    """A 64-bit number that depends on the parts alone, the same on every machine."""
    h = hashlib.blake2b(key=ORDER_KEY, digest_size=8)
    for part in parts:
        raw = part.encode()
        h.update(len(raw).to_bytes(8, "big") + raw)
    return int.from_bytes(h.digest(), "big")


def keyed_order(ids: Iterable[str], dataset: str) -> list[str]:
    """The ids in keyed-hash order: the same everywhere, and unrelated to their names (docs/protocol.md, "Subsets")."""
    return sorted(ids, key=lambda i: (keyed_hash(dataset, i), i))


def environment() -> dict[str, Any]:
    """What computed: versions, platform, git state. Recorded beside results, never part of an identity."""
    from importlib import metadata

    versions = {}
    for name in (
        "numpy",
        "scipy",
        "opencv-python-headless",
        "opencv-python",
        "pycocotools",
        "pandas",
        "pyarrow",
        "torch",
        "transformers",
        "timm",
        "pillow",
    ):
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return {
        "sambench": __version__,
        "git": git_state(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "machine": platform.machine(),
        "cpus": os.cpu_count(),
        "versions": versions,
        "argv": sys.argv[1:],
    }


def git_state() -> str | None:
    """Commit of the checkout that sambench runs from, with '+dirty' if it has changes; None for an installed wheel."""
    root = Path(__file__).parent.parent
    if not (root / ".git").exists():
        return None
    try:
        head = subprocess.run(["git", "-C", str(root), "rev-parse", "HEAD"], capture_output=True, text=True, timeout=5)
        dirty = subprocess.run(["git", "-C", str(root), "status", "--porcelain", "-uno"], capture_output=True, text=True, timeout=5)
    except (OSError, subprocess.SubprocessError):
        return None
    if head.returncode:
        return None
    return head.stdout.strip() + ("+dirty" if dirty.stdout.strip() else "")
