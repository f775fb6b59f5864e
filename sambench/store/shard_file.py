"""One shard file, which vouches for itself: Parquet with page checksums, and in its footer the sha256 of all its bytes.

The digest is that of the file with zeros where the digest stands, so that one flipped bit anywhere is noticed, the footer included.
Files of an earlier version have none and are read without.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

META_KEY = b"sambench"
DIGEST_KEY = b"sambench.sha256"
META_VERSION = 3
UNSIGNED = (1, 2)  # 1 had the picture's size instead of its hash
_BLANK = b"0" * 64
_FIELD = DIGEST_KEY + b"\x18\x40"  # as Thrift writes a key, and that 64 bytes follow


class Damaged(Exception):
    """The bytes are not those of a shard; the argument says why."""


def encode(rows: list[dict[str, Any]], schema: Any, meta: Mapping[str, Any]) -> bytes:
    """The bytes of a shard file. schema: of pyarrow; meta: plain values, kept in the footer with the version."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    text = json.dumps({"version": META_VERSION, **meta}).encode()
    signed = schema.with_metadata({META_KEY: text, DIGEST_KEY: _BLANK})
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(rows, schema=signed), sink, compression="zstd", write_page_checksum=True)
    raw = bytearray(sink.getvalue().to_pybytes())
    at = raw.rindex(_FIELD) + len(_FIELD)
    raw[at : at + 64] = hashlib.sha256(raw).hexdigest().encode()
    return bytes(raw)


def check(raw: bytes) -> bytes:
    """The footer's record (JSON, META_KEY) of a shard's bytes. Raises Damaged where they are not those that were written."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    at = raw.rfind(_FIELD) + len(_FIELD)
    signed = at >= len(_FIELD)
    if signed:
        blank = hashlib.sha256(raw[:at])
        blank.update(_BLANK)
        blank.update(raw[at + 64 :])
        if blank.hexdigest().encode() != raw[at : at + 64]:
            raise Damaged("its bytes are not those that were written: their sha256 is another than the file says")
    try:
        meta: bytes | None = (pq.read_metadata(pa.BufferReader(raw)).metadata or {}).get(META_KEY)
    except (pa.ArrowException, OSError, ValueError) as e:
        raise Damaged(str(e)) from e
    if meta is None:
        raise Damaged("no sambench record in it")
    try:
        version = json.loads(meta)["version"]
    except (ValueError, TypeError, KeyError, RecursionError) as e:
        raise Damaged(f"its record cannot be read: {e!r}") from e
    if isinstance(version, bool) or version not in ((META_VERSION,) if signed else UNSIGNED):
        known = f"version {version!r}{'' if signed else ' without a sha256'}, this is version {META_VERSION}"
        raise Damaged(known)
    return meta


def read(path: Path, columns: list[str], schema: Any) -> Any:
    """pyarrow Table of these columns of a file that was checked; page checksums are compared again.

    schema: the expected one. Raises Damaged where the file has not these columns, OSError where it cannot be read.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    with path.open("rb") as source:
        try:
            file = pq.ParquetFile(source, page_checksum_verification=True)
            held = file.schema_arrow
            wrong = [n for n in columns if n not in held.names or held.field(n).type != schema.field(n).type]
            if wrong:
                raise Damaged(f"its columns are not those of this version: {', '.join(wrong[:6])}")
            return file.read(columns=columns).replace_schema_metadata(None)
        except (pa.ArrowException, OSError, ValueError) as e:
            raise Damaged(str(e)) from e
