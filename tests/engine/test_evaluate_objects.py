"""`sambench.evaluate`: weights are found wherever they hang, the model is put back as it was, and nothing stale is reused."""

from __future__ import annotations

import functools
import io
import multiprocessing
import threading
import warnings
import weakref
from collections import deque
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from torch import nn

import sambench
from sambench import Prediction
from sambench.errors import ModelError, UsageError
from sambench.models.contract import examine
from sambench.sources.describe import describe_object
from sambench.sources.fingerprint import Walk, settle
from tests.helpers import CASES

CASE = CASES / "18-evaluate-stale-epoch"
CUT = 128.0


class Predictor:
    """As SamPredictor: no module itself, has one as `.model`, and keeps the last image."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model

    def set_image(self, image: np.ndarray) -> None:
        self.image = image

    def predict(self) -> np.ndarray:
        return self.image[:, :, 0] > float(self.model.weight.detach())


class Mine:
    """The case's model: a predictor that holds a module, and a count of its calls."""

    def __init__(self, net: nn.Module) -> None:
        self.predictor = Predictor(net)

    def encode(self, image: np.ndarray) -> np.ndarray:
        CALLS.append(1)
        self.predictor.set_image(image)
        return image

    def decode(self, image: np.ndarray, prompts: list[Any]) -> list[Prediction]:
        return [Prediction(self.predictor.predict()[None], np.ones(1, np.float32)) for _ in prompts]


CALLS: deque[int] = deque()


class Holds:
    """A model whose threshold hangs anywhere; found: how to get at it."""

    def __init__(self, held: Any, cut: Any) -> None:
        self.held, self.cut = held, cut

    def encode(self, image: np.ndarray) -> np.ndarray:
        return image

    def decode(self, image: np.ndarray, prompts: list[Any]) -> list[Prediction]:
        return [Prediction((image[:, :, 0] > self.cut(self.held))[None], np.ones(1, np.float32)) for _ in prompts]


def net_of(weight: float) -> nn.Linear:
    net = nn.Linear(1, 1, bias=False)
    net.weight.data[:] = weight
    return net


def evaluate(model: Any, out: Path, name: str = "mine", **more: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        more |= {"root": str(CASE), "settings": {"clicks": (1,)}}
        return sambench.evaluate(model, "point", datasets=str(CASE / "card.toml"), name=name, out=out, **more)


def miou(results: Any) -> float:
    return round(results.table().to_dict("records")[0]["miou@1"], 3)


def test_the_case_of_a_stale_epoch(tmp_path: Path) -> None:
    net = net_of(CUT)
    assert miou(evaluate(Mine(net), tmp_path)) == 0.444
    net.weight.data[:] = 250
    assert miou(evaluate(Mine(net), tmp_path)) == 0.0


def test_an_unchanged_model_is_not_computed_twice(tmp_path: Path) -> None:
    mine = Mine(net_of(CUT))
    CALLS.clear()
    first = evaluate(mine, tmp_path)
    n = len(CALLS)
    assert n
    for again in (mine, Mine(mine.predictor.model), Mine(net_of(CUT))):  # its predictor has kept an image meanwhile
        assert evaluate(again, tmp_path).paths == first.paths
    assert len(CALLS) == n
    mine.predictor.image = mine.predictor.image + 1  # which the run did not do
    assert evaluate(mine, tmp_path).paths != first.paths


def test_a_name_labels_and_identifies_nothing(tmp_path: Path) -> None:
    CALLS.clear()
    first = evaluate(Mine(net_of(CUT)), tmp_path, name="epoch 1")
    n = len(CALLS)
    assert first.paths[0].parent.name.startswith("point-epoch 1-")
    second = evaluate(Mine(net_of(CUT)), tmp_path, name="epoch 2")
    assert second.paths == first.paths
    assert len(CALLS) == n
    assert "under another name" in " ".join(second.notes)
    odd = evaluate(Mine(net_of(1.0)), tmp_path, name="../a/b\n" + "x" * 300)
    assert odd.paths[0].parent.parent == tmp_path


class Slots:
    __slots__ = ("w",)


class Buffer(nn.Module):
    def __init__(self, value: float) -> None:
        super().__init__()
        self.register_buffer("w", torch.tensor([value]), persistent=False)


def slots(value: float) -> Slots:
    out = Slots()
    out.w = torch.tensor([value])
    return out


def cyclic(value: float) -> list[Any]:
    out: list[Any] = [net_of(value)]
    out.append(out)
    return out


GLOBAL = {"net": net_of(CUT)}


def from_global(held: Any) -> float:
    return float(GLOBAL["net"].weight.detach())


def global_set_to(value: float) -> None:
    GLOBAL["net"] = net_of(value)


PLACES: dict[str, tuple[Any, Any]] = {
    "dict": (lambda v: {"a": {"b": net_of(v)}}, lambda h: float(h["a"]["b"].weight.detach())),
    "list": (lambda v: [None, (net_of(v),)], lambda h: float(h[1][0].weight.detach())),
    "bare tensor": (lambda v: torch.tensor([v]), float),
    "parameter": (lambda v: nn.Parameter(torch.tensor([v])), lambda h: float(h.detach())),
    "bfloat16": (lambda v: torch.tensor([v], dtype=torch.bfloat16), float),
    "sparse": (lambda v: torch.tensor([v]).to_sparse(), lambda h: float(h.to_dense())),
    "numpy": (lambda v: np.array([v]), lambda h: float(h[0])),
    "array of objects": (lambda v: np.array([net_of(v)], object), lambda h: float(h[0].weight.detach())),
    "slots": (slots, lambda h: float(h.w)),
    "buffer that is not saved": (Buffer, lambda h: float(h.w)),
    "closure": (lambda v: (lambda net: lambda: float(net.weight.detach()))(net_of(v)), lambda h: h()),
    "partial": (lambda v: functools.partial(lambda net: float(net.weight.detach()), net_of(v)), lambda h: h()),
    "bound method": (lambda v: torch.tensor([v]).item, lambda h: h()),
    "cycle": (cyclic, lambda h: float(h[0].weight.detach())),
    "global": (global_set_to, from_global),
    "plain attribute": (lambda v: [v, torch.ones(1)], lambda h: h[0]),
    "attribute of a module": (lambda v: _with_threshold(v), lambda h: h.threshold),
}


def _with_threshold(value: float) -> nn.Module:
    net = net_of(1.0)
    net.threshold = value  # type: ignore[assignment]
    return net


@pytest.mark.parametrize("place", PLACES)
def test_weights_are_found_wherever_they_hang(place: str, tmp_path: Path) -> None:
    make, cut = PLACES[place]
    first = evaluate(Holds(make(CUT), cut), tmp_path)
    again = evaluate(Holds(make(CUT), cut), tmp_path)
    other = evaluate(Holds(make(250.0), cut), tmp_path)
    assert (miou(first), miou(other)) == (0.444, 0.0)
    assert again.paths == first.paths, again.notes


@pytest.mark.parametrize("held", [1, cv2.createCLAHE()], ids=["no weights", "a thing of C"])
def test_where_weights_are_not_found_nothing_is_reused_and_it_says_so(held: Any, tmp_path: Path) -> None:
    first, second = (evaluate(Holds([held], lambda _: CUT), tmp_path) for _ in range(2))
    assert first.paths != second.paths
    assert "nothing is reused" in " ".join(second.notes)
    if held != 1:
        assert "CLAHE" in " ".join(evaluate(Holds([held, torch.ones(1)], lambda _: CUT), tmp_path).notes)
    named = Holds([held], lambda _: CUT)
    named.identity = {"version": 1}  # type: ignore[attr-defined]
    assert evaluate(named, tmp_path).paths == evaluate(named, tmp_path).paths
    named.identity["version"] = 2  # type: ignore[attr-defined]
    assert evaluate(named, tmp_path).paths not in (first.paths, second.paths)


def test_the_warning_is_a_warning(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="no weights were found"):
        sambench.evaluate(
            Holds(1, lambda _: CUT), datasets=str(CASE / "card.toml"), root=str(CASE), settings={"clicks": (1,)}, out=tmp_path
        )


class Network(nn.Module):
    """Notes the mode in which it runs; `frozen` stays in evaluation mode during training, as people freeze batch norms."""

    def __init__(self, fails: bool = False) -> None:
        super().__init__()
        self.layer, self.frozen = nn.Linear(1, 1), nn.BatchNorm1d(1)
        self.fails = fails
        self.seen: set[tuple[bool, bool]] = set()

    def forward(self, image: np.ndarray) -> np.ndarray:
        self.seen.add((self.training or self.layer.training, self.layer(torch.ones(1)).requires_grad))
        if self.fails:
            raise KeyboardInterrupt
        return image[:, :, 0] > 128


class Wraps(Holds):
    def decode(self, image: np.ndarray, prompts: list[Any]) -> list[Prediction]:
        return [Prediction(self.held["net"](image)[None], np.ones(1, np.float32)) for _ in prompts]


@pytest.mark.parametrize("fails", [False, True])
def test_the_module_runs_in_evaluation_mode_without_gradients_and_is_put_back(fails: bool, tmp_path: Path) -> None:
    net = Network(fails).train()
    net.frozen.eval()
    model = Wraps({"net": net}, None)
    if fails:
        with pytest.raises(KeyboardInterrupt):
            evaluate(model, tmp_path)
    else:
        assert miou(evaluate(model, tmp_path)) == 0.444
    assert net.seen == {(False, False)}
    assert (net.training, net.layer.training, net.frozen.training) == (True, True, False)
    assert torch.is_grad_enabled()
    assert net.layer(torch.ones(1)).requires_grad


def digest(model: Any) -> str:
    return Walk().of(model)


class Normalised(nn.Module):
    """Its statistics move whenever it is called in training mode."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(3)

    def encode(self, image: np.ndarray) -> torch.Tensor:
        return self.norm(torch.as_tensor(image).permute(2, 0, 1)[None].float())

    def decode(self, state: torch.Tensor, prompts: list[Any]) -> list[Prediction]:
        return [Prediction(state[0, :1].numpy() > 1, np.ones(1, np.float32)) for _ in prompts]


def test_a_look_at_the_model_before_the_run_changes_nothing_of_it() -> None:
    model = Normalised().train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    assert describe_object(model, probe=True).logits is False
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert model.training
    assert model.norm.training


def test_tensors_outside_of_modules_have_no_gradients_either(tmp_path: Path) -> None:
    weight = torch.tensor([CUT], requires_grad=True)
    assert miou(evaluate(Holds(weight, lambda w: (w * 1.0).numpy()[0]), tmp_path)) == 0.444


class Slot:
    """Somebody's class, with attributes that elsewhere say how a model runs."""


def slot(name: str, value: Any) -> Slot:
    made = Slot()
    setattr(made, name, value)
    return made


def local(value: float) -> threading.local:
    made = threading.local()
    made.cut = value
    return made


def in_buffer(value: float) -> io.BytesIO:
    return io.BytesIO(np.float64(value).tobytes())


HIDDEN: dict[str, tuple[Any, Any]] = {
    "identity": (lambda v: slot("identity", torch.tensor(v)), lambda h: float(h.identity)),
    "identity dict": (lambda v: slot("identity", {"cut": v}), lambda h: h.identity["cut"]),
    "training": (lambda v: slot("training", {"cut": v}), lambda h: h.training["cut"]),
    "device": (lambda v: slot("device", [v]), lambda h: h.device[0]),
    "weak": (lambda v: weakref.ref(KEPT.setdefault(v, net_of(v))), lambda h: float(h().weight.detach())),
    "proxy": (lambda v: weakref.proxy(KEPT.setdefault(v, net_of(v))), lambda h: float(h.weight.detach())),
    "thread": (local, lambda h: h.cut),
    "buffer": (in_buffer, lambda h: float(np.frombuffer(h.getvalue())[0])),
    "process": (lambda v: multiprocessing.Value("d", v), lambda h: h.value),
}  # fmt: skip
KEPT: dict[float, nn.Linear] = {}


@pytest.mark.parametrize("place", HIDDEN)
def test_parts_are_found_behind_names_and_types_of_other_things(place: str) -> None:
    make, read = HIDDEN[place]
    one, other = (Holds(make(v), read) for v in (CUT, 250.0))
    assert (read(one.held), read(other.held)) == (CUT, 250.0)
    a, b = Walk(), Walk()
    assert a.of(one) != b.of(other) or a.unseen


def test_modes_and_devices_are_no_part() -> None:
    def digest(**named: Any) -> str:
        made = Slot()
        vars(made).update(named)
        return Walk().of(made)

    assert digest(training=True, device="cpu") == digest(training=False, device=torch.device("cpu")) == digest()


def test_an_identity_that_is_a_part_of_the_model_is_not_meant(tmp_path: Path) -> None:
    class Own(nn.Module):
        def __init__(self, made: Any) -> None:
            super().__init__()
            self.identity = made

        encode, decode = Normalised.encode, Normalised.decode

    for made in (nn.Identity(), nn.Parameter(torch.ones(2)), np.ones(2), object(), Slot()):
        assert examine(Own(made)).identity == {}
    assert Walk().of(Own(nn.Parameter(torch.ones(2)))) != Walk().of(Own(nn.Parameter(torch.zeros(2))))


def test_the_hash_is_the_same_for_the_same_and_needs_no_address() -> None:
    a, b = ({"x": net_of(1.0), "y": [1, {2, 3}]}, {"y": [1, {3, 2}], "x": net_of(1.0)})
    assert digest(a) == digest(b)
    shared = net_of(1.0)
    assert digest(Holds([shared, shared], None)) == digest(Holds([net_of(1.0), net_of(1.0)], None))
    locked = Holds([net_of(1.0)], None)
    before = digest(locked)
    locked.held[0].train(not locked.held[0].training)
    locked.held[0].weight.grad = torch.ones(1, 1)
    assert digest(locked) == before
    assert digest([threading.Lock()]) == digest([threading.Lock()])


def test_code_counts_and_where_it_stands_does_not() -> None:
    def made(body: str, module: str) -> Any:
        space: dict[str, Any] = {"__name__": module}
        exec(compile(f"import math\nclass M:\n    def decode(self, s, p): return {body}\n", f"/{module}.py", "exec"), space)
        return space["M"]()

    assert digest(made("s + 1", "a")) == digest(made("s + 1", "b"))
    assert digest(made("s + 1", "a")) != digest(made("s + 2", "a"))


def test_what_a_run_changed_counts_as_before_until_somebody_else_changes_it() -> None:
    mine = Mine(net_of(CUT))
    walk = Walk()
    before = walk.of(mine)
    mine.encode(np.zeros((4, 4, 3), np.uint8))
    assert digest(mine) != before
    settle(mine, walk)
    assert digest(mine) == before
    mine.predictor.model.weight.data[:] = 1
    assert digest(mine) != before


def test_run_names_evaluate_for_an_object(tmp_path: Path) -> None:
    for model in (Mine(net_of(1.0)), [Mine(net_of(1.0))]):
        with pytest.raises(UsageError, match=r"sambench\.evaluate"):
            sambench.run("point", model=model, out=tmp_path)  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("batch", ["8", -1, 0, 2.0, True, None, float("nan")], ids=repr)
def test_a_batch_size_that_is_none_is_refused_before_anything_runs(batch: Any, tmp_path: Path) -> None:
    model = Mine(net_of(CUT))
    model.max_batch = batch  # type: ignore[attr-defined]
    with pytest.raises(ModelError, match="max_batch"):
        evaluate(model, tmp_path / "out")
    assert not (tmp_path / "out").exists()
