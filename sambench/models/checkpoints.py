"""State dicts out of weights files, wherever they stand in them, and into modules, strictly. `weight_files` reads the files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from sambench.errors import CheckpointError, shown
from sambench.models.weight_files import read_content

Signature: TypeAlias = Mapping[str, tuple[int, ...]]

_NO_SIGNATURES: Mapping[str, Signature] = {}


def load_state_dict(
    path: Path,
    *,
    key: str | None = None,
    strip_prefix: str | None = None,
    architectures: Mapping[str, Signature] = _NO_SIGNATURES,
    mapped: bool = False,
) -> dict[str, Tensor]:
    """The state dict in a torch (.pth, .pt, .bin) or .safetensors file, tensors on the CPU.

    key: where in the file it lies, dotted ('model', 'state.model'); needed if the file's top level is not itself the state dict.
    strip_prefix: taken off the names; only names that begin with it are used. architectures: as in load_into, to tell the prefix of
    names in a nested file. mapped: see `read_content`.
    Raises CheckpointError: no such file, truncated, not a checkpoint, code in the pickle, nested and no key given, no such key or
    prefix.
    """
    return state_dict_in(
        read_content(Path(path), mapped=mapped), key=key, strip_prefix=strip_prefix, where=Path(path), architectures=architectures
    )


def state_dict_in(
    content: Any,
    *,
    key: str | None = None,
    strip_prefix: str | None = None,
    where: Path,
    architectures: Mapping[str, Signature] = _NO_SIGNATURES,
) -> dict[str, Tensor]:
    """The state dict in a file's content; see load_state_dict."""
    given: dict[str, Any] = {"key": key, "strip_prefix": strip_prefix}  # options of the command line, which may be anything
    for name, value in given.items():
        if value is not None and not isinstance(value, str):
            expected = f"as in {name}=model"
            raise CheckpointError(f"{name} is not a text", where=f"-M {name}", expected=expected, found=shown(repr(value)))
    state = _select(content, key, where, architectures)
    if strip_prefix:
        inside = {name.removeprefix(strip_prefix): t for name, t in state.items() if name.startswith(strip_prefix)}
        if not inside:
            prefix = _wrapper(shapes_of(state), architectures)
            raise CheckpointError(
                f"no name in the checkpoint begins with {strip_prefix!r}",
                where=where,
                expected=f"names like '{strip_prefix}...'",
                found=_some(state),
                remedy=f"give the prefix that the names have: -M strip_prefix={prefix}" if prefix else "leave strip_prefix out",
            )
        return inside
    return state


def load_into(
    module: nn.Module,
    state: Mapping[str, Tensor],
    *,
    where: object,
    architectures: Mapping[str, Signature] | None = None,
) -> None:
    """Put `state` into `module` (which may be on the meta device; it is on the CPU afterwards). Every name and shape must fit.

    architectures: name -> a few names and shapes that tell it from others, to say what the file looks like instead.
    Raises CheckpointError with the first differing names and shapes, or the first tensors that are no plain numbers of the module's
    kind (floating point for weights, integer for counters); the module is untouched then.
    """
    check_signature(shapes_of(module.state_dict()), shapes_of(state), where=where, architectures=architectures)
    _check_numbers(module, state, where)
    if any(t.is_meta for t in module.state_dict().values()):
        module.to_empty(device="cpu")
    module.load_state_dict(dict(state), strict=True)


def check_signature(
    wanted: Signature, found: Signature, *, where: object, architectures: Mapping[str, Signature] | None = None
) -> None:
    """Raise CheckpointError, as `load_into` does, unless a checkpoint has the names and shapes that a model wants."""
    if dict(wanted) != dict(found):
        raise _mismatch(wanted, found, where, architectures or {})


def looks_like(found: Signature, architectures: Mapping[str, Signature]) -> str | None:
    """The architecture whose signature `found` (names -> shapes) contains, the most specific one; None if there is none."""
    fitting = [n for n, s in architectures.items() if all(found.get(k) == shape for k, shape in s.items())]
    return max(fitting, key=lambda n: len(architectures[n]), default=None)


def _check_numbers(module: nn.Module, state: Mapping[str, Tensor], where: object) -> None:
    """What copying would take silently: complex numbers lose a part, integers and truth values are no trained weights."""
    odd = [
        f"{name} is {what}, not {own.dtype}"
        for name, own in module.state_dict().items()
        if (what := _unlike(state[name], own)) is not None
    ]
    if odd:
        raise CheckpointError(
            "the checkpoint's tensors are no weights that can be used as they are",
            where=where,
            expected="dense tensors of floating-point numbers (of integers for counters)",
            found=f"{len(odd)} others: {', '.join(odd[:3])}{', ...' if len(odd) > 3 else ''}",
            remedy="save the model's state dict in floating point: {k: v.float() for k, v in state.items()} (dequantized, dense)",
        )


def _unlike(given: Tensor, own: Tensor) -> str | None:
    """What of a tensor does not fit in place of `own`; None where it does."""
    if given.is_meta:
        return "without values (on the meta device)"
    if given.is_quantized:
        return f"quantized ({given.dtype})"
    if given.layout != torch.strided:
        return f"sparse ({given.layout})"
    integers = not (given.is_floating_point() or given.is_complex() or given.dtype == torch.bool)
    fits = given.is_floating_point() if own.is_floating_point() else integers or given.dtype == own.dtype
    return None if fits else str(given.dtype)


def shapes_of(state: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    """The shape of every tensor, by its name."""
    return {name: tuple(t.shape) for name, t in state.items()}


def _mismatch(
    wanted: Signature, found: Signature, where: object, architectures: Mapping[str, Signature]
) -> CheckpointError:
    missing = [k for k in wanted if k not in found]
    extra = [k for k in found if k not in wanted]
    shapes = [k for k in wanted if k in found and wanted[k] != found[k]]
    facts = []
    if missing:
        facts.append(f"{len(missing)} of {len(wanted)} names missing ({_listed(missing, wanted)})")
    if extra:
        facts.append(f"{len(extra)} unknown names ({_listed(extra, found)})")
    if shapes:
        first = ", ".join(f"{k} is {list(found[k])}, not {list(wanted[k])}" for k in shapes[:3])
        facts.append(f"{len(shapes)} other shapes ({first}{', ...' if len(shapes) > 3 else ''})")
    prefix = _wrapper(found, architectures, wanted) if missing else ""
    name = looks_like({k.removeprefix(prefix): s for k, s in found.items()}, architectures)
    itself = name is not None and name == looks_like(wanted, architectures)
    if name is not None:
        facts.append(f"it looks like {name}")
    if prefix:
        remedy = f"take the prefix off the names: add -M strip_prefix={prefix}"
    elif not missing and not shapes:
        unknown = _common_part(extra)
        remedy = f"save the file without the unknown names{unknown}; the rest is what the model needs"
    elif itself:
        remedy = "the file is of this model, but not as it was released: save all of the model's state dict, and nothing else"
    elif name is not None:
        remedy = f"choose the model that the file is of ({name}), or the file of this model"
    else:
        remedy = "choose the model that the file is of, or the file of this model"
    message = "the checkpoint is of another architecture"
    if prefix:
        message = f"the checkpoint's names all begin with {prefix!r}, as if it were of another architecture"
    elif itself or (not missing and not shapes):
        message = "the checkpoint's names do not fit the model"
    return CheckpointError(
        message,
        where=where,
        expected=f"{len(wanted)} tensors of the model's names and shapes",
        found="; ".join(facts),
        remedy=remedy,
    )


def _common_part(names: list[str]) -> str:
    """', those that begin with ...' if all do."""
    first = {name.partition(".")[0] for name in names if "." in name}
    return f" (those that begin with {first.pop()!r})" if len(first) == 1 and all("." in n for n in names) else ""


def _listed(names: list[str], shapes: Signature) -> str:
    return ", ".join(f"{k} {list(shapes[k])}" for k in names[:3]) + (", ..." if len(names) > 3 else "")


def _some(state: Mapping[str, Any]) -> str:
    return ", ".join(list(state)[:3]) + (", ..." if len(state) > 3 else "")


def _wrapper(found: Signature, architectures: Mapping[str, Signature], wanted: Signature | None = None) -> str:
    """The prefix ('module.', 'net.', 'model.sam.', ...) under which a model's names stand in a checkpoint; '' if there is none.

    The shortest one below which all of `wanted` is found, or what looks like one of the architectures; else what all names share.
    """
    split = [name.split(".") for name in found]
    prefixes = dict.fromkeys(".".join(parts[:n]) + "." for n in (1, 2, 3) for parts in split if len(parts) > n)
    for prefix in prefixes:
        inside = {k.removeprefix(prefix): s for k, s in found.items() if k.startswith(prefix)}
        if wanted and all(inside.get(k) == s for k, s in wanted.items()):
            return prefix
    if looks_like(found, architectures) is not None:
        return ""
    for prefix in prefixes:
        inside = {k.removeprefix(prefix): s for k, s in found.items() if k.startswith(prefix)}
        if looks_like(inside, architectures) is not None:
            return prefix
    shared = 0
    while split and all(len(parts) > shared + 1 and parts[shared] == split[0][shared] for parts in split):
        shared += 1
    return "".join(f"{part}." for part in split[0][:shared]) if split else ""


def _select(content: Any, key: str | None, path: Path, architectures: Mapping[str, Signature]) -> dict[str, Tensor]:
    """The mapping of names to tensors at `key` of what the file holds."""
    nested = dict(_nested(content))
    if key is not None:
        if key not in nested:
            raise CheckpointError(
                f"the checkpoint has no state dict under {key!r}",
                where=path,
                expected=f"one of: {', '.join(k for k in nested if k) or 'none found'}",
                found=_describe(content),
                remedy=_how_to_select(nested, architectures),
            )
        return nested[key]
    if "" in nested:
        return nested[""]
    raise CheckpointError(
        "the checkpoint is nested: its top level is not a state dict" if nested else "the file holds no state dict",
        where=path,
        expected="a mapping from parameter names to tensors",
        found=_describe(content),
        remedy=_how_to_select(nested, architectures),
    )


def _nested(content: Any, at: str = "", depth: int = 3) -> Iterator[tuple[str, dict[str, Tensor]]]:
    """(dotted key, state dict) for every mapping of names to tensors in `content`; optimizer states have numbers for names."""
    if not isinstance(content, Mapping) or not content or depth < 0 or not all(isinstance(k, str) for k in content):
        return
    if all(isinstance(v, Tensor) for v in content.values()):
        yield at, dict(content)
        return
    for name, value in content.items():
        yield from _nested(value, f"{at}.{name}" if at else name, depth - 1)


def _how_to_select(nested: Mapping[str, Mapping[str, Tensor]], architectures: Mapping[str, Signature]) -> str | None:
    keyed = {k: state for k, state in nested.items() if k}
    if not keyed:
        return None
    flags = []
    for k, state in sorted(keyed.items(), key=lambda item: -len(item[1])):
        prefix = _wrapper(shapes_of(state), architectures)
        flags.append(f"-M key={k}" + (f" -M strip_prefix={prefix}" if prefix else "") + f" ({len(state)} tensors)")
    return "say which part is the model's: " + ", or ".join(flags)


def _describe(content: Any) -> str:
    if isinstance(content, Mapping):
        return f"a mapping with {len(content)} keys: " + ", ".join(shown(repr(k)) for k in list(content)[:6])
    return f"a {type(content).__name__}"
