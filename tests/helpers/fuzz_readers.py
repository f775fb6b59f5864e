"""Every reader on mutated annotation files, and of results files: whatever is not an error of ours is a finding.

    python -m tests.helpers.fuzz_readers SEED N DATASET...     mutations in a process of its own, with a limit on its memory
    python -m tests.helpers.fuzz_readers SEED N results        of results files
"""

from __future__ import annotations

import json
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from sambench import cards, fixtures
from sambench.errors import SambenchError
from sambench.loaders.coco_results import read_results
from sambench.loaders.open import open_dataset
from sambench.loaders.results_check import check_boxes, check_ids
from sambench.sources.proposals import ProposalFile
from sambench.types import reader_of
from tests.helpers.mutate import mutated

SECONDS = 20  # of one mutated dataset, from opening it to its last mask
JSON_READERS = (
    "coco_2017_val", "ibd", "lvis_v05", "lvis_v1_val", "miap", "ndd20", "ndispark", "ovis", "pidray", "plittersdorf",
    "saco_gold_attributes", "saco_veval_sg", "streets",
    "timberseg", "trashcan", "uvo_v1", "visor", "woodscape", "zerowaste_f",
)  # fmt: skip
MEMORY = 3 << 30  # bytes of address space
PICTURES = (".jpg", ".jpeg", ".zip", ".h5", ".hdf5")


def annotation_files(root: Path) -> list[Path]:
    """The files of a fixture that hold annotations as text, or its label maps where there are none."""
    files = sorted(p for p in root.rglob("*") if p.is_file())
    texts = [p for p in files if p.suffix in (".json", ".csv", ".txt", ".xml")]
    return texts or [p for p in files if p.suffix.lower() not in PICTURES]


def read_all(dataset_id: str, root: Path) -> int:
    """Everything that a run asks of a dataset; the number of images that could be read."""
    dataset = open_dataset(cards.dataset_card(dataset_id), root=root)
    dataset.annotation_digest()
    whole = 0
    for record in list(dataset.index())[:20]:
        try:
            sample = dataset.load(record.image_id)
            if sample.annotated is not None:
                sample.annotated()
            whole += sample.image.shape == (sample.height, sample.width, 3)
        except SambenchError:
            continue
    for more in ("all_image_ids", "category_names"):
        if hasattr(reader_of(dataset), more):
            getattr(reader_of(dataset), more)()
    return whole


def findings(seed: int, n: int, datasets: tuple[str, ...], folder: Path) -> Iterator[str]:
    """What is wrong, one text a finding: an error that is not ours, or one that took too long."""
    rng = random.Random(seed)
    roots = {name: folder / name for name in datasets}
    for name, root in roots.items():
        fixtures.write(name, root)
    files = {name: annotation_files(root) for name, root in roots.items()}
    for k in range(n):
        name = datasets[k % len(datasets)]
        path = rng.choice(files[name])
        raw = path.read_bytes()
        path.write_bytes(mutated(raw, path.name, rng))
        finding = _tried(lambda name=name: read_all(name, roots[name]))
        if finding:
            kept = folder / f"finding-{seed}-{k}"
            kept.write_bytes(path.read_bytes())
            yield f"{name} {path.name} ({kept}): {finding}"
        path.write_bytes(raw)


RESULTS: list[dict[str, Any]] = [
    {"image_id": 1, "category_id": 1, "score": 0.9, "bbox": [8, 8, 20, 16]},
    {"image_id": 1, "category_id": 2, "score": 0.5, "segmentation": {"size": [48, 64], "counts": [392, 16, 2664]}},
    {"image_id": 2, "category_id": None, "score": 0.5, "segmentation": [[8, 8, 28, 8, 28, 24, 8, 24]], "bbox": [8, 8, 20, 16]},
    {"image_id": "x", "score": 1, "segmentation": {"size": [48, 64], "counts": "X<`0P10000000000000000000000000000000000000he1"}},
]


def read_results_file(path: Path) -> None:
    """Everything that is asked of a results file, be it boxes or proposals."""
    results = read_results(path)
    with suppress(SambenchError):
        check_ids(results, ["1", "2", "x"], {1: "cup", 2: "spoon"}, extra="drop")
    with suppress(SambenchError):
        check_boxes(results, results.image_ids, lambda _: (48, 64), box_format="auto")
    for image_id in results.image_ids:
        found = results.of(image_id)
        found.best(2).n_duplicates()
        for ask in (found.rle, found.region):
            for i in range(len(found)):
                with suppress(SambenchError):
                    ask(i, 48, 64)
        with suppress(SambenchError):
            found.boxes(48, 64)
    with suppress(SambenchError):
        source = ProposalFile(path)
        for image_id in results.image_ids:
            with suppress(SambenchError):
                source.proposals(image_id, (48, 64), 3)


def findings_of_results(seed: int, n: int, folder: Path) -> Iterator[str]:
    """As `findings`, of results files."""
    rng = random.Random(seed)
    raw = json.dumps(RESULTS).encode()
    for k in range(n):
        path = folder / f"results-{seed}-{k}.json"
        path.write_bytes(mutated(raw, path.name, rng))
        finding = _tried(lambda path=path: read_results_file(path))
        if finding:
            yield f"{path}: {finding}"
        else:
            path.unlink()


def _tried(read: Callable[[], object]) -> str:
    """What is wrong with what a call raises, or ''."""
    try:
        with limited():
            read()
    except SambenchError as e:
        return "" if "Traceback" not in str(e) else f"{e!s:.300}"
    except KeyboardInterrupt:
        raise
    except BaseException as e:  # noqa: BLE001 - that is what is looked for
        last = traceback.extract_tb(e.__traceback__)[-1]
        return f"{type(e).__name__}: {e!s:.200} at {last.filename}:{last.lineno}"
    return ""


class TooLong(BaseException):
    """No error of a reader: nothing catches it on its way."""


@contextmanager
def limited(seconds: int = SECONDS) -> Iterator[None]:
    """Raises TooLong in what takes longer."""

    def ring(_signal: int, _frame: Any) -> None:
        raise TooLong(f"more than {seconds} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def main() -> None:
    seed, n, *datasets = sys.argv[1:]
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    start, folder = time.perf_counter(), Path(tempfile.mkdtemp())
    found = []
    if datasets == ["results"]:
        met = findings_of_results(int(seed), int(n), folder)
    else:
        met = findings(int(seed), int(n), tuple(datasets) or JSON_READERS, folder)
    for finding in met:
        print(finding, file=sys.stderr, flush=True)
        found.append(finding)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    print(json.dumps({"findings": found, "peak_mib": peak, "seconds": round(time.perf_counter() - start, 1)}))
    if not found:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
