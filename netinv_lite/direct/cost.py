"""What inverting a large network will take, counted on a few images before it is begun."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.flop_counter import FlopCounterMode

from .._core.boundary import signature
from .._core.device import device_of, on_device
from .._core.random_state import learning
from .._core.validation import config_of
from .config import DirectConfig
from .inverse import LayerwiseInverse
from .partition import moved
from .stages import Training
from .synthetic import source

if TYPE_CHECKING:
    import pandas as pd

TRIED = 2  # images in the step that is counted: batch normalisation needs two


def estimate(
    model: nn.Module,
    cut: str | Sequence[nn.Module] | None = None,
    *,
    image_shape: Sequence[int] | None = None,
    input_range: Sequence[float] | None = None,
    config: DirectConfig | None = None,
    device: str | torch.device = "cpu",
) -> pd.DataFrame:
    """What each stage of `invert_layers` takes: one step of it, counted.

    total_tflop = (steps · gflop + looks at images that are held out) / 1000. Counted on two images
    and scaled to `config.batch_size`: no time is measured. The model is left as it is.

    Args:
        model, cut, image_shape, input_range, config, device: as in `invert_layers`.

    Returns:
        A DataFrame with a row a stage: gflop, 10⁹ multiplications and additions of a step of the
        whole batch, forward and back; memory_gb, 10⁹ bytes, what the last depth keeps for its
        backward pass, plus the network, the inverses, their gradients, Adam's two moments and the
        best state; total_tflop.

    Example:
        >>> import netinv_lite as nil
        >>> model = nil.CNN((1, 8, 8), 3, widths=(4, 5))
        >>> table = nil.direct.estimate(model, config=nil.direct.DirectConfig(width=4))
        >>> list(table["stage"])
        ['block 1', 'block 2', 'block 3', 'joint']
        >>> bool(table["total_tflop"].sum() < 1)
        True
    """
    import pandas as pd

    config = config_of(config, DirectConfig())
    here = on_device(model, device)
    shape, span = signature(here, image_shape, input_range)
    few, times = replace(config, batch_size=TRIED), config.batch_size / TRIED
    with learning(0, device_of(here)):
        inverse = LayerwiseInverse(here, moved(cut, model, here), shape, span, few, 0)
        with inverse.held():
            training = Training(inverse, source(config.source, shape, span))
            found = pd.DataFrame([_counted(training, i) for i in range(len(training.stages))])
    fixed = sum(p.nbytes for p in (*here.parameters(), *inverse.parameters()))
    found["gflop"] = times * found["flop"] / 1e9
    found["memory_gb"] = (times * found["kept"] + fixed + found["trained"]) / 1e9
    found["total_tflop"] = times * (found["steps"] * found["flop"] + found["looks"]) / 1e12
    return found[["stage", "steps", "gflop", "memory_gb", "total_tflop"]]


def _counted(training: Training, number: int) -> dict[str, object]:
    """Of a stage, for two images: operations of a step and of all looks, bytes that are kept."""
    with FlopCounterMode(display=False) as looking:
        training.begin(number)  # the step from the deepest representation is the first
    stage, best = training.stage, training.best is not None
    if not training.weights:
        nothing = dict.fromkeys(("steps", "flop", "looks", "kept", "trained"), 0)
        return {"stage": stage.name, **nothing}
    kept: dict[int, int] = {}

    def keep(t: torch.Tensor) -> torch.Tensor:
        if not isinstance(t, nn.Parameter):
            kept[t.untyped_storage().data_ptr()] = t.untyped_storage().nbytes()
        return t.detach()  # an output kept as itself would hold its own graph, for good

    with FlopCounterMode(display=False) as counter:
        training.advance()
    with saved_tensors_hooks(keep, lambda t: t):  # one depth after the other is learned from
        _terms = [*training.terms(training.images(), (stage.depth,))]
    return {
        "stage": stage.name,
        "steps": stage.steps,
        "flop": counter.get_total_flops(),
        "looks": best * stage.looks * looking.get_total_flops(),
        "kept": sum(kept.values()),
        "trained": (3 + best) * sum(p.nbytes for p in training.weights),
    }


def told(table: pd.DataFrame) -> str:
    """The table of `estimate` as text, and its sums in units that a machine's data sheet has."""
    work, memory = table["total_tflop"].sum(), table["memory_gb"].max()
    rates = [f"{rate:6d} TFLOP/s: {work / rate / 60:10,.1f} minutes" for rate in (1, 10, 100)]
    return "\n".join(
        [
            table.round(2).to_string(index=False),
            f"in all {work:,.0f} TFLOP, at most {memory:.1f} GB at a time: counted, not measured",
            "computed from that, if the machine sustains",
            *rates,
        ]
    )
