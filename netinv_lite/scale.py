"""What inverting a large network will take, counted on a few images before it is begun."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import nn
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.flop_counter import FlopCounterMode

from .direct import DirectConfig, LayerwiseInverse, _Run
from .probe import device_of, frozen, on_device, seeded, signature
from .synthetic import source

TRIED = 2  # images in the step that is counted: batch normalisation needs two


def estimate(
    model: nn.Module, cut=None, *, image_shape=None, input_range=None,
    config: DirectConfig | None = None, device: str | torch.device = "cpu",
):  # fmt: skip
    """What each stage of `invert_layers` takes, as a DataFrame: one step of it, counted.

    gflop, multiplications and additions of a step of the whole batch, forward and back; memory_gb,
    what a step keeps for its backward pass, plus the network, the inverses, their gradients and
    Adam's two moments; total_tflop = steps · gflop / 1000. Counted on two images and scaled to
    `config.batch_size`: no time is measured. Arguments as in `invert_layers`; the model is left
    as it is.
    """
    import pandas as pd

    config = config or DirectConfig()
    shape, span = signature(model, image_shape, input_range)
    model, rows = on_device(model, device), []
    few, times = replace(config, batch_size=TRIED), config.batch_size / TRIED
    with seeded(0, device_of(model)), frozen(model):
        inverse = LayerwiseInverse(model, cut, shape, span, few, 0)
        inverse.to(device_of(model))
        run = _Run(inverse, source(config.source, shape, span), None)
        fixed = 4 * sum(p.numel() for p in [*model.parameters(), *inverse.parameters()])
        for stage, (name, k, steps) in enumerate(run.stages):
            run.stage = stage
            run._begin()
            flop, kept = _counted(run, name, k, steps) if run.adam else (0, 0)
            trained = 12 * sum(p.numel() for p in run.weights)  # a gradient and two moments
            rows.append({"stage": name, "steps": steps if run.adam else 0,
                         "gflop": times * flop / 1e9,
                         "memory_gb": (times * kept + fixed + trained) / 1e9})  # fmt: skip
    table = pd.DataFrame(rows)
    return table.assign(total_tflop=table["steps"] * table["gflop"] / 1e3)


def _counted(run: _Run, name: str, k: int, steps: int) -> tuple[int, int]:
    """Operations of one step of two images, and the bytes it keeps for its backward pass."""
    kept: dict[int, int] = {}

    def keep(t: torch.Tensor) -> torch.Tensor:
        if not isinstance(t, nn.Parameter):
            kept[t.untyped_storage().data_ptr()] = t.untyped_storage().nbytes()
        return t

    run.step = 0  # the step from the deepest representation
    with FlopCounterMode(display=False) as counter, saved_tensors_hooks(keep, lambda t: t):
        run._advance(name, k, steps)
    return counter.get_total_flops(), sum(kept.values())


def told(table) -> str:
    """The table of `estimate` as text, and its sums in units that a machine's data sheet has."""
    work, memory = table["total_tflop"].sum(), table["memory_gb"].max()
    rates = [f"{rate:6d} TFLOP/s: {work / rate / 60:10,.1f} minutes" for rate in (1, 10, 100)]
    return "\n".join([
        table.round(2).to_string(index=False),
        f"in all {work:,.0f} TFLOP, at most {memory:.1f} GB at a time: counted, not measured",
        "computed from that, if the machine sustains", *rates,
    ])  # fmt: skip
