"""A network is frozen, and returned as it was: flags, tensors, gradients."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


@contextmanager
def frozen(model: nn.Module) -> Iterator[nn.Module]:
    """Inside `with`, the model is in eval mode and its parameters record no gradients.

    Afterwards it is bit-identical and in its old mode. The mode is restored by `train(mode)`,
    because a layer may do more there than set a flag (merge low-rank weights, for example); what
    then differs in any bit is restored as well.

    Args:
        model: any network.

    Yields:
        The same network.

    Example:
        >>> import netinv_lite as nil
        >>> model = nil.CNN().train()
        >>> with nil.frozen(model):
        ...     print(model.training, model.head.weight.requires_grad)
        False False
        >>> model.training, model.head.weight.requires_grad
        (True, True)
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
    """Every parameter and buffer, with the dict that holds it and its name in it."""
    for module in model.modules():
        for slots in (module._parameters, module._buffers):
            yield from ((slots, name, t) for name, t in slots.items() if t is not None)
