"""MATLAB 5 files: numbers, cell arrays and structs, as MATLAB's "MAT-File Format" describes them.

SciPy's reader takes the process with it on some damaged files; this one checks every length against the bytes that are there.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Collection, Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

_MATRIX, _COMPRESSED = 14, 15
_STORED = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8", 16: "u1", 17: "u2", 18: "u4"}
_CELL, _STRUCT, _OBJECT, _CHAR = 1, 2, 3, 4
_NUMBERS = {6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4", 14: "i8", 15: "u8"}
_NAMES = {3: "an object", 5: "a sparse matrix", 16: "a function", 17: "an object"}
_COMPLEX, _LOGICAL = 0x0800, 0x0200
_HEADER = 128


class Element(NamedTuple):
    """A piece of the file: its type, and its bytes."""

    kind: int
    body: memoryview


class Hdf5Error(ValueError):
    """A MATLAB 7.3 file, which is HDF5."""


def variables(raw: bytes, names: Collection[str] | None, most_bytes: int) -> dict[str, npt.NDArray[Any]]:
    """The variables of a file by name. names: only these; None: all that can be read.

    Numbers have their MATLAB class, logicals are bool; cell arrays are of objects; structs are of fields of objects.
    most_bytes: what they may unpack to, all together. Raises ValueError (or another built-in error) where the file is not whole,
    Hdf5Error, and MemoryError where they are larger.
    """
    order = {b"IM": "<", b"MI": ">"}.get(raw[126:_HEADER])
    if order is None:
        raise ValueError("it does not begin as one")
    if struct.unpack(f"{order}H", raw[124:126])[0] >> 8 == 2:
        raise Hdf5Error("MATLAB 7.3 (HDF5)")
    found, left = {}, most_bytes
    for element in _elements(memoryview(raw)[_HEADER:], order, top=True):
        matrix = _unpacked(element, order, left) if element.kind == _COMPRESSED else element
        left -= len(matrix.body)
        if matrix.kind != _MATRIX:
            continue
        name, value = _variable(matrix.body, order, names)
        if value is not None:
            found[name] = value
    return found


def _unpacked(element: Element, order: str, most_bytes: int) -> Element:
    squeezed = zlib.decompressobj()
    body = squeezed.decompress(element.body, max(1, most_bytes))
    if squeezed.unconsumed_tail:
        raise MemoryError(f"more than {len(body)} bytes in one variable")
    return next(_elements(memoryview(body), order))


def _elements(data: memoryview, order: str, *, top: bool = False) -> Iterator[Element]:
    """The elements in a row; at the top of a file they are not padded to 8 bytes."""
    at = 0
    while at < len(data):
        if len(data) - at < 8:
            raise ValueError("an element without its length")
        kind, size = struct.unpack_from(f"{order}II", data, at)
        if kind >> 16:  # a small element, its bytes within the tag
            kind, size, begin, end = kind & 0xFFFF, kind >> 16, at + 4, at + 8
            if size > 4:
                raise ValueError(f"a small element of {size} bytes")
        else:
            begin = at + 8
            end = begin + (size if top or kind == _COMPRESSED else -(-size // 8) * 8)
        if begin + size > len(data):
            raise ValueError(f"{len(data) - begin} bytes, where {size} are announced")
        yield Element(kind, data[begin : begin + size])
        at = end


def _variable(body: memoryview, order: str, names: Collection[str] | None) -> tuple[str, npt.NDArray[Any] | None]:
    """(name, value) of a matrix; None for one that is not asked for, or of a kind that nobody reads."""
    parts = _elements(body, order)
    flags, dims, name = _head(parts, order)
    if names is not None and name not in names:
        return name, None
    if names is None and flags & 0xFF not in (_CELL, _STRUCT, _CHAR, *_NUMBERS):
        return name, None
    return name, _value(parts, order, flags, dims)


def _head(parts: Iterator[Element], order: str) -> tuple[int, tuple[int, ...], str]:
    flags = int(_array(next(parts), order)[0])
    dims = tuple(int(n) for n in _array(next(parts), order))
    if any(n < 0 for n in dims) or len(dims) < 2:
        raise ValueError(f"a matrix of {list(dims)}")
    return flags, dims, bytes(next(parts).body).decode("latin-1").rstrip("\0")


def _matrix(element: Element, order: str) -> npt.NDArray[Any]:
    if element.kind != _MATRIX:
        raise ValueError(f"an element of type {element.kind} in place of a matrix")
    if not len(element.body):
        return np.zeros((0, 0))
    parts = _elements(element.body, order)
    flags, dims, _ = _head(parts, order)
    return _value(parts, order, flags, dims)


def _value(parts: Iterator[Element], order: str, flags: int, dims: tuple[int, ...]) -> npt.NDArray[Any]:
    kind = flags & 0xFF
    if kind in _NUMBERS:
        stored = _array(next(parts), order)
        if flags & _COMPLEX:
            stored = stored + 1j * _array(next(parts), order)
        else:
            stored = stored.astype(np.bool_ if flags & _LOGICAL else _NUMBERS[kind])
        return stored.reshape(dims, order="F")
    if kind == _CHAR:
        return np.array("".join(map(chr, _array(next(parts), order).tolist())))
    if kind not in (_CELL, _STRUCT):
        raise ValueError(f"{_NAMES.get(kind, f'a matrix of class {kind}')}, which is not read")
    fields = _fields(parts, order) if kind == _STRUCT else []
    held = list(parts)
    n = math.prod(dims)
    if len(held) != n * (len(fields) if kind == _STRUCT else 1) or n > max(1, len(held)):
        raise ValueError(f"{len(held)} parts of {list(dims)} with {len(fields)} fields")
    values = [_matrix(e, order) for e in held]
    if kind == _CELL:
        cells = np.empty(n, object)
        for i, value in enumerate(values):
            cells[i] = value
        return cells.reshape(dims, order="F")
    structs = np.empty(n, [(f, object) for f in fields])
    for i, value in enumerate(values):
        structs[fields[i % len(fields)]][i // len(fields)] = value
    return structs.reshape(dims, order="F")


def _fields(parts: Iterator[Element], order: str) -> list[str]:
    """The names of a struct's fields, each padded to one length."""
    length = int(_array(next(parts), order)[0])
    text = bytes(next(parts).body).decode("latin-1")
    if length < 1 or len(text) % length:
        raise ValueError(f"names of fields of {length} of {len(text)} bytes")
    return [text[i : i + length].split("\0")[0] for i in range(0, len(text), length)]


def _array(element: Element, order: str) -> npt.NDArray[Any]:
    if element.kind not in _STORED:
        raise ValueError(f"an element of type {element.kind} in place of numbers")
    return np.frombuffer(element.body, order + _STORED[element.kind])
