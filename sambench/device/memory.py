"""How many worker processes a GPU holds: asked of the driver's own tool, so that this process needs no context on the GPU."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from collections.abc import Mapping

GIB = 1 << 30
# Of one process, estimated and not yet measured: CUDA's context and libraries; and beside the weights what a model of SAM's size
# takes at its peak: attention and its bias in the encoder (ViT-H: 3 GiB), 64 prompts in the decoder (3), and scoring (2).
CONTEXT_BYTES = GIB
WORK_BYTES = 6 * GIB
SMALL_WEIGHTS, SMALL_WORK_BYTES = 64 << 20, GIB
USED_SHARE = 0.9
_SHORT = ("out of memory", "CUBLAS_STATUS_ALLOC_FAILED", "CUDNN_STATUS_ALLOC_FAILED", "CUBLAS_STATUS_NOT_INITIALIZED")
MOST_WORKERS = 8  # of one GPU: what they hide from one another is hidden by then


def workers_of(free_bytes: int | None, weights_bytes: int, cores: int) -> int:
    """Worker processes for one GPU. free_bytes: of its memory, None: not known. weights_bytes: of the checkpoint, 0: not known.

    cores: of the CPU, for this GPU; a worker has one that computes, and one that reads.
    """
    if free_bytes is None or not weights_bytes:
        return 1
    return max(1, min(MOST_WORKERS, cores // 2, int(USED_SHARE * free_bytes / need_bytes(weights_bytes))))


def need_bytes(weights_bytes: int) -> int:
    """Of one worker process of a model whose checkpoint has that many bytes, estimated."""
    return CONTEXT_BYTES + weights_bytes + (WORK_BYTES if weights_bytes > SMALL_WEIGHTS else SMALL_WORK_BYTES)


def was_short(error: BaseException) -> bool:
    """Whether a GPU's memory did not suffice: with several processes on it, at this moment.

    torch's own allocator has an exception of its own for it. What is allocated past it (contexts, pinned memory, cuBLAS, cuDNN)
    ends in a RuntimeError that begins with the library's name.
    """
    torch = sys.modules.get("torch")
    if torch is None or not isinstance(error, RuntimeError):
        return False
    if isinstance(error, torch.OutOfMemoryError):
        return True
    text = str(error)
    return text.startswith(("CUDA error", "cuDNN error")) and any(word in text for word in _SHORT)


def is_lost(device: str) -> bool:
    """Whether this process can no longer use its GPU: after an illegal memory access every call fails until the process ends."""
    torch = sys.modules.get("torch")
    if torch is None or not device.startswith("cuda"):
        return False
    try:
        torch.cuda.synchronize(device)
    except RuntimeError:
        return True
    return False


def done(device: str) -> None:
    """Wait until a GPU has done what this process asked of it; on the CPU that is so."""
    torch = sys.modules.get("torch")
    if torch is not None and device.startswith("cuda"):
        torch.cuda.synchronize(device)


def give_back() -> None:
    """Free what this process holds of a GPU's memory and does not use."""
    torch = sys.modules.get("torch")
    gc.collect()
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()


def free_bytes(device: str, environment: Mapping[str, str] = os.environ) -> int | None:
    """Free memory of `cuda` or `cuda:N`, as torch counts GPUs; None where it cannot be told."""
    name = _name_for_driver(device, environment)
    if name is None:
        return None
    command = ["nvidia-smi", f"--id={name}", "--query-gpu=memory.free", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
        return int(done.stdout.split()[0]) << 20 if done.returncode == 0 else None
    except (OSError, subprocess.TimeoutExpired, ValueError, IndexError):
        return None


def _name_for_driver(device: str, environment: Mapping[str, str]) -> str | None:
    """A GPU's index or UUID for the driver. A part of a GPU (MIG) has memory of its own, of which this tool says nothing."""
    index = device.partition(":")[2] or "0"
    visible = environment.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return index
    names = [n.strip() for n in visible.split(",")]
    name = names[int(index)] if index.isdigit() and int(index) < len(names) else ""
    return name if name and not name.startswith("MIG") else None
