"""One thread a process on the CPU: numbers must not depend on thread counts, and workers share the cores between them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

# Of the environment of a worker process, before any library is loaded.
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
# Messages at once; and names of files are UTF-8, also in a locale that knows ASCII alone.
PYTHON_VARIABLES = {"PYTHONUNBUFFERED": "1", "PYTHONUTF8": "1"}
# glibc returns large blocks to the system at once and faults them in again for every prompt: 10 % of SAM's decoder.
KEEP_MEMORY = {"MALLOC_MMAP_THRESHOLD_": "1000000000", "MALLOC_TRIM_THRESHOLD_": "1000000000"}


@contextmanager
def single_threaded() -> Iterator[None]:
    """OpenCV and torch on one thread for the time being."""
    import cv2

    torch = sys.modules.get("torch")
    before = cv2.getNumThreads(), torch.get_num_threads() if torch else None
    cv2.setNumThreads(1)
    if torch:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before[0])
        if torch and before[1]:
            torch.set_num_threads(before[1])
