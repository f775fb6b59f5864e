"""`python:FILE.py:Reader,FOLDER`: a reader of one's own, called as `Reader(root, name=..., variant=..., **options)`.

`python:package.module:Reader,FOLDER` names one of a module. Without FOLDER it is called with the folder of its file.
"""

from __future__ import annotations

from pathlib import Path

from sambench.cards.entries import anchored, file_of, load_entry
from sambench.errors import DataError, UsageError, shown
from sambench.sources.data.own import Own, OwnSource, existing_path
from sambench.sources.data.words import Word
from sambench.types import Holds

PREFIX = "python:"


class Python(OwnSource):
    """A `DatasetSource`. Only the reader knows what it gives."""

    form = f"{PREFIX}FILE.py:Reader,FOLDER"
    most = 2

    def gives(self, name: str) -> Holds | None:
        return None

    def describe(self, word: Word, root: Path | None) -> Own:
        code = anchored(f"{PREFIX}{word.places[0]}", Path.cwd())
        file, name = file_of(code), code.rpartition(":")[2]
        if not name.isidentifier() or code.count(":") < 2:
            raise UsageError("a reader's place is not readable", where=shown(word.text()), expected=self.form, found=word.places[0])
        if file is not None:
            existing_path(file, "the file of a reader", kind="file")
        given = Path(word.places[1]).expanduser() if len(word.places) > 1 else file.parent if file is not None else Path.cwd()
        folder = existing_path((root or Path.cwd()) / given, "the folder of a dataset", kind="folder").resolve()
        fits = getattr(load_entry(code, where=word.text()), "fits", None)
        if fits is not None and not fits(folder, **word.options):
            message = "a folder is laid out in another way than its reader knows"
            raise DataError(message, where=folder, expected=f"a folder that {name}.fits takes", found="another one")
        code = code.removeprefix(PREFIX)
        here, whole = (Word("python", (code, place), word.options, word.written) for place in (".", str(folder)))
        title = f"{folder.name}, read by {name}"
        return Own(here, folder, dict(word.options), title, (), reader=f"{PREFIX}{code}", absolute=whole.text())


SOURCE = Python()
