"""Object stores by URL: bytes by key, with writes that are refused where somebody else was first.

`s3://` (and what speaks its protocol, at AWS_ENDPOINT_URL), `gs://`, `az://` and `abfss://`; `memory://` lives in one process. The
library is obstore, which takes credentials and endpoints from the variables that each provider's own tools take.

What is needed of a store: an object is whole or not there; whoever reads after a write has ended reads that write; a write with
`create` is refused where there is an object, one with `instead` where there is another version than that. S3 does both by
If-None-Match and If-Match, Google by x-goog-if-generation-match, Azure by If-None-Match and If-Match.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from sambench.errors import UsageError, install

SCHEMES = ("s3", "gs", "az", "abfss", "memory")
# As `pathlib` leaves it too, with one slash.
_URL = re.compile(rf"^({'|'.join(SCHEMES)}):/{{1,2}}([^/]+)(?:/(.*))?$", re.DOTALL)
_ENDPOINTS = (
    "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT", "GOOGLE_BASE_URL", "AZURE_STORAGE_ENDPOINT",
    "AZURE_STORAGE_ACCOUNT_NAME",
)  # fmt: skip
_CHUNK = 8 << 20  # bytes
RETRIES = 6  # of a request that failed, within a minute


class Changed(OSError):
    """A write that was refused: somebody else was first."""


class Version(NamedTuple):
    """By what a store tells the versions of an object apart. generation: of Google, empty elsewhere."""

    e_tag: str
    generation: str = ""


class Listed(NamedTuple):
    """An object. changed: seconds since 1970, by the store's clock."""

    key: str
    version: Version
    size: int
    changed: float


@dataclass(frozen=True)
class Address:
    """A URL: `root` is its scheme and bucket (or container), `key` the rest, without a slash at either end."""

    root: str
    key: str

    @property
    def url(self) -> str:
        return f"{self.root}/{self.key}" if self.key else self.root


def address(text: str | Path) -> Address | None:
    """The place in an object store that a text names; None where it names none. Raises UsageError on a key no folder can hold."""
    found = _URL.match(str(text))
    if found is None:
        return None
    key = (found[3] or "").strip("/")
    if any(part in ("", ".", "..") for part in key.split("/")) and key:
        expected = "names between the slashes"
        raise UsageError("an address in an object store does not fit", where=str(text), expected=expected, found=key)
    return Address(f"{found[1]}://{found[2]}", key)


def endpoint() -> str:
    """What besides a URL says which store is meant: the endpoints and accounts of the environment."""
    return "\n".join(f"{name}={os.environ[name]}" for name in _ENDPOINTS if os.environ.get(name))


@dataclass(frozen=True)
class Objects:
    """A bucket. All methods raise OSError: FileNotFoundError, PermissionError, `Changed`, or one that says what the store said."""

    root: str

    def listed(self, prefix: str) -> Iterator[Listed]:
        """The objects below a prefix, which ends at a slash; those whose name ends with one, which stand for folders, left out."""
        with _plain(f"{self.root}/{prefix}"):
            for batch in _client(self.root, endpoint()).list(prefix or None, chunk_size=1000):
                for meta in batch:
                    if not meta["path"].endswith("/"):
                        yield _listed(meta)

    def get(self, key: str, into: Path, unless: Version | None = None) -> Listed | None:
        """Write an object to a file; None, and no file, where its version is `unless`."""
        options: Any = {"if_none_match": unless.e_tag} if unless else {}
        with _plain(f"{self.root}/{key}"):
            try:
                got = _client(self.root, endpoint()).get(key, options=options)
            except _library(self.root).exceptions.NotModifiedError:
                return None
            with into.open("wb") as f:
                for chunk in got.stream(min_chunk_size=_CHUNK):
                    f.write(chunk)
            return _listed(got.meta)

    def put(self, key: str, raw: bytes, *, create: bool = False, instead: Version | None = None) -> Version:
        """Write an object. create: only where there is none. instead: only in the place of that version. Raises `Changed`."""
        mode: Any = "create" if create else "overwrite"
        if instead is not None:
            mode = {"e_tag": instead.e_tag} | ({"version": instead.generation} if instead.generation else {})
        with _plain(f"{self.root}/{key}"):
            return _version(_client(self.root, endpoint()).put(key, raw, mode=mode, use_multipart=False))

    def delete(self, key: str) -> None:
        """Remove an object, if it is there."""
        try:
            with _plain(f"{self.root}/{key}"):
                _client(self.root, endpoint()).delete(key)
        except FileNotFoundError:
            return


def _listed(meta: Any) -> Listed:
    return Listed(meta["path"], _version(meta), meta["size"], meta["last_modified"].timestamp())


def _version(meta: Any) -> Version:
    return Version(meta.get("e_tag") or "", meta.get("version") or "")


@contextmanager
def _plain(url: str) -> Iterator[None]:
    """The library's errors as the system's, so that whoever handles those of a disk handles these."""
    refused = _library(url).exceptions
    try:
        yield
    except (refused.AlreadyExistsError, refused.PreconditionError) as e:
        raise Changed(errno.EEXIST, "somebody else was first", url) from e
    except (FileNotFoundError, refused.NotFoundError) as e:
        raise FileNotFoundError(errno.ENOENT, _said(e), url) from e
    except (refused.PermissionDeniedError, refused.UnauthenticatedError) as e:
        raise PermissionError(errno.EACCES, _said(e), url) from e
    except refused.BaseError as e:
        raise OSError(errno.EPROTO, _said(e), url) from e


def _said(e: BaseException) -> str:
    """The first line of the library's message, which has a dump of its structures after it, without a body of XML."""
    return (str(e).strip() or type(e).__name__).splitlines()[0].partition(": <")[0][:500]


def _library(url: str) -> Any:
    try:
        import obstore.exceptions
        import obstore.store
    except ImportError as e:
        message = "object stores need a package that is not installed"
        raise UsageError(message, where=url, expected="obstore", remedy=install("objects")) from e
    return obstore


@cache
def _client(root: str, at: str) -> Any:
    """at: `endpoint()`: another one is another client."""
    stores = _library(root).store
    if root.startswith("memory:"):
        return stores.MemoryStore()
    more: dict[str, Any] = {}
    if root.startswith("s3:"):
        if not any(os.environ.get(name) for name in ("AWS_REGION", "AWS_DEFAULT_REGION")):
            more["region"] = "us-east-1"
        if not os.environ.get("AWS_ACCESS_KEY_ID"):
            more |= _profile()
    client: Any = {"allow_http": True} if "=http://" in at else {}
    return stores.from_url(root, client_options=client, retry_config=_retry(), **more)


def _retry() -> Any:
    from datetime import timedelta

    return {"max_retries": RETRIES, "retry_timeout": timedelta(seconds=60)}


def _profile() -> dict[str, Any]:
    """AWS's profiles and single sign-on, where its own library is installed to read them."""
    try:
        from obstore.auth.boto3 import Boto3CredentialProvider

        return {"credential_provider": Boto3CredentialProvider()}
    except Exception:  # noqa: BLE001 - not installed, or it has none: then obstore's own ways (variables, the instance's role)
        return {}
