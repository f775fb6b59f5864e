"""Partial checkpoints: a fine-tune that holds a part of a model's tensors (a decoder, merged adapters), laid over base weights.

Every name is accounted for: a name of the part that the model does not have is refused, and `Overlay.account` says which tensors
come from where.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from sambench.errors import CheckpointError

_LISTED = 8  # groups of names in an account
_ADAPTER = re.compile(r"lora|adapter|linear_[ab]_[qkv]\b|(^|\.)w_[ab]\b", re.IGNORECASE)  # names that adapters' trainers give


@dataclass(frozen=True)
class Overlay:
    """A part laid over a base. state: all tensors by the model's names; replaced: the names whose tensors are the part's, in order;
    equal: how many of those are the base's to the bit."""

    state: dict[str, Tensor]
    replaced: tuple[str, ...]
    equal: int

    def account(self, part: str, base: str) -> str:
        """Which tensors come from where, in one line. part, base: what to call the two files."""
        mine = set(self.replaced)
        rest = [name for name in self.state if name not in mine]
        text = f"{len(mine)} of {len(self.state)} tensors from {part} ({grouped(mine, self.state)})"
        text += f", {len(rest)} from {base} ({grouped(rest, self.state)})"
        if self.equal == len(mine):
            return f"{text}; all {len(mine)} are equal to the base's: it is the base model itself"
        return f"{text}; {self.equal} of the {len(mine)} are equal to the base's" if self.equal else text


def laid_over(
    base: Mapping[str, Tensor], part: Mapping[str, Tensor], *, names: Collection[str], where: object, base_where: object
) -> Overlay:
    """The tensors of `part` in place of those of `base`.

    names: of all tensors of the model. A part whose names are those inside one of the model's modules (a decoder's own state dict)
    gets that module's name before them, where there is just one such module. Raises CheckpointError: names that the model has not;
    a part that is whole, so that the base would add nothing.
    """
    part = _named_as_in(names, part, where)
    if set(names) <= part.keys():
        raise CheckpointError(
            "the base adds nothing: the weights hold every tensor of the model",
            where=where,
            expected="a part of the model's tensors, to be laid over the base",
            found=f"all {len(names)}",
            remedy=f"leave the base ({base_where}) out: only -M weights=FILE",
        )
    equal = sum(name in base and same(tensor, base[name]) for name, tensor in part.items())
    return Overlay({**base, **part}, tuple(part), equal)


def same(a: Tensor, b: Tensor) -> bool:
    """Whether two tensors hold the same numbers in the same shape and precision."""
    return a.shape == b.shape and a.dtype == b.dtype and a.layout == b.layout and torch.equal(a, b)


def grouped(names: Collection[str], everything: Collection[str]) -> str:
    """Names in short, with their number: a module all of whose tensors are among them by its own name, numbers of layers as `*`."""
    groups: Counter[str] = Counter()
    for name, count in _whole_modules([n.split(".") for n in everything], set(names), ""):
        groups[re.sub(r"(^|\.)\d+(?=\.|$)", r"\1*", name)] += count
    texts = [f"{name} {count}" for name, count in groups.items()]
    return ", ".join(texts[:_LISTED]) + (f", and {len(texts) - _LISTED} more groups" if len(texts) > _LISTED else "")


def _whole_modules(inside: list[list[str]], chosen: set[str], at: str) -> Iterator[tuple[str, int]]:
    """(name, tensors) of the largest modules that are wholly `chosen`. inside: what stands below `at`, split at the dots."""
    children: dict[str, list[list[str]]] = {}
    for parts in inside:
        children.setdefault(parts[0], []).append(parts[1:])
    for child, rest in children.items():
        name = f"{at}{child}"
        full = [".".join([name, *parts]) for parts in rest]
        held = sum(n in chosen for n in full)
        if held == len(full):
            yield name, held
        elif held:
            yield from _whole_modules([parts for parts in rest if parts], chosen, f"{name}.")


def is_part(names: Collection[str], state: Collection[str]) -> bool:
    """Whether a state dict holds some of a model's tensors and nothing else, by its names or those inside one of its modules."""
    return bool(state) and not set(names) <= set(state) and len(_places(names, state)) > 0


def _places(names: Collection[str], part: Collection[str]) -> list[str]:
    """The modules inside which all names of the part are, with a dot at their end: "" for the model itself, and that alone then."""
    known = set(names)
    if known.issuperset(part):
        return [""]
    return [m for m in _modules(names) if known.issuperset(f"{m}{name}" for name in part)]


def _named_as_in(names: Collection[str], part: Mapping[str, Tensor], where: object) -> dict[str, Tensor]:
    """The part with the model's names. Raises CheckpointError where that cannot be."""
    places = _places(names, part)
    if len(places) == 1:
        return {f"{places[0]}{name}": tensor for name, tensor in part.items()}
    known = set(names)
    nearest = max(("", *_modules(names)), key=lambda m: sum(f"{m}{name}" in known for name in part))
    unknown = [name for name in part if f"{nearest}{name}" not in known]
    within = f" in {nearest.rstrip('.')}" if nearest and len(unknown) < len(part) else ""
    listed = ", ".join(unknown[:5]) + (", ..." if len(unknown) > 5 else "")
    found = f"{len(unknown)} of {len(part)} names that it has not{within}: {listed}"
    if places:
        found = f"names that fit in {' and in '.join(m.rstrip('.') for m in places[:4])}"
    raise CheckpointError(
        "the partial checkpoint does not fit the model",
        where=where,
        expected="names of the model's tensors, or those inside one of its modules",
        found=found,
        remedy=_remedy(names, part, unknown),
    )


def _modules(names: Collection[str]) -> list[str]:
    """The model's modules down to the second level, with a dot at the end."""
    split = [name.split(".") for name in names]
    return list(dict.fromkeys(".".join(parts[:n]) + "." for n in (1, 2) for parts in split if len(parts) > n))


def _remedy(names: Collection[str], part: Collection[str], unknown: Collection[str]) -> str:
    first = next(iter(part)).split(".")
    for n in (1, 2, 3) if len(unknown) == len(part) else ():
        prefix = ".".join(first[:n]) + "."
        inside = [name.removeprefix(prefix) for name in part if name.startswith(prefix)]
        if inside and _places(names, inside):
            return f"take the prefix off the names: add -M strip_prefix={prefix}"
    if any(_ADAPTER.search(name) for name in unknown):
        return "merge the adapters into the weights that they adapt (W + scale * B @ A), and save those under the model's names"
    return "choose the model that the part is of, or save it without the names that the model has not"
