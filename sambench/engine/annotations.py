"""That a dataset's annotations are those of the plan: in every process, for every image, and when the results are vouched for.

A result is known by the digest that its annotations had when the command began. Other files in their place would be scored under
that digest: an annotation file that is written anew during a run, a node of a cluster with an older copy. A worker compares the
digest when it opens the dataset, and for each image the files that its annotations were read from.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping
from pathlib import Path

from sambench.errors import RunError
from sambench.files import content
from sambench.files.unchanged import Unchanged
from sambench.types import Dataset, InFolder, reader_of

FEW = 64  # files whose times are looked at for every image; of more, those that the image was read from
_AS_BEFORE = "annotations as when the command began"


class Annotations:
    """Of a dataset that is open, as they are now. digest: their `annotation_digest`.

    files: sha256 hex by absolute path of the files that the digest is made of, as far as they went through
    `sambench.files.content`; of a reader of another package's there may be none. Raises DataError, and RunError where they change
    at this moment.
    """

    def __init__(self, dataset: Dataset) -> None:
        self.name = dataset.name
        reader = reader_of(dataset)
        self.root = reader.root if isinstance(reader, InFolder) else None
        with content.reading() as read:
            self.digest = dataset.annotation_digest()
        self.files = dict(read)
        self._few: Unchanged | None = None
        if len(self.files) <= FEW:
            try:
                self._few = Unchanged(map(Path, self.files))
            except OSError as e:
                raise self._changed(e.filename, "annotations as they were a moment ago", e.strerror or repr(e)) from e
            self.check({str(path): sha256 for path, sha256 in self._few.sha256.items()})

    def misfit(self, digest: str) -> RunError | None:
        """The error where the plan has another digest; "" fits all."""
        if digest in ("", self.digest):
            return None
        expected, found = (f"sha256 {d[:12]}…" for d in (digest, self.digest))
        return self._changed(self._latest(), f"annotations of {expected}, as when the command began", found)

    def check_plan(self, digest: str) -> None:
        """Raise RunError where the plan has another digest."""
        error = self.misfit(digest)
        if error is not None:
            raise error

    def check(self, read: Mapping[str, str]) -> None:
        """Raise RunError where they have changed.

        read: sha256 hex by absolute path of the files that an image was read from, among them those of its annotations.
        """
        for path, sha256 in read.items():
            if self.files.get(path, sha256) != sha256:
                raise self._changed(path, _AS_BEFORE, "another content")
        few = self._few
        for file in few.sha256 if few is not None else ():
            if few is not None and not few.fits(file):
                raise self._changed(file, _AS_BEFORE, "another content" if file.is_file() else "no such file")

    def _latest(self) -> object:
        """Of the files that make another digest the one that was written last: likely the one that differs."""
        times: dict[str, int] = {}
        for path in self.files:
            try:
                times[path] = content.stamp(Path(path)).mtime_ns
            except OSError:
                return path
        if not times:
            return self.root
        latest = max(times, key=lambda path: times[path])
        return latest if len(times) == 1 else f"{latest}, the last written of {len(times):,} files"

    def _changed(self, where: object, expected: str, found: str) -> RunError:
        return RunError(
            f"the annotations of dataset {self.name!r} changed during the run",
            where=", ".join([*([str(where)] if where else []), f"on host {socket.gethostname()}"]),
            expected=expected,
            found=found,
            remedy="issue the command again, when every machine has the same annotations and nothing writes to them: other ones "
            "make another result; what was made of those of before is kept",
        )
