"""The files that a model is made of: weights, options that name files or folders, the file of code that makes it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from sambench import provenance
from sambench.errors import ModelError, UsageError, message_of, shown
from sambench.files import content
from sambench.sources.base import ModelSpec, ResolvedModel, slug
from sambench.types import Gives


def weights_file(given: Any) -> Path | None:
    """The value of the option `weights`. Raises UsageError unless it is the path of a file."""
    if given is None:
        return None
    if not isinstance(given, str | Path) or not str(given):
        expected = "the path of a checkpoint file"
        raise UsageError("the option weights is not a file", where="-M weights", expected=expected, found=shown(repr(given)))
    return Path(given)


def by_content(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options as the identity has them: a file or folder by what it holds. Raises UsageError where one cannot be read."""
    out = {}
    for key, value in options.items():
        try:
            out[key] = content.by_content(value)
        except OSError as e:
            where, found = f"-M {key}={shown(value)}", e.strerror or message_of(e)
            raise UsageError("a file or folder that an option names cannot be read", where=where, found=found) from e
    return out


def contents_of(
    options: Mapping[str, Any], weights: str | None = None, code: Callable[[], str] | None = None
) -> dict[str, str]:
    """What the files of a model hold now, as digests by what names them; options that name none are no part of it.

    code: gives the sha256 of the file of code that makes the model, where that is the user's.
    """
    held = {f"-M {key}": value for key, value in by_content(options).items() if value != options[key]}
    if weights is not None:
        held["weights"] = content.file_sha256(Path(weights))
    if code is not None:
        held["its file"] = code()
    return {key: provenance.digest(value) for key, value in held.items()}


def check_contents(spec: ModelSpec, code: Callable[[], str] | None = None) -> None:
    """Raise ModelError where a file of the model is another than when the command began: its numbers would bear another's name."""
    same_contents(spec, contents_of(spec.options, spec.weights, code) if spec.contents else {})


def same_contents(spec: ModelSpec, now: Mapping[str, str]) -> None:
    """As `check_contents`. now: what its files hold now, by the names of `spec.contents`."""
    for what, held in spec.contents.items():
        if now.get(what) != held:
            raise ModelError(
                "a file of the model changed while the command ran",
                where=f"{spec.name}, {what}",
                expected="the content that it had when the command began",
                found="another content",
                remedy="issue the command again, when nothing writes to that file: it is another model, with results of its own",
            )


def place_of(name: str, prefix: str) -> Path:
    """The absolute path after a prefix. Raises ModelError where it is none."""
    text = name.removeprefix(prefix)
    try:
        path = Path(text).expanduser().resolve()
        path.exists()
    except (OSError, ValueError, RuntimeError) as e:  # longer than a file system takes, a NUL, an unknown ~user
        found = (e.strerror if isinstance(e, OSError) else None) or str(e)
        raise ModelError(f"what follows {prefix} cannot be read", where=shown(name), expected="a path", found=found) from e
    if not text:
        raise ModelError(f"nothing follows {prefix}", where=name, expected=f"{prefix}PATH", remedy="name the folder or file")
    return path


def results_contents(identity: Mapping[str, Any]) -> dict[str, str]:
    """`ModelSpec.contents` of a model that is somebody's results, of what identifies them."""
    return {"its results": provenance.digest(dict(identity))}


def resolved_file(
    name: str, gives: Gives, what: str, identity: Callable[[Path], Mapping[str, Any]], *, options: Mapping[str, Any], precision: str
) -> ResolvedModel:
    """A file of somebody's results as a model, which takes no options and has no precision.

    gives: what it holds, and the prefix of its name (`proposals`). what: the same in words. identity: of the path.
    Raises UsageError, and what `place_of` and `identity` raise.
    """
    for key in options:
        raise UsageError(f"a file of {what} has no options", where="-M", found=key, remedy="leave it out")
    if precision != "fp32":
        raise UsageError(f"{what} from a file have no precision", where="--precision", found=precision, remedy="leave it out")
    path = place_of(name, f"{gives}:")
    held = dict(identity(path))
    known = {gives: held, "precision": "fp32", "device_kind": "cpu"}
    spec = ModelSpec(f"{gives}:{path}", {}, "cpu", "fp32", contents=results_contents(held))
    return ResolvedModel(spec, f"{gives}_{slug(path.stem)}", path.stem, known, False, gives=gives)
