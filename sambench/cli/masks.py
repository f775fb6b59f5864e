"""`sambench masks`: automatic masks of pictures, without a dataset."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sambench.automatic.settings import AutomaticSettings
from sambench.cli.console import echo
from sambench.cli.options import Devices, Options, Precision, Quiet
from sambench.cli.requests import options_for
from sambench.cli.setting_flags import declare, flags_of, own_flags, read
from sambench.text import counted

if TYPE_CHECKING:
    from sambench.sources.models import ResolvedModel

_PRESET = "code: the released generator's defaults; paper: appendix B (crops, full-image filter, clean-up)."
_SETTINGS = flags_of("masks", AutomaticSettings)


def masks(
    images: Annotated[
        list[Path],
        typer.Argument(metavar="IMAGE...", help="Images, or folders of them: JPEG, PNG and whatever else Pillow reads."),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Where NAME_masks.json and NAME_masks.png go.")],
    model: Annotated[
        str, typer.Option("--model", "-m", metavar="NAME", help="A name, a card's path, or python:file.py:factory.")
    ] = "",
    option: Options = [],  # noqa: B006 - typer copies it
    preset: Annotated[str, typer.Option("--preset", metavar="NAME", help=_PRESET)] = "code",
    devices: Devices = "auto",
    precision: Precision = "fp32",
    quiet: Quiet = False,
    **given: Any,
) -> None:
    """Masks of everything in an image: a JSON in SA-1B's form, and a coloured overlay as PNG, for each image.

    The folder of the results is read again as proposals:DIR (a model) and as sa1b:DIR,IMAGES (a dataset). What is there
    already, of the same image, model and settings, is kept.
    """
    from sambench.automatic.settings import preset as preset_of
    from sambench.engine.plan import prepare_out

    settings = preset_of(preset, **read(_SETTINGS, given))
    images = _pictures(images)
    outputs = _checked(images, out)
    resolved = _resolve(model, option, devices, precision, quiet)
    prepare_out(out)
    failed = _run(images, outputs, resolved, settings, preset, quiet)
    if failed:
        echo(f"{failed} of {len(images)} images failed", err=True)
        raise typer.Exit(1)


def _in_order() -> Iterator[tuple[str, tuple[Any, Any]]]:
    """The command's flags, with those of the settings after the preset that they change."""
    for name, kind in own_flags(masks).items():
        yield name, kind
        if name == "preset":
            yield from ((setting, flag.declared()) for setting, flag in _SETTINGS.items())


declare(masks, dict(_in_order()))


def _pictures(given: Sequence[Path]) -> list[Path]:
    """The pictures themselves, each once, those of folders by name; our own overlays in them are none."""
    from sambench.errors import UsageError
    from sambench.loaders.file_patterns import SUFFIXES
    from sambench.loaders.sa1b import SUFFIX

    out: list[Path] = []
    for path in given:
        if not path.is_dir():
            out.append(path)
            continue
        found = sorted(p for p in path.iterdir() if p.suffix.lower() in SUFFIXES and not p.name.startswith(".") and p.is_file())
        if not found:
            remedy = "name the folder in which the images lie themselves"
            raise UsageError("a folder holds no images", where=path, expected=f"files {', '.join(SUFFIXES)}", remedy=remedy)
        out += [p for p in found if not (p.stem.endswith(SUFFIX) and p.with_suffix(".json").is_file())]
    return list({path.absolute(): path for path in out}.values())


def _checked(images: Sequence[Path], out: Path) -> list[tuple[Path, Path]]:
    """(JSON, PNG) for each picture. Raises before anything is computed: pictures that cannot be read, names that clash."""
    from sambench.errors import UsageError
    from sambench.loaders.images import read_size
    from sambench.loaders.sa1b import SUFFIX

    taken: dict[str, Path] = {}
    for path in images:
        read_size(path)
        if path.stem in taken:
            found = f"{taken[path.stem]} and {path}"
            remedy = "run them one after another, into directories of their own"
            raise UsageError(
                "two images would give files of the same name", expected="names that differ", found=found, remedy=remedy
            )
        taken[path.stem] = path
    outputs = [(out / f"{stem}{SUFFIX}.json", out / f"{stem}{SUFFIX}.png") for stem in taken]
    inputs = {p.resolve() for p in images}
    for pair in outputs:
        for file in pair:
            if file.resolve() in inputs:
                remedy = "choose another directory with --out"
                raise UsageError("a result would take the place of an image", where=file, remedy=remedy)
    return outputs


def _resolve(model: str, option: Sequence[str], devices: str, precision: str, quiet: bool) -> ResolvedModel:
    from sambench.device.precision import check_precision
    from sambench.engine.request import DEFAULT_MODEL
    from sambench.errors import UsageError
    from sambench.sources.models import gives_of, resolve

    check_precision(precision)
    name = model or DEFAULT_MODEL
    gives = gives_of(name)
    if gives not in (None, "masks", "single_mask"):
        expected = "a segmenter, which answers clicks with masks"
        raise UsageError(
            f"model {name!r} makes no masks of an image", where="--model", expected=expected, found=f"one that gives {gives}"
        )
    if not model and not quiet:
        echo(f"model: {name} (the default; --model chooses another)", err=True)
    return resolve(name, options_for(name, [name], option), device=devices, precision=precision)


def _run(
    images: Sequence[Path],
    outputs: Sequence[tuple[Path, Path]],
    model: ResolvedModel,
    settings: AutomaticSettings,
    preset: str,
    quiet: bool,
) -> int:
    """Picture by picture; returns how many failed. A failing picture is told and leaves no file."""
    from sambench.device.precision import computing
    from sambench.engine.failures import describe_error
    from sambench.errors import ModelError, RunError
    from sambench.sources.models import build

    segmenter = build(model.spec)
    failed = 0
    kind = model.spec.device.partition(":")[0]
    with _Progress(len(images), quiet=quiet) as progress, computing(model.spec.precision, kind):
        for path, (json_path, png_path) in zip(images, outputs, strict=True):
            progress.begin(path.name)
            try:
                n = _one(path, json_path, png_path, segmenter, model, settings, preset, progress.on_points)
            except (RunError, ModelError):  # the folder or the model, not the picture
                raise
            except Exception as e:  # noqa: BLE001 - a picture that is broken, or that a model fails on, is no reason to leave the others
                progress.say(f"{path}: {describe_error(e)}")
                failed += 1
                continue
            progress.done(path.name, *n)
            echo(f"{json_path}\n{png_path}")
    return failed


def _one(
    path: Path,
    json_path: Path,
    png_path: Path,
    segmenter: Any,
    model: ResolvedModel,
    settings: AutomaticSettings,
    preset: str,
    on_points: Callable[[int, int], None],
) -> tuple[int, bool]:
    """(number of masks, whether they were there already)."""
    from sambench.automatic.generate import generate, settings_dict
    from sambench.files.content import file_sha256
    from sambench.loaders.images import read_rgb
    from sambench.report.masks import masks_json, overlay, stored_masks, write_masks

    image = read_rgb(path)
    device = model.spec.device if model.spec.device.startswith("cuda") else None
    with_stability = settings.stability > 0
    height, width = image.shape[:2]
    about = {"image_id": path.stem, "file_name": path.name, "width": width, "height": height, "sha256": file_sha256(path)}
    made_by = {
        "model": {"id": model.id, "name": model.title, **model.identity},
        "preset": preset,
        "settings": settings_dict(settings),
    }
    held = stored_masks(json_path, png_path, about, made_by)
    if held is not None:
        return held, True
    found = generate(segmenter, image, settings, with_stability=with_stability, device=device, on_points=on_points)
    write_masks(masks_json(found, about, made_by), overlay(image, [m.rle for m in found]), json_path, png_path)
    return len(found), False


class _Progress:
    """A bar of points in a terminal, a line a picture elsewhere; on standard error."""

    def __init__(self, n_images: int, *, quiet: bool) -> None:
        from sambench.cli.console import err

        self.console, self.quiet, self.n_images, self.k = err(), quiet, n_images, 0
        self.bar: Any = None

    def __enter__(self) -> _Progress:
        if self.console.is_terminal and not self.quiet:
            from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

            text, points = TextColumn("{task.description}", markup=False), TextColumn("{task.completed}/{task.total} points")
            self.bar = Progress(text, BarColumn(bar_width=24), points, TimeRemainingColumn(), console=self.console, transient=True)
            self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.bar:
            self.bar.stop()

    def begin(self, name: str) -> None:
        """Of a picture."""
        self.k += 1
        if self.bar:
            for task in self.bar.task_ids:
                self.bar.remove_task(task)
            self.bar.add_task(f"{name} ({self.k} of {self.n_images})", total=None)

    def on_points(self, done: int, total: int) -> None:
        """How many points of the picture's are answered."""
        if self.bar:
            self.bar.update(self.bar.task_ids[-1], completed=done, total=total)

    def done(self, name: str, n_masks: int, stored: bool) -> None:
        """With a picture."""
        if not self.quiet and stored:
            self.say(f"{name}: {counted(n_masks, 'mask')}, there already ({self.k} of {self.n_images})")
        elif not self.quiet:
            hint = "" if n_masks else "; none passes the filters: try lower ones with --pred-iou and --stability"
            self.say(f"{name}: {counted(n_masks, 'mask')} ({self.k} of {self.n_images}){hint}")

    def say(self, text: str) -> None:
        """One line."""
        (self.bar.console if self.bar else self.console).print(text, soft_wrap=True)
