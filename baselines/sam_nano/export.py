"""Write the averaged weights of a training run as half-precision safetensors, as they are shipped.

    python baselines/sam_nano/export.py runs/nano/last.pt sambench/models/sam/sam_nano.safetensors
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from safetensors.torch import save_file


def export(checkpoint: Path, out: Path) -> int:
    """Bytes written."""
    average = torch.load(checkpoint, weights_only=True)["average"]
    save_file({k: v.to(torch.float16).contiguous() for k, v in sorted(average.items())}, out)
    return out.stat().st_size


if __name__ == "__main__":
    print(export(Path(sys.argv[1]), Path(sys.argv[2])), "bytes")
