"""A network is frozen, and given back as it was: flags, tensors, gradients."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


@contextmanager
def frozen(model: nn.Module) -> Iterator[nn.Module]:
    """Eval mode and no parameter gradients inside; bit-identical and in its mode afterwards.

    The mode goes back through `train(mode)`, for a layer may do more in it than set a flag (merge
    low-rank weights, say); what is then not equal to the last bit is set right.
    """
    modes = [(m, m.training) for m in model.modules()]
    # Not of what was made in inference mode: its flag can be cleared, and never set again.
    grads = [(p, p.requires_grad) for p in model.parameters() if not p.is_inference()]
    kept = [(slots, name, t, t.detach().clone()) for slots, name, t in _slots(model)]
    try:
        model.eval()
        for parameter, _ in grads:
            parameter.requires_grad_(False)
        yield model
    finally:
        for module, mode in modes:  # from the outside in
            if module.training != mode:
                module.train(mode)
        for slots, name, tensor, before in kept:
            slots[name] = tensor
            if not torch.equal(tensor, before):
                with torch.no_grad():
                    tensor.copy_(before)
        for parameter, flag in grads:
            parameter.requires_grad_(flag)


def _slots(model: nn.Module) -> Iterator[tuple[dict, str, Tensor]]:
    """Every parameter and buffer, with the dict that holds it and its name there."""
    for module in model.modules():
        for slots in (module._parameters, module._buffers):
            yield from ((slots, name, t) for name, t in slots.items() if t is not None)
