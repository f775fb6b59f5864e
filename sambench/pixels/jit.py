"""Compilation of the kernels: once per machine, kept on disk, and never a reason for an import to fail."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

from sambench import paths

F = TypeVar("F", bound=Callable[..., Any])


def jit(function: F) -> F:
    """numba's `njit` with its machine code kept on disk.

    numba keeps it under `$NUMBA_CACHE_DIR`, else beside the source, else in the user's cache folder. Where none of
    these can be written (an install that is read-only for an account without a home) it goes to `<sambench
    cache>/numba`, and where that can't be written either, every process compiles for itself (a few seconds).
    """
    import numba

    config: Any = numba.config

    try:
        return cast(F, numba.njit(cache=True)(function))
    except RuntimeError:  # numba's "no locator available"
        before = config.CACHE_DIR
        config.CACHE_DIR = str(paths.cache() / "numba")
        try:
            return cast(F, numba.njit(cache=True)(function))
        except RuntimeError:
            return cast(F, numba.njit(function))
        finally:
            config.CACHE_DIR = before
