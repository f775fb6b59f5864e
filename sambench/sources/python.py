"""Models that are not sambench's: `python:path/to/file.py:factory`, or `python:package.module:factory`.

The factory is called with the options of the command line (`-M key=value`) as keyword arguments, and with `device` and
`precision` if it has parameters of these names. It returns any object with `encode(image)` and `decode(state,
prompts)`, or for the edge task with `edges(image)`; see :class:`sambench.types.Segmenter` and `EdgeDetector` for these
and for the optional attributes. The file's folder is put at the end of `sys.path`, so that it can import what lies
beside it.

Identity: sha256 of the file that holds the factory and of what it imports from its own folder or package (`sambench.code_files`), a
hash of the object that it builds (`engine.fingerprint`), and whatever the object's own `identity` says.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import keyword
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from sambench.code_files import local_sources, module_of
from sambench.errors import ModelError, SambenchError, near_names, shown
from sambench.files import content
from sambench.models.contract import construct, examine, went_wrong
from sambench.sources.base import ModelSpec, Progress, ResolvedModel, pick_device, slug
from sambench.sources.inputs import by_content, contents_of, same_contents
from sambench.types import Dataset, Gives

PREFIX = "python:"
_LONGEST = 80  # characters of a name for the screen
_FORM = "python:path/to/file.py:factory or python:package.module:factory"


class Spec(NamedTuple):
    """file: the .py file, or None for a module of that dotted name. factory: the name of a callable in it."""

    text: str
    file: Path | None
    module: str
    factory: str


def parse_spec(spec: str) -> Spec:
    """Take a spec apart. Raises ModelError if it has another form, or its file does not exist (naming near ones)."""
    target, colon, factory = spec.removeprefix(PREFIX).rpartition(":")
    named = bool(colon and target and factory.isidentifier()) and not keyword.iskeyword(factory)
    if not spec.startswith(PREFIX) or not named:
        raise ModelError(
            "a model's place is not readable",
            where=spec,
            expected=_FORM,
            remedy="name the function that returns the model after the last colon",
        )
    if not target.endswith(".py") and "/" not in target and "\\" not in target:
        if not all(part.isidentifier() for part in target.split(".")):
            raise ModelError("a model's place is not readable", where=spec, expected=_FORM, found=f"module {target!r}")
        return Spec(spec, None, target, factory)
    try:
        file = Path(target).expanduser()
        there, found = file.is_file(), "a folder" if file.is_dir() else "no such file"
    except (OSError, ValueError, RuntimeError) as e:  # longer than a file system takes, a NUL, an unknown ~user
        reason = (e.strerror if isinstance(e, OSError) else None) or str(e)
        raise ModelError("a model's file cannot be read", where=shown(target), expected="a Python file", found=reason) from e
    if not there:
        beside = [p.name for p in file.parent.glob("*.py")] if file.parent.is_dir() else []
        near = [str(file.parent / name) for name in near_names(file.name, beside)]
        remedy = f"did you mean {' or '.join(near)}?" if near else "check the path"
        raise ModelError("a model's file cannot be read", where=file, expected="a Python file", found=found, remedy=remedy)
    return Spec(spec, file.resolve(), file.stem, factory)


def check_spec(spec: str) -> str:
    """A short name for the model that `spec` stands for, without importing it. Raises ModelError as parse_spec does."""
    parsed = parse_spec(spec)
    return f"{parsed.module.rpartition('.')[2]}_{parsed.factory}"


def source_sha256(spec: str) -> str:
    """sha256 hex of the file that holds the factory. Raises ModelError if there is no such file."""
    file = _file_of(parse_spec(spec))
    try:
        return hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError as e:
        raise ModelError("a model's file cannot be read", where=file, found=e.strerror or repr(e)) from e


def imports_sha256(spec: str, *, loaded: bool) -> str | None:
    """sha256 hex over the files that the factory's file imports from its own folder or package; None where it imports none.

    loaded: those too that this process has loaded from there, as it has once the model is built; else those that import statements
    name, which every process finds alike. Raises ModelError if one cannot be read.
    """
    parsed = parse_spec(spec)
    imported = local_sources(_file_of(parsed), parsed.module if parsed.file is None else "", loaded=loaded)
    try:
        return content.files_digest(imported) if imported else None
    except OSError as e:
        raise ModelError("a file of a model cannot be read", where=e.filename, found=e.strerror or repr(e)) from e


def load_python_model(
    spec: str, *, options: Mapping[str, Any], device: str = "auto", precision: str = "fp32"
) -> object:
    """Import, call the factory, and check what it returns: an object with `encode` and `decode`.

    device: 'auto' leaves the choice of a device to a factory with a default for it. Raises ModelError that says what
    went wrong and on which line; errors of sambench's own that the factory raises pass unchanged.
    """
    parsed = parse_spec(spec)
    module = _import(parsed)
    factory = _factory(parsed, module)
    arguments = _arguments(parsed, factory, dict(options), device, precision)
    return construct(factory, arguments, where=spec, file=parsed.file)


def _import(spec: Spec) -> ModuleType:
    try:
        if spec.file is None:
            return importlib.import_module(spec.module)
        return module_of(spec.file)
    except (Exception, SystemExit) as e:
        raise _went_wrong("a model's module cannot be imported", spec, e) from e


def _factory(spec: Spec, module: ModuleType) -> Callable[..., Any]:
    factory = getattr(module, spec.factory, None)
    if callable(factory):
        return factory  # type: ignore[no-any-return]  # callable() narrows to Callable[..., object]
    own = {n: v for n, v in vars(module).items() if callable(v) and not n.startswith("_")}
    names = [n for n, v in own.items() if getattr(v, "__module__", None) == module.__name__] or list(own)  # not what it imports
    near = near_names(spec.factory, names)
    choice = f"did you mean {' or '.join(map(repr, near))}?" if near else None
    raise ModelError(
        f"a model's module has no factory {spec.factory!r}",
        where=spec.file or spec.module,
        expected="a function that returns the model",
        found=f"{spec.factory} = {shown(repr(factory))}" if factory is not None else f"functions: {', '.join(sorted(names))}",
        remedy=choice or "name one of its functions after the last colon",
    )


def _arguments(
    spec: Spec, factory: Callable[..., Any], options: dict[str, Any], device: str, precision: str
) -> dict[str, Any]:
    """The factory's keyword arguments. Raises ModelError if it can't be called with them."""
    try:
        signature = inspect.signature(factory)
    except (TypeError, ValueError):  # some builtins have none: the call itself will tell
        return options
    parameters = signature.parameters
    named = {n: p for n, p in parameters.items() if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
    arguments = dict(options)
    if "device" in named and "device" not in arguments and not (device == "auto" and _optional(named["device"])):
        arguments["device"] = device if device != "auto" else _first_device()
    if "precision" in named:
        arguments.setdefault("precision", precision)
    elif precision != "fp32" and "precision" not in arguments:
        raise ModelError(
            "a model's factory has no parameter for the precision asked for",
            where=spec.text,
            expected="a parameter `precision`",
            found=f"{spec.factory}{signature}",
            remedy="add one, or leave the flag out",
        )
    try:
        signature.bind(**arguments)
    except TypeError as e:
        unknown = [k for k in options if k not in named]
        near = near_names(unknown[0], named) if unknown else []
        raise ModelError(
            f"a model's factory cannot be called with these options: {e}",
            where=spec.text,
            expected=f"options that fit {spec.factory}{signature}",
            found=", ".join(f"{k}={v!r}" for k, v in arguments.items()) or "no options",
            remedy=f"did you mean {' or '.join(map(repr, near))}?" if near else "give its parameters as -M key=value",
        ) from e
    return arguments


def _optional(parameter: inspect.Parameter) -> bool:
    return parameter.default is not inspect.Parameter.empty


def _first_device() -> str:
    """For a factory that must be told: the first CUDA device if torch is loaded and has one, else the CPU."""
    torch = sys.modules.get("torch")
    return "cuda:0" if torch is not None and torch.cuda.is_available() else "cpu"


def _file_of(spec: Spec) -> Path:
    if spec.file is not None:
        return spec.file
    try:
        found = importlib.util.find_spec(spec.module)
    except (Exception, SystemExit) as e:  # of a package that it lies in
        raise _went_wrong("a model's module cannot be imported", spec, e) from e
    if found is None or not found.origin or not Path(found.origin).is_file():
        raise ModelError("a model's module has no file", where=spec.text, found=f"module {spec.module!r}")
    return Path(found.origin)


def _went_wrong(message: str, spec: Spec, error: BaseException) -> SambenchError:
    remedy = None
    if isinstance(error, ModuleNotFoundError) and spec.file is None and f"{spec.module}.".startswith(f"{error.name}."):
        remedy = "check the module's name and PYTHONPATH"
    return went_wrong(message, error, where=spec.text, file=spec.file, remedy=remedy)


def _contents(spec: ModelSpec) -> dict[str, str]:
    """`ModelSpec.contents`: what workers that start later must find, lest they mix two models."""
    held = contents_of(spec.options, code=lambda: source_sha256(spec.name))
    return {**held, "what its file imports": imports_sha256(spec.name, loaded=False) or ""}


class PythonSource:
    """A `LateSource`: only the built object knows its weights."""

    form = "python:path/to/file.py:factory"
    stored = False

    def gives(self, name: str) -> Gives | None:
        return None

    def resolve(
        self, name: str, options: Mapping[str, Any], *, device: str, precision: str, progress: Progress | None = None
    ) -> ResolvedModel:
        label = check_spec(name)
        spec = ModelSpec(name, dict(options), pick_device(device, True) if device != "auto" else "auto", precision)
        spec = replace(spec, contents=_contents(spec))
        ident = slug(label)
        return ResolvedModel(spec, ident, label, {}, True, label=label if label != ident and len(label) <= _LONGEST else "")

    def build(self, spec: ModelSpec) -> Any:
        model: Any = load_python_model(spec.name, options=spec.options, device=spec.device, precision=spec.precision)
        examine(model, spec.name)
        if spec.contents:
            same_contents(spec, _contents(spec))
        return model

    def check(self, spec: ModelSpec, dataset: Dataset, image_ids: Sequence[str]) -> list[str]:
        return []

    def code(self, spec: ModelSpec) -> dict[str, str]:
        out = {"source_sha256": source_sha256(spec.name)}
        imported = imports_sha256(spec.name, loaded=True)
        return {**out, "imports_sha256": imported} if imported else out

    def described(self, model: ResolvedModel, found: Mapping[str, Any]) -> ResolvedModel:
        kind = str(found["device_kind"])
        spec = replace(model.spec, device=str(found["device"]), probe=False)
        identity = {"factory": parse_spec(spec.name).factory, "python": dict(found["identity"])}
        identity["options"] = by_content(spec.options)
        identity |= {"max_batch": found["max_batch"], "precision": found["precision"], "device_kind": kind}
        notes = tuple(f"{model.id}: {note}" for note in found.get("notes", ()))
        if model.spec.device.startswith("cuda") and kind == "cpu":
            notes += (f"{model.id} runs on the CPU, not on {model.spec.device}: it says device_kind = 'cpu'",)
        return replace(model, spec=spec, identity=identity, gives=found["gives"], logits=found.get("logits"), notes=notes)


SOURCE = PythonSource()
