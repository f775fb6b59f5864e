"""What a paper has to say of how its numbers were made, written from the cells: a methods paragraph, and BibTeX."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from sambench import cards
from sambench.paper.evidence import subset_of
from sambench.results.names import changed_settings
from sambench.store.record import Environment
from sambench.store.views import CellView

PAPER = """@inproceedings{kirillov2023segment,
  author    = {Kirillov, Alexander and Mintun, Eric and Ravi, Nikhila and Mao, Hanzi and Rolland, Chloe and Gustafson, Laura
               and Xiao, Tete and Whitehead, Spencer and Berg, Alexander C. and Lo, Wan-Yen and Doll{\\'a}r, Piotr
               and Girshick, Ross},
  title     = {Segment Anything},
  booktitle = {ICCV},
  year      = {2023},
  note      = {arXiv:2304.02643}
}
"""
DEVIATIONS = (
    "The authors blurred faces in all 23 datasets before they evaluated; which ones is unpublished, and nothing is blurred here.",
    "The lists of images that the authors drew from large datasets are unpublished; sets are drawn again, to as many masks.",
    "The skin-tone half of table 2, table 1 and figure 7 rest on private data and are not here.",
    "The text-aware SAM, the single-output SAM and the SAM with a three-layer decoder, which made SA-1B, were never released. "
    "Rows that need them say so; a stand-in carries a name of its own.",
)


def paragraphs(cells: Sequence[CellView]) -> tuple[str, ...]:
    """Sentences for a methods section: protocol and settings, models with weights, datasets with subsets, intervals, versions."""
    if not cells:
        return ()
    out = [_tasks(cells), _models(cells), _datasets(cells), _statistics(), _versions(cells)]
    return tuple(p for p in out if p)


def _tasks(cells: Sequence[CellView]) -> str:
    said: dict[str, None] = {}
    for cell in cells:
        changed = changed_settings(cell)
        said[f"{cell.task.protocol} ({cell.task.method()}{f'; changed: {changed}' if changed else ''})"] = None
    return f"We evaluate with sambench under the protocols {_listed(said)}, which follow Kirillov et al. [kirillov2023segment]."


def _models(cells: Sequence[CellView]) -> str:
    said: dict[str, None] = {}
    known = cards.model_cards()
    for cell in cells:
        model = cell.record.model
        parts = [model.name if cell.title == model.name else f"{cell.title}, that is {model.name}"]
        if model.weights_sha256:
            parts.append(f"weights sha256 {model.weights_sha256[:12]}…")
        if model.options:
            parts.append("options " + ", ".join(f"{k}={v}" for k, v in sorted(model.options.items())))
        parts.append(f"{model.precision} on {model.device_kind}")
        cite = f" [{key_of(model.id)}]" if model.id in known and known[model.id].citation else ""
        said[f"{parts[0]}{cite} ({'; '.join(parts[1:])})"] = None
    return f"The models are {_listed(said)}."


def _datasets(cells: Sequence[CellView]) -> str:
    said: dict[str, None] = {}
    known = cards.dataset_cards()
    for cell in cells:
        live, ident = cell.live, cell.record.dataset.id
        cite = f" [{key_of(ident)}]" if ident in known and known[ident].citation else ""
        subset = subset_of(cell)
        why = "" if subset.kind == "paper" or not subset.known else f"; {subset.why}"
        digest = cell.record.subset.digest[:8]
        said[f"{cell.dataset}{cite} ({_many(live.n_done, 'image')}, {_many(live.n_objects, 'object')}, subset {digest}{why})"] = (
            None
        )
    return f"The datasets are {_listed(said)}."


def _many(n: int, what: str) -> str:
    return f"{n:,} {what}{'' if n == 1 else 's'}"


def _statistics() -> str:
    return (
        "A dataset's value is the mean over its objects, a suite's the unweighted mean over its datasets. Intervals are percentile "
        "bootstrap intervals over clusters (images, or videos and scenes where frames of one stand in a dataset); differences are "
        "paired by object."
    )


def _versions(cells: Sequence[CellView]) -> str:
    said: dict[str, None] = {}
    for cell in cells:
        env = cell.record.environment or Environment()
        git = f", commit {env.git[:12]}" if env.git else ""
        numpy, torch = (env.versions.get(name, "?") for name in ("numpy", "torch"))
        said[f"sambench {env.sambench or '?'}{git} (Python {env.python or '?'}, numpy {numpy}, torch {torch})"] = None
    return f"Computed with {_listed(said)}."


def _listed(said: Iterable[str]) -> str:
    items = list(said)
    return items[0] if len(items) == 1 else f"{'; '.join(items[:-1])}; and {items[-1]}"


def key_of(ident: str) -> str:
    """The BibTeX key of a card."""
    return re.sub(r"[^a-z0-9]", "", ident.lower())


def bibtex(cells: Sequence[CellView]) -> str:
    """Entries of the paper, and of every model and dataset of the cells whose card has a citation."""
    models, datasets = cards.model_cards(), cards.dataset_cards()
    out, used = [PAPER], {"kirillov2023segment"}
    found = [models.get(c.model) for c in cells] + [datasets.get(c.record.dataset.id) for c in cells]
    for card in {c.id: c for c in found if c is not None}.values():
        key = key_of(card.id)
        if card.citation and key not in used:
            used.add(key)
            out.append(_entry(key, card.citation, card.homepage))
    return "\n".join(out)


def _entry(key: str, citation: cards.Citation, homepage: str) -> str:
    """A @misc entry of what a card cites: its first work, the others in the note; a sentence goes whole into the note."""
    fields: dict[str, str] = {}
    if citation.works:
        first, *others = citation.works
        fields |= {"author": " and ".join(first.authors), "title": first.title}
        fields |= {"howpublished": first.venue, "year": str(first.year)}
        also = "; ".join(work.text for work in others)
    else:
        also = ""
    if homepage:
        fields["url"] = homepage
    if also or citation.sentence:
        fields["note"] = f"see also: {also}" if also else citation.sentence
    width = max(map(len, fields))
    lines = [f"  {k:<{width}} = {{{_bib(v) if k != 'url' else v}}}" for k, v in fields.items()]
    return f"@misc{{{key},\n" + ",\n".join(lines) + "\n}\n"


def _bib(text: str) -> str:
    return "".join({"&": "\\&", "%": "\\%", "#": "\\#", "_": "\\_", "{": "", "}": ""}.get(c, c) for c in text)
