"""Rows of `benchmarks.gpu` about one model: how exact a device is, and its encoder and decoder, plain, as a graph and compiled."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.gpu_measuring import Row, Setup, graphed, timed_ms
from benchmarks.gpu_world import Pictures, big_sam, official
from sambench.conformance import compare_devices
from sambench.device.compiling import compile_fixed, compiling
from sambench.device.precision import computing
from sambench.errors import ModelError
from sambench.models.sam.nano import sam_nano
from sambench.types import Prompt


def precision_rows(setup: Setup) -> Iterator[Row]:
    """How far the device is from the CPU in fp32, in standard deviations: `sambench check model sam_nano`'s figures."""
    for precision in setup.precisions:
        asked = "fp32" if precision == "tf32" else precision
        found = compare_devices(sam_nano(device=setup.device, precision=asked), sam_nano(), precision=precision)
        for finding, goal in zip(found[:2], ("0.0001", "0.002"), strict=True):
            name = f"{precision}, {finding.name.partition(': ')[2]} against cpu fp32"
            apart = float(finding.found.split("up to ")[1].split()[0])
            yield Row(name, apart, "std", goal=f"<= {goal}" if precision == "fp32" else "")


@torch.inference_mode()
def encoder_rows(setup: Setup) -> Iterator[Row]:
    """The encoder alone, and what `encode` adds."""
    image = Pictures(1, 4).load("0").image
    for precision in setup.precisions:
        model = big_sam(setup.arch, setup.device, "fp32" if precision == "tf32" else precision)
        peer = official(setup.arch, setup.device, model.model.state_dict()) if precision != "bf16" else None
        dtype = torch.bfloat16 if precision == "bf16" else torch.float32
        pixels = torch.randn(1, 3, 1024, 1024, device=setup.device, generator=torch.Generator(setup.device).manual_seed(0))
        with computing(precision, setup.kind):
            given = pixels.to(dtype)
            alone = timed_ms(setup, lambda m=model, x=given: m.model.image_encoder(x))
            theirs = None if peer is None else timed_ms(setup, lambda p=peer, x=pixels: p.image_encoder(x))
            whole = timed_ms(setup, lambda m=model: m.encode(image))
            goal = "<= 17" if precision == "bf16" else ""
            yield Row(f"{setup.arch} encoder, {precision}", alone, "ms", theirs, goal)
            yield Row(f"encode() around it, {precision}", max(whole - alone, 0.001), "ms")
            prepared = model.prepare(image)
            ahead = timed_ms(setup, lambda m=model, p=prepared: m.encode(p))
            yield Row(f"encode() of a picture prepared ahead, less the encoder, {precision}", max(ahead - alone, 0.001), "ms")
            if setup.kind == "cuda":
                graph = graphed(lambda m=model, x=given: m.model.image_encoder(x))
                yield Row(f"{setup.arch} encoder as a CUDA graph, {precision}", timed_ms(setup, graph), "ms")


@torch.inference_mode()
def decoder_rows(setup: Setup) -> Iterator[Row]:
    """A batch of first clicks: to logits on the device, and to logits on the host."""
    model = big_sam(setup.amg_arch, setup.device, "fp32")
    peer = official(setup.amg_arch, setup.device, model.model.state_dict())
    image = Pictures(1, 4).load("0").image
    rng = np.random.default_rng(0)
    xy = rng.uniform(0, 760, (setup.prompts, 1, 2)).astype(np.float32)
    prompts = [Prompt(p, np.ones(1, np.int8)) for p in xy]
    state = model.encode(image)
    embedding = state.embedding
    points = (torch.from_numpy(xy).to(setup.device), torch.ones(setup.prompts, 1, device=setup.device))

    def theirs(*, to_host: bool) -> Any:
        assert peer is not None
        sparse, dense = peer.prompt_encoder(points, None, None)
        low, _ = peer.mask_decoder(
            image_embeddings=embedding,
            image_pe=peer.prompt_encoder.get_dense_pe(),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=True,
        )
        return low.cpu() if to_host else low

    for precision in ("fp32", "tf32") if setup.kind == "cuda" else ("fp32",):
        with computing(precision, setup.kind):
            for to_host in (False, True):
                ours = timed_ms(setup, lambda h=to_host: [p.masks.low_res for p in model.decode(state, prompts)] if h
                                else model.decode(state, prompts))  # fmt: skip
                other = None if peer is None else timed_ms(setup, lambda h=to_host: theirs(to_host=h))
                where = "the host" if to_host else "the device"
                yield Row(f"decoder, {setup.prompts} prompts, to logits on {where}, {precision}", ours, "ms", other)
    yield from decoder_forms(setup, model, state, points)


def decoder_forms(setup: Setup, model: Any, state: Any, points: tuple[Tensor, Tensor]) -> Iterator[Row]:
    """The decoder without what is done on the host around it: plain, and as a CUDA graph."""
    network = model.model
    sparse = network.prompt_encoder.sparse(*points, None)
    dense = network.prompt_encoder.no_mask_embed.weight[None]

    def plain() -> Any:
        return network.mask_decoder(state.decoder, sparse, dense, multimask=True)

    with computing("fp32", setup.kind):
        forms: dict[str, Callable[[], Any]] = {"plain": plain}
        if setup.kind == "cuda":
            forms["as a CUDA graph"] = graphed(plain)
        for name, function in forms.items():
            yield Row(f"decoder alone, {setup.prompts} prompts, fp32, {name}", timed_ms(setup, function), "ms")


@torch.inference_mode()
def compiled_rows(setup: Setup) -> Iterator[Row]:
    """The encoder with `-M compiled=true`, in bf16; no row, and why, where this machine compiles nothing."""
    if setup.kind != "cuda":
        return
    name, given = f"{setup.arch} encoder with -M compiled=true, bf16", torch.randn(1, 3, 1024, 1024, device=setup.device)
    encoder = big_sam(setup.arch, setup.device, "bf16").model.image_encoder
    compile_fixed(encoder)
    with computing("bf16", setup.kind):
        try:
            with compiling(name):
                encoder(given.bfloat16())
        except ModelError as e:
            print(e, file=sys.stderr)
            return
        yield Row(name, timed_ms(setup, lambda: encoder(given.bfloat16())), "ms", goal="<= 17")
