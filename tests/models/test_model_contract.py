"""What a model object may be and answer, and what ends with an error that says so: attributes, factories, answers, checkpoints."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from sambench.conformance import check_model
from sambench.errors import CardError, CheckpointError, ModelError, SambenchError, UsageError
from sambench.models.answers import as_predictions
from sambench.models.checkpoints import load_into, load_state_dict
from sambench.models.contract import examine, max_batch_of
from sambench.models.otsu import Otsu
from sambench.models.sam.build import SIGNATURES, build_sam
from sambench.sources.models import build, resolve
from sambench.tasks import build as task_of
from sambench.types import Prediction, Prompt
from tests.helpers import sambench
from tests.helpers.contract_models import Sound
from tests.helpers.golden_weights import manifest


def with_attribute(name: str, value: Any) -> Any:
    return type("Odd", (Sound,), {name: value})()


def raising(_: Any) -> Any:
    raise RuntimeError("not today")




def exits(_: Any) -> Any:
    raise SystemExit(0)


def deep(n: int) -> Any:
    out: Any = 1
    for _ in range(n):
        out = {"a": out}
    return out


ENDLESS: dict[str, Any] = {}
ENDLESS["self"] = ENDLESS


# --- attributes ---


class NoRepr:
    def __repr__(self) -> str:
        raise ValueError("no words")


ODD_BATCHES = ["8", -1, 0, 2.5, 8.0, True, None, [8], float("inf"), NoRepr(), property(raising), property(exits)]


@pytest.mark.parametrize("value", ODD_BATCHES, ids=range(len(ODD_BATCHES)))
def test_batch_sizes_that_do_not_fit(value: Any) -> None:
    with pytest.raises(ModelError, match="max_batch"):
        examine(with_attribute("max_batch", value))


def test_batch_sizes_that_fit() -> None:
    assert max_batch_of(Sound()) == 64
    assert [max_batch_of(with_attribute("max_batch", v)) for v in (1, np.int64(7), 10**12)] == [1, 7, 10**12]


@pytest.mark.parametrize(
    "value",
    [
        [1], "text", 3, {"a": np.ones(2)}, {"a": torch.ones(2)}, {"a": float("nan")}, {1: "a"}, {"a": {2: 3}}, {"a": object()},
        {"a": b"x"},
        deep(2000), ENDLESS, {"a": "x" * 2_000_000}, property(raising), property(exits), lambda self: raising(self),
        lambda self: [1],
    ],
    ids=range(17),
)  # fmt: skip
def test_identities_that_are_none(value: Any) -> None:
    with pytest.raises(ModelError, match="identity"):
        examine(with_attribute("identity", value))


def test_identities_that_are() -> None:
    given = {"a": (1, 2.5, None), "b": {"c": True}}
    assert examine(with_attribute("identity", given)).identity == {"a": [1, 2.5, None], "b": {"c": True}}
    assert examine(with_attribute("identity", lambda self: given)).identity["b"] == {"c": True}
    assert examine(Sound()).identity == {}


# --- answers ---


def answers(masks: Any = None, scores: Any = None, carry: Any = None) -> list[Any]:
    masks = np.ones((2, 4, 5), np.bool_) if masks is None else masks
    return [Prediction(masks, np.ones(len(masks), np.float32) if scores is None else scores, carry)]


@pytest.mark.parametrize(
    ("scores", "says"),
    [
        ([1.0, np.inf], "infinite"), ([-np.inf, 0], "infinite"), ([1e300, 0], "infinite"), ([np.nan, 0], "NaN"),
        (np.ones(2, complex), "real numbers"), (torch.ones(2, dtype=torch.complex64), "real numbers"), (np.ones((1, 2)), r"\[2\]"),
        (np.ones((2, 1)), r"\[2\]"), ([1.0], r"\[2\]"), (1.0, r"\[2\]"), (["a", "b"], "real numbers"), ([None, 1], "real numbers"),
        (torch.ones(2, device="meta"), "no array"), ([[1], [1, 2]], "no array"), (None, "real"),
    ],
    ids=repr,
)  # fmt: skip
def test_scores_that_are_none(scores: Any, says: str) -> None:
    given = [type("Answer", (), {"masks": np.ones((2, 4, 5), np.bool_), "scores": scores})()]
    with pytest.raises(ModelError, match=says):
        as_predictions(given, 1, 4, 5, where="image 'x'")


@pytest.mark.parametrize(
    "masks",
    [
        np.ones((2, 5, 4), bool), np.ones((4, 5), bool), np.ones((0, 4, 5), bool), np.ones((1, 2, 4, 5), bool),
        np.ones((2, 4, 5), complex),
        np.full((2, 4, 5), 0.3), np.full((2, 4, 5), np.nan), np.full((2, 4, 5), "a"), torch.ones((2, 4, 5), device="meta"),
        torch.ones((2, 4, 5)).to_sparse(), None, "masks", [[1], [1, 2]],
    ],
    ids=lambda m: f"{type(m).__name__} {getattr(m, 'dtype', '')} {list(getattr(m, 'shape', []))}",
)  # fmt: skip
def test_masks_that_are_none(masks: Any) -> None:
    given = [type("Answer", (), {"masks": masks, "scores": np.ones(2)})()]
    with pytest.raises(ModelError):
        as_predictions(given, 1, 4, 5, where="image 'x'")


def test_answers_that_are_taken() -> None:
    tensors = torch.tensor([0.5, 1], dtype=torch.bfloat16), torch.ones(2, requires_grad=True)
    for scores in ([1, 0], np.array([1, 0]), *tensors, [True, False]):
        (found,) = as_predictions(answers(scores=scores), 1, 4, 5, where="")
        assert found.scores.dtype == np.float32
        assert found.scores.shape == (2,)
    (one,) = as_predictions(answers(np.ones((1, 4, 5), np.bool_), 0.5), 1, 4, 5, where="")
    assert one.scores.tolist() == [0.5]


# --- factories of cards ---

FACTORIES = """
import sys
from tests.helpers.contract_models import Sound, Unprintable

class Fixed:
    __slots__ = ()
    encode, decode = Sound.encode, Sound.decode

not_callable = 3
def raises(**_): raise ValueError("no such layer")
def unprintable(**_): raise Unprintable
def exits(**_): sys.exit(0)
def nothing(**_): return None
def a_class(**_): return Sound
def a_number(**_): return 3
def fixed(**_): return Fixed()
def edges(**_): return type("E", (), {"edges": lambda self, image: image})()
def sound(**_): return Sound()
"""


@pytest.fixture
def card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    (tmp_path / "factories_of_a_test.py").write_text(FACTORIES)
    monkeypatch.syspath_prepend(str(tmp_path))

    def written(factory: str, module: str = "factories_of_a_test") -> str:
        text = f'kind = "model"\nid = "odd"\nname = "Odd"\nfactory = "{module}:{factory}"\nmax_batch = 8\nuses_torch = false\n'
        (tmp_path / "odd.toml").write_text(text)
        return str(tmp_path / "odd.toml")

    return written


@pytest.mark.parametrize(
    ("factory", "says"),
    [
        ("not_callable", "cannot be called"), ("raises", "no such layer"), ("unprintable", "Unprintable"), ("exits", "SystemExit"),
        ("nothing", "returned nothing"), ("a_class", "a class, not an object"), ("a_number", "no method 'encode'"),
        ("fixed", "no place for its batch size"), ("edges", "something else than the card says"), ("absent", "cannot be imported"),
    ],
)  # fmt: skip
def test_factories_of_cards_that_give_no_model(factory: str, says: str, card: Callable[..., str]) -> None:
    with pytest.raises((ModelError, CardError), match=says) as e:
        build(resolve(card(factory), {}, device="cpu", precision="fp32").spec)
    assert "odd" in str(e.value)
    assert build(resolve(card("sound"), {}, device="cpu", precision="fp32").spec).max_batch == 8


ENDS = [("sys.exit(0)", "SystemExit"), ("raise ValueError('bad')", "bad"), ("1 +", "SyntaxError")]


@pytest.mark.parametrize(("line", "says"), ENDS)
def test_a_module_that_exits_or_raises_while_it_is_imported_is_no_silent_end(line: str, says: str, tmp_path: Path) -> None:
    (tmp_path / "module_that_ends.py").write_text(f"import sys\n{line}\n")
    (tmp_path / "odd.toml").write_text('kind = "model"\nid = "odd"\nname = "Odd"\nfactory = "module_that_ends:make"\n')
    for model in (str(tmp_path / "odd.toml"), f"python:{tmp_path / 'module_that_ends.py'}:make"):
        with pytest.MonkeyPatch.context() as patch:
            patch.syspath_prepend(str(tmp_path))
            with pytest.raises(SambenchError, match=says):
                build(resolve(model, {}, device="cpu", precision="fp32").spec)


@pytest.mark.parametrize("file", ["x" * 5000, "a\0b", "~nobody_of_that_name/x"], ids=["long", "NUL", "home of nobody"])
def test_names_that_no_file_system_takes(file: str) -> None:
    with pytest.raises(ModelError, match="cannot be read"):
        resolve(f"python:{file}.py:make", {}, device="cpu", precision="fp32")


@pytest.mark.parametrize("prefix", ["edges:", "proposals:"])
@pytest.mark.parametrize("path", ["x" * 5000, "a\0b", "~nobody_of_that_name/x", ""], ids=["long", "NUL", "nobody's", "nothing"])
def test_places_of_maps_and_proposals_that_are_none(prefix: str, path: str) -> None:
    with pytest.raises(ModelError, match="follows"):
        resolve(prefix + path, {}, device="cpu", precision="fp32")


@pytest.mark.parametrize("weights", ["x" * 5000, "a\0b", "~nobody_of_that_name/x.pth"], ids=["long", "NUL", "home of nobody"])
def test_weights_that_no_file_system_takes(weights: str) -> None:
    with pytest.raises(SambenchError):
        resolve("sam_nano", {"weights": weights}, device="cpu", precision="fp32")


def test_devices_cuda_with_a_model_without_torch_says_that_it_runs_on_the_cpu() -> None:
    found = resolve("otsu", {}, device="cuda", precision="fp32")
    assert "runs on the CPU" in " ".join(found.notes)
    assert not resolve("otsu", {}, device="cpu", precision="fp32").notes


# --- models without logits ---


def test_models_without_logits_are_ranked_by_iou_and_it_is_said(tmp_path: Path) -> None:
    command = ["run", "proposals", "--datasets", "demo", "--model", "otsu", "--grid", "2", "--limit", "1", "--dry-run"]
    done = sambench(*command, "--out", str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert "ranked only by predicted IoU (--rank iou)" in done.stdout
    refused = sambench(*command, "--stability", "0.5", "--out", str(tmp_path))
    assert refused.returncode == 2
    assert "leave the flag out" in refused.stderr


def test_only_the_ranking_changes() -> None:
    task = task_of("proposals", {"grid": 3})
    fitted, _ = task.without_logits("x")
    assert fitted.identity() == task_of("proposals", {"grid": 3, "rank": "iou"}).identity()
    assert not fitted.wants_logits


# --- coordinates of weak models ---


class Weak(Otsu):
    """Draws a small square about the click: no object is found, but where it looked is plain."""

    swapped = False

    def decode(self, state: Any, prompts: list[Prompt]) -> list[Prediction]:
        out = []
        for p, known in zip(prompts, super().decode(state, prompts), strict=True):
            mask = np.zeros((known.masks.height, known.masks.width), np.bool_)
            x, y = p.points_xy[0].astype(int) if len(p.labels) else np.array(p.box_xyxy).reshape(2, 2).mean(axis=0).astype(int)
            x, y = (y, x) if self.swapped else (x, y)
            mask[max(0, y - 3) : y + 4, max(0, x - 3) : x + 4] = True
            out.append(Prediction(mask[None], np.ones(1, np.float32)))
        return out


def test_x_and_y_exchanged_is_seen_in_a_weak_model_too() -> None:
    found = {f.name: f.status for f in check_model(Weak())}
    assert (found["xy order"], found["boxes"]) == ("pass", "pass")
    swapped = type("Swapped", (Weak,), {"swapped": True})
    found = {f.name: f.status for f in check_model(swapped())}
    assert (found["xy order"], found["boxes"]) == ("fail", "fail")


# --- checkpoints ---


@pytest.mark.parametrize(
    "tensor",
    [
        torch.ones(2, 3, dtype=torch.int64), torch.ones(2, 3, dtype=torch.uint8), torch.ones(2, 3, dtype=torch.bool),
        torch.ones(2, 3, dtype=torch.complex64), torch.ones(2, 3).to_sparse(), torch.ones(2, 3, device="meta"),
    ],
    ids=lambda t: f"{t.dtype} {t.layout} {t.device}",
)  # fmt: skip
def test_tensors_that_are_no_weights_are_refused_by_name(tensor: torch.Tensor, tmp_path: Path) -> None:
    module = nn.Linear(3, 2)
    before = module.weight.detach().clone()
    state = {"weight": tensor, "bias": torch.ones(2)}
    torch.save(state, tmp_path / "w.pth")
    for given in (state, load_state_dict(tmp_path / "w.pth")):
        with pytest.raises(CheckpointError, match="weight is ") as e:
            load_into(module, given, where="w.pth")
        assert "floating" in str(e.value)
    assert torch.equal(module.weight, before)


@pytest.mark.filterwarnings("ignore:torch.quantize")
def test_quantized_weights_are_refused_and_counters_are_taken() -> None:
    quantized = torch.quantize_per_tensor(torch.ones(2, 3), 0.1, 0, torch.qint8)
    with pytest.raises(CheckpointError, match="quantized"):
        load_into(nn.Linear(3, 2), {"weight": quantized, "bias": torch.ones(2)}, where="")
    norm = nn.BatchNorm1d(2)
    load_into(norm, {**norm.state_dict(), "num_batches_tracked": torch.tensor(7, dtype=torch.int32)}, where="")
    assert int(norm.num_batches_tracked) == 7  # type: ignore[arg-type]
    with pytest.raises(CheckpointError, match=r"num_batches_tracked is torch\.float32"):
        load_into(norm, {**norm.state_dict(), "num_batches_tracked": torch.tensor(7.0)}, where="")


def zeros(arch: str, prefix: str = "") -> dict[str, torch.Tensor]:
    return {prefix + k: torch.zeros(()).expand(shape) for k, shape in manifest(arch).items()}


def refused(weights: Any, **options: Any) -> str:
    with pytest.raises(CheckpointError) as e:
        build_sam("vit_b", weights=weights, **options)
    return str(e.value)


def test_extra_names_get_other_advice_than_the_model_that_was_chosen() -> None:
    said = refused({**zeros("vit_b"), "head.weight": torch.zeros(1), "head.bias": torch.zeros(1)})
    assert "choose the model" not in said
    assert "save the file without the unknown names (those that begin with 'head')" in said
    said = refused({k: t for k, t in zeros("vit_b").items() if k != "image_encoder.neck.0.weight"})
    assert "choose the model" not in said
    assert "choose the model that the file is of (sam_vit_l)" in refused(zeros("vit_l"))


@pytest.mark.parametrize("prefix", ["net.", "sam_model.", "module.", "model.sam.", "_orig_mod.module."])
@pytest.mark.parametrize("more", [{}, {"loss.weight": torch.zeros(1), "another": torch.zeros(1)}], ids=["alone", "beside others"])
def test_a_nested_file_gets_the_whole_hint_at_once(prefix: str, more: dict[str, torch.Tensor], tmp_path: Path) -> None:
    """As PyTorch Lightning saves: the model is an attribute of the module that trains."""
    content = {"epoch": 3, "pytorch-lightning_version": "2.4.0", "state_dict": {**zeros("vit_b", prefix), **more}, "callbacks": {}}
    torch.save(content, tmp_path / "last.ckpt")
    assert f"-M key=state_dict -M strip_prefix={prefix} (" in refused(tmp_path / "last.ckpt")
    assert f"-M strip_prefix={prefix}" in refused(tmp_path / "last.ckpt", key="state_dict")
    assert f"-M strip_prefix={prefix}" in refused(tmp_path / "last.ckpt", key="state_dict", strip_prefix="nothing.")


def test_every_model_that_is_told_of_an_option_has_it(tmp_path: Path) -> None:
    state = {"net.a": torch.ones(1), "net.b": torch.ones(1)}
    torch.save({"model": state}, tmp_path / "w.pth")
    options: dict[str, Any] = {"weights": str(tmp_path / "w.pth")}
    with pytest.raises(CheckpointError, match="-M key=model -M strip_prefix=net"):
        build(resolve("sam_nano", options, device="cpu", precision="fp32").spec)
    options |= {"key": "model", "strip_prefix": "net."}
    with pytest.raises(CheckpointError, match="another architecture"):
        build(resolve("sam_nano", options, device="cpu", precision="fp32").spec)
    with pytest.raises(UsageError, match="unknown option"):
        resolve("otsu", {"strip_prefix": "net."}, device="cpu", precision="fp32")
    for name in ("key", "strip_prefix"):
        with pytest.raises(CheckpointError, match=f"{name} is not a text"):
            build(resolve("sam_nano", {**options, name: 3}, device="cpu", precision="fp32").spec)


def test_the_packaged_model_has_a_signature() -> None:
    from sambench.models.sam.nano import WEIGHTS

    found = {k: tuple(v.shape) for k, v in load_state_dict(WEIGHTS).items()}
    assert all(found.get(k) == shape for k, shape in SIGNATURES["sam_nano"].items())
    said = refused({k: torch.zeros(s) for k, s in found.items()})
    assert "choose the model that the file is of (sam_nano)" in said
    assert json.dumps(said)
