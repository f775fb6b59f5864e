"""The names of forms, for every `--format`: what each command takes is a choice of these."""

from __future__ import annotations

from collections.abc import Sequence

from sambench.errors import unknown_name

# What a report comes as: a page, or all of its tables and figures.
PAGES = ("html", "latex", "markdown", "csv", "json", "png", "pdf")
# Other names of a form, by the one that it goes by.
ALIASES = {"markdown": "md", "latex": "tex"}
# What files of it end with.
ENDINGS = {"text": "txt", "markdown": "md", "latex": "tex"}


def form_of(name: str, taken: Sequence[str], *, where: str = "--format") -> str:
    """The form that a name stands for. taken: forms that the command has. Raises UsageError with near names."""
    by_name = {alias: form for form, alias in ALIASES.items() if form in taken} | {form: form for form in taken}
    if name not in by_name:
        error = unknown_name("format", name, by_name, where=where)
        error.expected = listed(taken)
        raise error
    return by_name[name]


def listed(taken: Sequence[str]) -> str:
    """As help texts and errors name them: `text, csv, markdown (or md), latex (or tex)`."""
    return ", ".join(f"{form} (or {ALIASES[form]})" if form in ALIASES else form for form in taken)


def ending(form: str) -> str:
    """What the name of a file of that form ends with, without the dot."""
    return ENDINGS.get(form, form)
