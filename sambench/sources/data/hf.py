"""`hf:ORG/NAME`: a dataset of Hugging Face with a column of images and one of masks; or a folder of such a dataset."""

from __future__ import annotations

from pathlib import Path

from sambench.errors import UsageError, shown
from sambench.sources.data.own import Own, OwnSource, existing_path, placed
from sambench.sources.data.words import Word

PREFIX = "hf:"


class HuggingFaceSource(OwnSource):
    """A `DatasetSource`. The options split, image and masks say which part and which columns, where that is not clear."""

    form = f"{PREFIX}ORG/NAME"
    reader = "sambench.loaders.hugging_face:HuggingFace"

    def describe(self, word: Word, root: Path | None) -> Own:
        (place,) = word.places
        (path,) = placed(word, root)
        stem = str(word.options.get("split", ""))
        if place.startswith((".", "/", "~")) or path.is_dir():
            existing_path(path, "the folder of a dataset", kind="folder")
            here = Word("hf", (".",), word.options, word.written)
            return Own(here, path, {"dataset": ".", **word.options}, f"{path.name}, read by Hugging Face's library", (), stem)
        if place.count("/") > 1 or place != place.strip("/"):
            raise UsageError("no id of a dataset of Hugging Face", where=shown(word.text()), expected=self.form, found=place)
        title = f"{place} of Hugging Face"
        return Own(word, None, {"dataset": place, **word.options}, title, (), f"{place}_{stem}", absolute=word.text())


SOURCE = HuggingFaceSource()
