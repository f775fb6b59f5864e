"""What of this machine a run depends on, looked at one thing after the other. Nothing is printed, changed or downloaded here."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

from sambench import cards, paths
from sambench.errors import SambenchError, system_error
from sambench.files import content
from sambench.getting import part_file
from sambench.getting import weights as fetch
from sambench.loaders.open import check_layout, find_place, read_roots, roots_file
from sambench.text import human_bytes

_OPENCV = ("opencv-python", "opencv-python-headless", "opencv-contrib-python", "opencv-contrib-python-headless")
_LOW = 2 * 10**9  # bytes; less free space than this is worth a note: rows, masks and one checkpoint fit in it


class Check(NamedTuple):
    """One thing looked at. ok: True, False (a run will fail or mislead), or None: worth knowing, nothing wrong.

    part: of the machine, as `examine` names them.
    """

    name: str
    ok: bool | None
    found: str
    remedy: str = ""
    part: str = ""


def examine() -> list[Check]:
    """All checks, in the order of the table of contents below. Never raises: what cannot be examined is a failed check."""
    parts: list[tuple[str, Callable[[], Iterator[Check]]]] = [
        ("python", _python),
        ("libraries", _libraries),
        ("opencv", _opencv),
        ("devices", _devices),
        ("folders", _folders),
        ("cards", _cards),
        ("data", _data),
        ("weights", _weights),
        ("terminal", _terminal),
    ]
    checks: list[Check] = []
    for name, part in parts:
        before = len(checks)
        try:
            with content.unwritten():
                checks.extend(part())
        except SambenchError as e:
            checks.append(_failed(name, e))
        except OSError as e:
            checks.append(_failed(name, system_error(e)))
        except Exception as e:  # noqa: BLE001 - a broken installation breaks in any way, and the other checks still matter
            checks.append(Check(name, False, f"cannot be examined: {type(e).__name__}: {e}", "mend this before anything else"))
        checks[before:] = [c._replace(part=name) for c in checks[before:]]
    return checks


def _failed(name: str, e: SambenchError) -> Check:
    details = [str(part) for part in (e.where, e.found) if part is not None]
    return Check(name, False, f"{e.message} ({'; '.join(details)})" if details else e.message, e.advice() or "")


def _requirements() -> dict[str, str]:
    """Required version ranges by distribution name, 'python' among them, as the installed package declares them."""
    from packaging.requirements import Requirement

    package = metadata.metadata("sambench")
    wanted = [Requirement(text) for text in metadata.requires("sambench") or []]
    out = {r.name: str(r.specifier) for r in wanted if r.marker is None or r.marker.evaluate({"extra": ""})}
    return {"python": package["Requires-Python"] or "", **out}


def _fits(version: str, wanted: str) -> bool:
    from packaging.specifiers import SpecifierSet

    return SpecifierSet(wanted).contains(version, prereleases=True)


def _python() -> Iterator[Check]:
    version = platform.python_version()
    found = f"{version} ({sys.executable}) on {platform.platform()}, {_cpus()} CPUs"
    try:
        wanted = _requirements()["python"]
    except metadata.PackageNotFoundError:
        yield Check("python", None, f"{found}; sambench is not installed here", "pip install -c constraints.txt -e .")
        return
    ok = _fits(version, wanted)
    yield Check("python", ok, found, "" if ok else f"use a Python {wanted}")


def _libraries() -> Iterator[Check]:
    try:
        wanted = _requirements()
    except metadata.PackageNotFoundError:
        return  # said by _python
    for name, versions in wanted.items():
        if name == "python":
            continue
        try:
            version = metadata.version(name)
        except metadata.PackageNotFoundError:
            if name in _OPENCV:
                continue  # any of the four brings cv2; _opencv looks
            yield Check(name, False, f"not installed (needed: {versions})", f"pip install '{name}{versions}'")
            continue
        ok = _fits(version, versions)
        yield Check(name, ok, version if ok else f"{version} (needed: {versions})", "" if ok else f"pip install '{name}{versions}'")


def _opencv() -> Iterator[Check]:
    installed = {}
    for name in _OPENCV:
        try:
            installed[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    one = "opencv-python-headless"
    again = f"pip uninstall -y {' '.join(installed)} && pip install {one}"
    try:
        import cv2
    except ImportError as e:
        why = "for want of a desktop library, which the headless package does without" if installed else "since it is not installed"
        yield Check("cv2", False, f"does not import, {why}: {e}", again if installed else f"pip install {one}")
        return
    found = f"{cv2.__version__}, {cv2.getNumThreads()} threads, from {', '.join(installed) or 'another source than pip'}"
    if len(installed) < 2:
        yield Check("cv2", True, found)
    else:  # they unpack into the same folder, and the last one wins
        same = len(set(installed.values())) == 1
        yield Check("cv2", None if same else False, f"{found}: {len(installed)} packages in one folder", again)


def _devices() -> Iterator[Check]:
    import torch

    omp = os.environ.get("OMP_NUM_THREADS")
    threads = f"{torch.get_num_threads()} threads" + (f" (OMP_NUM_THREADS={omp})" if omp else "")
    yield Check("torch threads", True, threads)
    here = sorted(Path("/dev").glob("nvidia[0-9]*"))
    if not torch.cuda.is_available():
        if here and torch.version.cuda is None:
            yield Check("cuda", False, f"{len(here)} NVIDIA devices, but a torch for CPUs only", "install a CUDA build of torch")
        elif here:
            yield Check("cuda", False, f"{len(here)} NVIDIA devices that torch cannot use", "check the driver with nvidia-smi")
        else:
            yield Check("cuda", None, "no devices; models run on the CPU")
        return
    for i in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(i)
        yield Check(f"cuda:{i}", True, f"{properties.name}, {human_bytes(properties.total_memory)}")


def _cpus() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _folders() -> Iterator[Check]:
    for variable, path in (("SAMBENCH_HOME", paths.home()), ("SAMBENCH_CACHE", paths.cache())):
        yield _writable(variable, path)
    root = paths.data_root()
    if root.is_dir():
        yield Check("SAMBENCH_DATA", os.access(root, os.R_OK | os.X_OK), _place("SAMBENCH_DATA", root), "")
    elif os.environ.get("SAMBENCH_DATA"):
        yield Check("SAMBENCH_DATA", False, f"{root}: no such folder", "set SAMBENCH_DATA to the folder of your datasets")
    else:
        yield Check("SAMBENCH_DATA", None, f"{root} (default): not there", "set SAMBENCH_DATA if your datasets are elsewhere")
    for dataset, adopted in sorted(read_roots().items()):
        if not Path(adopted).is_dir():
            remedy = f"mount it, or adopt another copy: sambench data adopt {dataset} FOLDER"
            yield Check(f"adopted {dataset}", False, f"{adopted} (recorded in {roots_file()}): no such folder", remedy)


def _writable(variable: str, path: Path) -> Check:
    nearest = next((p for p in (path, *path.absolute().parents) if p.exists()), Path("/"))
    found = _place(variable, path) + ("" if path.exists() else ", made on first use")
    if not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK):
        found = f"{_place(variable, path)}: {nearest} is {'not writable' if nearest.is_dir() else 'a file'}"
        return Check(variable, False, found, f"mend its permissions, or set {variable} to a folder of yours")
    if shutil.disk_usage(nearest).free < _LOW:
        return Check(variable, None, found, f"make room, or set {variable} to a folder on another disk")
    return Check(variable, True, found)


def _place(variable: str, path: Path) -> str:
    nearest = next((p for p in (path, *path.absolute().parents) if p.exists()), Path("/"))
    default = "" if os.environ.get(variable) else " (default)"
    return f"{path}{default}, {human_bytes(shutil.disk_usage(nearest).free)} free"


def _cards() -> Iterator[Check]:
    datasets, models, suites = cards.dataset_cards(), cards.model_cards(), cards.suite_cards()
    broken = 0
    entries = [(f"dataset {c.id}", c.reader) for c in datasets.values()] + [(f"model {c.id}", c.factory) for c in models.values()]
    for name, entry in entries:
        try:
            cards.load_entry(entry, where=f"card of {name}")
        except SambenchError as e:
            broken += 1
            yield _failed(f"card of {name}", e)
    found = f"{len(datasets)} datasets, {len(models)} models, {len(suites)} suites"
    yield Check("cards", broken == 0, found + (f"; {broken} cannot be used" if broken else ""))
    for suite in suites.values():
        lacking = [d for d in suite.datasets if d not in datasets]
        if lacking:
            n = len(suite.members)
            yield Check(f"suite {suite.id}", None, f"{n - len(lacking)} of {n} members have a card")


def _data() -> Iterator[Check]:
    for card in cards.dataset_cards().values():
        name = f"data {card.id}"
        place = find_place(card)
        if card.access.state == "embedded":
            yield Check(name, True, "generated on first use" if place is None or not place.path.exists() else str(place.path))
        elif place is None:
            yield Check(name, None, f"not on this machine (access: {card.access.state})", f"sambench show dataset {card.id}")
        else:
            try:
                check_layout(card, place.path)
            except SambenchError as e:
                yield _failed(name, e)
            else:
                yield Check(name, True, f"{place.path}, {place.how}")


def _weights() -> Iterator[Check]:
    for card in cards.model_cards().values():
        if card.weights is None:
            continue
        name, path = f"weights {card.id}", fetch.cached_weights(card)
        part = part_file.name_of(path)
        size = f" ({human_bytes(card.weights.bytes)})" if card.weights.bytes else ""
        if path.is_file():
            try:
                fetch.check_cached(card.id, card.weights, path)
            except SambenchError as e:
                yield _failed(name, e)
            else:
                yield Check(name, True, f"{path}{size}, verified")
        elif part.is_file():
            yield Check(name, None, f"{human_bytes(part.stat().st_size)}{size} in {part}", "the next use goes on with the download")
        else:
            yield Check(name, None, f"not in the cache{size}; {fetch.how_to_get(card)}")


def _terminal() -> Iterator[Check]:
    encoding = (getattr(sys.stdout, "encoding", None) or "unknown").lower()
    columns, lines = shutil.get_terminal_size()
    found = f"{columns} x {lines}, " if sys.stdout.isatty() else "none (plain lines instead of a progress bar), "
    ok = True if "utf" in encoding else None
    yield Check("terminal", ok, found + encoding, "" if ok else "set PYTHONUTF8=1 to see all characters of tables")
