"""Looking into a network during its forward pass: features and batch-norm statistics."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import Tensor, nn

from .boundary import answer, fastest_order, probe_logits
from .device import unwrapped


@contextmanager
def batch_statistics(model: nn.Module) -> Iterator[list[Tensor]]:
    """Inside `with`, a list that each forward pass extends by one distance per batch-norm layer.

    ‖μ(h) − μ̂‖₂ + ‖σ²(h) − σ̂²‖₂, with h the input of the layer and μ̂, σ̂² its running statistics of
    the training data.

    Args:
        model: any network.

    Yields:
        The distances, tensors (), in the order of the layers; for a model without such layers the
        list stays empty.

    Source: Yin et al. 2020, Dreaming to Distill, equation 4.

    Example:
        >>> import torch
        >>> import netinv_lite as nil
        >>> model = nil.load_classifier("digits")
        >>> with nil.batch_statistics(model) as distances:
        ...     logits = model(torch.zeros(4, *model.image_shape))
        >>> len(distances)
        3
    """
    distances: list[Tensor] = []

    def measure(layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        h = inputs[0]
        dims = [d for d in range(h.ndim) if d != 1]
        mean, var = h.mean(dims), h.var(dims, unbiased=False)
        distances.append((mean - layer.running_mean).norm() + (var - layer.running_var).norm())

    layers = [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    handles = [m.register_forward_pre_hook(measure) for m in layers if m.running_mean is not None]
    try:
        yield distances
    finally:
        for handle in handles:
            handle.remove()


class Tap:
    """Logits and features of one forward pass: x (B,C,H,W) -> (logits (B,K), f (B,D)).

    Called inside `with`, where its hook lives. f is the input of the last linear layer that the
    forward pass reaches (without one, of the last convolution) or, with `layer`, the output of the
    module of that name, flattened. After a call, `distances` holds those of `batch_statistics`, if
    `statistics` is set.

    Args:
        model: the network.
        image_shape: (C, H, W).
        layer: name of the module whose output is f, as in `named_modules`.
        statistics: whether batch-norm layers are measured as well.
        input_range: (low, high) of the pixels; by default the network's attribute, else (0, 1).

    Raises:
        ValueError: there is no such layer, or what it holds is not a tensor of one row per image.

    Example:
        >>> import torch
        >>> import netinv_lite as nil
        >>> model = nil.load_classifier("digits")
        >>> with nil.Tap(model, model.image_shape) as tap:
        ...     logits, f = tap(torch.zeros(4, *model.image_shape))
        >>> logits.shape, f.shape
        (torch.Size([4, 10]), torch.Size([4, 128]))
    """

    def __init__(
        self,
        model: nn.Module,
        image_shape: Sequence[int],
        layer: str | None = None,
        statistics: bool = False,
        input_range: Sequence[float] | None = None,
    ) -> None:
        self.model, self.layer, self.statistics = unwrapped(model), layer, statistics
        self.distances: list[Tensor] = []
        known = getattr(self.model, "input_range", (0.0, 1.0))
        span = known if input_range is None else input_range
        self.module = (
            head(self.model, image_shape, span) if layer is None else named(self.model, layer)
        )
        self.order = fastest_order(self.model, image_shape, span)
        self._f: Tensor | None = None

    def __enter__(self) -> Tap:
        with ExitStack() as hooks:
            hooks.callback(self.module.register_forward_hook(self._keep).remove)
            if self.statistics:
                self.distances = hooks.enter_context(batch_statistics(self.model))
            self._hooks = hooks.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._hooks.close()
        self._f = None

    def _keep(self, _module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        # A copy, because a ReLU that works in place may follow.
        kept = inputs[0] if self.layer is None else output
        self._f = kept if self.layer is None or not isinstance(kept, Tensor) else kept.clone()

    def __call__(self, x: Tensor) -> tuple[Tensor, Tensor]:
        self._f = None
        self.distances.clear()
        logits = answer(self.model, x, order=self.order)
        if not isinstance(self._f, Tensor) or len(self._f) != len(x):
            where = "last linear layer" if self.layer is None else f"module {self.layer!r}"
            raise ValueError(
                f"The {where} holds no tensor of one row an image in the forward pass; name "
                "another module as features='...'."
            )
        return logits, self._f.flatten(1).to(x.dtype)


def head(
    model: nn.Module, image_shape: Sequence[int], input_range: Sequence[float] = (0.0, 1.0)
) -> nn.Module:
    """The last linear layer that a forward pass reaches, or without one the last convolution.

    Its input is the penultimate features.

    Raises:
        ValueError: there is neither.
    """
    reached = _reached(model, image_shape, input_range, (nn.Linear, nn.modules.conv._ConvNd))
    linear = [m for m in reached if isinstance(m, nn.Linear)]
    if not reached:
        raise ValueError(
            "The model has no linear layer and no convolution whose input could serve as features. "
            f"Name a module, features='...', of: {_names(model)}."
        )
    return (linear or reached)[-1]


def final_linear(
    model: nn.Module, image_shape: Sequence[int], input_range: Sequence[float] | None = None
) -> nn.Linear:
    """The last `nn.Linear` that a forward pass reaches; its input is the penultimate features.

    Args:
        model: the network.
        image_shape: (C, H, W).
        input_range: (low, high) of the pixels; by default the network's attribute, else (0, 1).

    Returns:
        The layer itself.

    Raises:
        ValueError: there is none, or the network does not accept such images.

    Example:
        >>> import netinv_lite as nil
        >>> nil.final_linear(nil.load_classifier("digits"), (1, 28, 28))
        Linear(in_features=128, out_features=10, bias=True)
    """
    model = unwrapped(model)
    known = getattr(model, "input_range", (0.0, 1.0))
    span = known if input_range is None else input_range
    reached = _reached(model, image_shape, span, nn.Linear)
    if not reached:
        raise ValueError(
            "The model has no linear layer whose input could serve as features. Name a module, "
            f"features='...', of: {_names(model)}."
        )
    return reached[-1]


def _names(model: nn.Module) -> str:
    return ", ".join(name for name, _ in model.named_modules() if name)


def _reached(
    model: nn.Module,
    image_shape: Sequence[int],
    input_range: Sequence[float],
    kinds: type | tuple[type, ...],
) -> list[Any]:
    """The layers of some kinds, in the order in which a forward pass reaches them.

    Raises:
        ValueError: the model has no submodules, and is no such layer itself.
    """
    if not isinstance(model, kinds) and not [*model.children()]:
        raise ValueError(
            "The model has no submodules, so nothing of it can serve as features. If it calls a "
            "network from outside, make that a part of it: self.network = network."
        )
    reached: list[nn.Module] = []
    layers = [m for m in model.modules() if isinstance(m, kinds)]
    handles = [m.register_forward_hook(lambda m, *_: reached.append(m)) for m in layers]
    try:
        probe_logits(model, image_shape, input_range)
    finally:
        for handle in handles:
            handle.remove()
    return reached


def named(model: nn.Module, layer: str) -> nn.Module:
    """The module called `layer`; the error lists the names that exist."""
    modules = {name: m for name, m in model.named_modules() if name}
    if layer not in modules:
        raise ValueError(f"The model has no module {layer!r}. It has: {', '.join(modules)}.")
    return modules[layer]
