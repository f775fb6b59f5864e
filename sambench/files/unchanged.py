"""Files that a result's identity stands for, asked again whether they still hold what they held when they were hashed.

What is hashed once and read again later may be another file by then, whose numbers would bear the first one's name. To ask costs
a look at each file's times; only one whose times are others is read again.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from sambench.errors import DataError, RunError
from sambench.files import content


def check_still(path: Path, sha256: str) -> None:
    """Raise DataError where a file is not the one that was hashed: what was read of it must not be kept under that hash.

    Raises OSError where it cannot be read any more.
    """
    if content.file_sha256(path) != sha256:
        raise DataError(
            "a file changed while it was read",
            where=path,
            expected="the file as it was a moment ago",
            found="another content",
            remedy="issue the command again, when nothing writes to that file",
        )


class Unchanged:
    """Files as they are now. sha256: hex, by file. Raises OSError where one cannot be read."""

    def __init__(self, files: Iterable[Path], what: str = "files") -> None:
        # Times first: a file that changes while it is hashed has others afterwards.
        self._stamps = {path: content.stamp(path) for path in files}
        hashes = content.files_sha256({str(path): path for path in self._stamps}, what)
        self.sha256 = {path: hashes[str(path)] for path in self._stamps}

    def fits(self, path: Path) -> bool:
        """Whether one of the files holds what it held; asked after it was read, whether that was read. False if it is gone."""
        try:
            return content.stamp(path) == self._stamps[path] or content.file_sha256(path) == self.sha256[path]
        except OSError:
            return False

    def check(self, path: Path, what: str) -> None:
        """Raise RunError, which ends a run, unless `fits`. what: the file in words, "an edge map"."""
        if not self.fits(path):
            raise RunError(
                f"{what} changed while it was in use",
                where=path,
                expected="the file as it was when the command began",
                found="another content" if path.is_file() else "no such file",
                remedy="issue the command again, when nothing writes to that file: with another content it is another run",
            )
