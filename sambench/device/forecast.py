"""How long the point task takes on GPUs, from what was measured there: an encoding an image, and nine rounds of clicks.

How the rounds' cost grows with an image's objects was measured at 20 and at 35 alone. So there are two figures: it grows with every
object from nothing (as between these two), or the decoder's rounds cost the same for one object as for 20, for launches are what
they wait for. Only what was measured is multiplied; what was not is named.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from sambench.device.memory import GIB, need_bytes, workers_of
from sambench.device.precision import check_precision
from sambench.errors import UsageError, unknown_name

# Memory that is free on an empty one, GiB. An H100 computes as an H200 does: the chip is the same (NVIDIA's data sheets).
GPUS = {"h100": 78, "h200": 139}
MEASURED_ON = "H200"
SOURCE = (
    "one H200, torch 2.11, commit befbb6f: one process per GPU, answers scored on the host, images read in line. Not measured "
    "since, so neither scoring on the device nor several workers per GPU nor reading ahead are in it"
)
ROUNDS_MS = 230.0  # of an image of 20 objects: the decoder in all nine rounds


@dataclass(frozen=True)
class Measured:
    """A model in one precision. encode_ms: an image, with its resizing. images_per_s: of the whole task, where that was measured.

    objects: an image, in that measurement.
    """

    encode_ms: float
    images_per_s: float | None
    objects: int = 35

    def object_ms(self, rounds_ms: float) -> float | None:
        """An object's share of what is neither encoding nor `rounds_ms`, a cost of the image."""
        if self.images_per_s is None:
            return None
        return (1e3 / self.images_per_s - self.encode_ms - rounds_ms) / self.objects


# The encoder alone took 172, 66 and 33.9 ms, and `encode` 13 to 16 ms more.
MEASURED: dict[str, dict[str, Measured]] = {
    "sam_vit_h": {"fp32": Measured(172 + 14.5, 1.1), "tf32": Measured(66 + 14.5, None), "bf16": Measured(33.9 + 14.5, 1.4)}
}
WEIGHTS_BYTES = {"sam_vit_h": 2_564_550_879}


@dataclass(frozen=True)
class Forecast:
    """seconds: of all GPUs together, the least and the most. encode_ms: an image. workers: a GPU; worker_bytes: of one, estimated.

    notes: what the figures rest on.
    """

    seconds: tuple[float, float]
    encode_ms: float
    workers: int
    worker_bytes: int
    notes: tuple[str, ...]


def parse_gpus(text: str, where: str = "--devices") -> tuple[int, str]:
    """`8xh100` -> (8, "h100"). Raises UsageError, also for a GPU of which nothing is known."""
    found = re.fullmatch(r"(?:(\d+)\s*x\s*)?([a-z]\w*)", text.strip().lower())
    if found is None or found[1] == "0" or len(found[1] or "") > 6:
        raise UsageError("GPUs that cannot be read", where=where, expected="a number and a name, as 8xh100", found=repr(text))
    if found[2] not in GPUS:
        raise unknown_name("GPU", found[2], GPUS, where=where)
    return int(found[1] or 1), found[2]


def forecast(model: str, precision: str, gpus: str, images: int, objects: int) -> Forecast:
    """For that many images with that many objects. Raises UsageError where nothing was measured of the model."""
    check_precision(precision)
    n, gpu = parse_gpus(gpus)
    if model not in MEASURED:
        raise UsageError(
            f"nothing was measured of model {model!r} on GPUs",
            where="--model",
            expected=", ".join(MEASURED),
            found=model,
            remedy="measure it: sambench run point --model NAME --devices cuda --limit 20, and see its time per image",
        )
    known = MEASURED[model][precision]
    notes = [f"measured on {SOURCE}"]
    whole = known
    if known.images_per_s is None:
        whole = MEASURED[model]["fp32"]
        notes.append(f"of {precision} only the encoder was measured; the rest is that of fp32")
    notes.append("least: decoding grows with every object of an image; most: few objects wait for launches as long as 20 do")
    if gpu.upper() != MEASURED_ON:
        notes.append(f"not measured on an {gpu.upper()}: taken to be as fast as an {MEASURED_ON}, whose chip is the same")
    if n > 1:
        notes.append("several GPUs were not measured: taken to share the images evenly, with a CPU that keeps up")
    weights = WEIGHTS_BYTES[model]
    notes.append("memory is estimated, not measured")
    least, most = (
        (images * (known.encode_ms + rounds) + objects * (whole.object_ms(rounds) or 0.0)) / 1e3 / n for rounds in (0.0, ROUNDS_MS)
    )
    workers = workers_of(GPUS[gpu] * GIB, weights, 16)
    return Forecast((min(least, most), max(least, most)), known.encode_ms, workers, need_bytes(weights), tuple(notes))
