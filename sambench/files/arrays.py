"""Arrays in files that others wrote, NumPy's, MATLAB's and HDF5, read only after a look at what they announce.

Nothing outside of the file is followed, no code in it is run, and an array that would not fit is refused before it is read.
"""

from __future__ import annotations

import importlib
import math
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from sambench.errors import DataError
from sambench.files import content
from sambench.files import matlab as mat_file
from sambench.files.opening import cannot_open, check_file

MAX_BYTES = 1 << 30  # of one array; the largest that a benchmark's file holds has some MB


def read_npy(path: Path, what: str = "an array file") -> npt.NDArray[Any]:
    """The array that numpy.save wrote. Raises DataError: unreadable, not one, of Python objects, cut off, or too large."""
    expected = "one array of numbers, written by numpy.save"
    check_file(path, what)
    try:
        with path.open("rb") as f:
            shape, fortran, dtype = _npy_header(f)
            if dtype.hasobject:
                raise ValueError("an array of Python objects, which is not read: it could run code")
            announced, held = math.prod(shape) * dtype.itemsize, path.stat().st_size - f.tell()
            _check_bytes(path, announced, f"{dtype} {list(shape)}", what)
            if held < announced:
                raise ValueError(f"{held} bytes, where its header announces {announced} ({dtype} {list(shape)})")
            flat = np.frombuffer(f.read(announced), dtype)
    except DataError:
        raise
    except Exception as e:  # NumPy raises what it likes on a forged header
        raise _unreadable(path, e, what, expected) from e
    return flat.reshape(shape, order="F" if fortran else "C")


def _npy_header(f: BinaryIO) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    version = np.lib.format.read_magic(f)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = read(f)
    if any(n < 0 for n in shape):
        raise ValueError(f"a shape of {list(shape)}")
    return shape, fortran, dtype


def read_mat(path: Path, names: list[str] | None = None, what: str = "a MATLAB file") -> dict[str, npt.NDArray[Any]]:
    """The variables of a MATLAB 5 file by name, as `mat_file.variables` gives them. names: only these; None: all.

    Raises DataError: unreadable, another format (MATLAB 7.3 is HDF5), damaged, or too large.
    """
    expected = "a MATLAB 5 file"
    _check_bytes(path, check_file(path, what).st_size, "a larger file", what)
    try:
        return mat_file.variables(content.read_bytes(path), names, MAX_BYTES)
    except mat_file.Hdf5Error as e:
        remedy = "save it in MATLAB with -v7"
        raise DataError(f"{what} cannot be read", where=path, expected=expected, found=str(e), remedy=remedy) from e
    except MemoryError as e:
        raise _too_large(path, str(e), what) from e
    except Exception as e:  # a damaged file can be wrong in any way
        raise _unreadable(path, e, what, expected) from e


def read_hdf5(path: Path, name: str, *, ndim: int, kinds: str, what: str = "an HDF5 file") -> npt.NDArray[Any]:
    """The dataset `name` of an HDF5 file, of `ndim` axes and a dtype kind in `kinds` ("iu", "f").

    Links to other files, external storage and virtual datasets are refused: they name any file of the machine, whose bytes would
    be taken for pixels. Raises DataError naming the file: that, unreadable, another form, or too large.
    """
    try:
        h5py = importlib.import_module("h5py")
    except ImportError as e:
        raise DataError("HDF5 files need the package h5py", where=path, remedy="pip install h5py") from e
    expected = f"HDF5 with one array, {name!r}, of {ndim} axes, {'floating point' if kinds == 'f' else 'integers'}"
    check_file(path, what)
    try:
        with h5py.File(path, "r") as f:
            odd = _leads_away(h5py, f, name)
            if odd:
                raise DataError(
                    f"{what} points to data outside of it",
                    where=path,
                    expected=f"{name!r}, stored in this file",
                    found=odd,
                    of_release="fetch this file from its authors",
                    remedy="write the array into the file itself: what it points to is not read",
                )
            found = f[name]
            if found.ndim != ndim or found.dtype.kind not in kinds:
                form = f"{found.dtype} {list(found.shape)}"
                raise DataError(f"{what} is in another form", where=path, expected=expected, found=form)
            _check_bytes(path, math.prod(found.shape) * found.dtype.itemsize, f"{found.dtype} {list(found.shape)}", what)
            values = np.asarray(found[()])
        content.note_file(path)
        return values
    except (OSError, KeyError, RuntimeError, ValueError, TypeError, AttributeError) as e:
        raise _unreadable(path, e, what, expected) from e


def _leads_away(h5py: Any, file: Any, name: str) -> str:
    """How the dataset is not one that lies in the file itself; '' where it does."""
    link = file.get(name, getlink=True)
    if isinstance(link, h5py.ExternalLink):
        return f"an external link to {link.filename!r:.120}"
    if isinstance(link, h5py.SoftLink):
        return f"a link to {link.path!r:.120}"
    found = file[name]
    if not isinstance(found, h5py.Dataset):
        raise ValueError(f"{name!r} is no array, but a {type(found).__name__.lower()}")
    if found.is_virtual:
        return "a virtual dataset, made of other files"
    return f"external storage in {found.external[0][0]!r:.120}" if found.external else ""


def _check_bytes(path: Path, n: int, announced: str, what: str) -> None:
    if n > MAX_BYTES:
        raise _too_large(path, announced, what)


def _too_large(path: Path, announced: str, what: str) -> DataError:
    return DataError(
        f"{what} announces an array that is too large",
        where=path,
        expected=f"at most {MAX_BYTES >> 20} MiB",
        found=announced,
        of_release="fetch the file again",
        remedy="leave its image out",
    )


def _unreadable(path: Path, e: BaseException, what: str, expected: str) -> DataError:
    if isinstance(e, OSError) and e.errno is not None and not isinstance(e, BlockingIOError):
        return cannot_open(path, e, what)
    found = str(e) or type(e).__name__
    message, again, write = f"{what} cannot be read", "fetch that file again", "write it again"
    return DataError(message, where=path, expected=expected, found=found, of_release=again, remedy=write)
