"""Where images meet a user's network: the one place that asks it, and what is learned of it."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call

from .device import device_of, dtype_of, on_device
from .freezing import frozen
from .validation import check_range, check_shape

Order = Callable[[Tensor], Tensor]  # x with the same values in another order in memory
ONE_LOGIT = (
    "The classifier returns one logit; two classes are the least. For a yes-or-no network return "
    "torch.cat([0 * logit, logit], 1)."
)


def entering(model: nn.Module, x: Tensor) -> Tensor:
    """Images as every network takes them: contiguous, of its type, on its device."""
    return row_by_row(x.to(device_of(model), dtype_of(model)))


def row_by_row(x: Tensor) -> Tensor:
    """x with its elements in memory in the order of its indices, so that any `view` of it works.

    `contiguous` alone lets an image of one channel keep the strides of channels-last, which a
    convolution passes on to all its channels.
    """
    return x.contiguous().flatten().view(x.shape)


def channels_last(x: Tensor) -> Tensor:
    """x (B,C,H,W) with the channels of each pixel side by side in memory."""
    # With one channel both orders are the same numbers, and torch goes by the strides alone.
    return row_by_row(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


def answer(model: nn.Module, x: Tensor, *, order: Order = row_by_row) -> Tensor:
    """The logits of a batch of images; gradients pass through.

    Args:
        model: the network.
        x: images (B,C,H,W), on any device.
        order: how the images lie in memory, `row_by_row` or what `fastest_order` has found.

    Returns:
        Logits (B,K), in the type of x, on the network's device.

    Raises:
        ValueError: the network returns anything else.
    """
    given = order(x.to(device_of(model), dtype_of(model)))
    return checked(model(given), len(x)).to(x.dtype)


def fastest_order(
    model: nn.Module, image_shape: Sequence[int], input_range: Sequence[float] = (0.0, 1.0)
) -> Order:
    """`channels_last` on a CPU if a forward pass works with it, else `row_by_row`.

    Convolutions are a fifth faster with it, but a `view` of what they return may fail.
    """
    x = entering(model, probe_images(image_shape, input_range))
    if x.device.type != "cpu":
        return row_by_row
    with frozen(model), torch.no_grad():
        try:
            model(channels_last(x))
        except Exception:  # whatever a model may raise
            return row_by_row
    return channels_last


def recording(model: nn.Module) -> tuple[Callable[[Tensor], Tensor], list[Tensor]]:
    """`answer` as a function of images alone, with parameters that record gradients.

    The parameters share the numbers of the model, which may be frozen: its own flags stay.

    Returns:
        The function from images (B,C,H,W) to logits (B,K), and its parameters.
    """
    parameters = {name: p.detach().requires_grad_() for name, p in model.named_parameters()}

    def ask(x: Tensor) -> Tensor:
        logits = functional_call(model, parameters, (entering(model, x),))
        return checked(logits, len(x)).to(x.dtype)

    return ask, [*parameters.values()]


def checked(logits: object, n: int) -> Tensor:
    """What a network returned for n images, if it is a tensor (n,K) with K ≥ 2.

    Raises:
        ValueError: it is anything else; the message says what to return.
    """
    if not isinstance(logits, Tensor):
        name = type(logits).__name__
        part = "outputs.logits" if hasattr(logits, "logits") else "outputs[0]"
        part = 'outputs["logits"]' if isinstance(logits, dict) else part
        raise ValueError(
            f"The model must return logits of shape (B,K); it returned {name}. Wrap it in a module "
            f"that returns the tensor alone: outputs = self.model(x); return {part}"
        )
    if not logits.is_floating_point():
        raise ValueError(
            f"The model must return logits of shape (B,K); it returned whole numbers, "
            f"{tuple(logits.shape)}. Leave argmax out of its forward pass."
        )
    if tuple(logits.shape) in ((n,), (n, 1)):
        raise ValueError(ONE_LOGIT)
    if logits.ndim != 2 or len(logits) != n:
        raise ValueError(
            f"The model must return logits of shape (B,K); for {n} images it returned "
            f"{tuple(logits.shape)}. Wrap it in a module that does."
        )
    return logits


def probe_images(image_shape: Sequence[int], input_range: Sequence[float] = (0.0, 1.0)) -> Tensor:
    """Two fixed random images (2,C,H,W) inside the input range."""
    low, high = input_range
    random = torch.Generator().manual_seed(0)
    x = torch.rand(2, *image_shape, generator=random)
    return low + (high - low) * (0.05 + 0.9 * x)


def probe_logits(
    model: nn.Module, image_shape: Sequence[int], input_range: Sequence[float] = (0.0, 1.0)
) -> Tensor:
    """The logits (2,K) of `probe_images`.

    Raises:
        ValueError: the model does not accept such images, or the logits are not a finite (2,K)
            tensor.
    """
    x = entering(model, probe_images(image_shape, input_range))
    with frozen(model), torch.no_grad():
        try:
            logits = model(x)
        except Exception as error:  # whatever a model may raise where the shape does not fit
            raise ValueError(
                f"The model does not accept images of shape {tuple(image_shape)} (C,H,W): "
                f"{str(error).rstrip('.')}. Give images of the shape that it takes, say that shape "
                "as image_shape=(C, H, W), or correct its forward pass."
            ) from error
    logits = checked(logits, len(x))
    if not torch.isfinite(logits).all():
        state = {n: p for n, p in model.state_dict().items() if isinstance(p, Tensor)}
        bad = [name for name, p in state.items() if not torch.isfinite(p).all()]
        low, high = input_range
        where = (
            f"load it again; not finite: {', '.join(bad[:5])}."
            if bad
            else f"is the input range [{low:g}, {high:g}] the network's?"
        )
        raise ValueError(f"The model's logits are not finite on a random image: {where}")
    return logits


def warn_if_probabilities(logits: Tensor) -> None:
    """Warn if a network's outputs add up to one: it ends in a softmax."""
    p = logits.float()
    if (p >= 0).all() and ((p.sum(1) - 1).abs() < 1e-3).all():
        warnings.warn(
            "The model's outputs are probabilities: they add up to 1. Logits are needed, for the "
            "losses apply a softmax themselves, and a second one leaves hardly any gradient. "
            "Return what enters the softmax, or torch.log of what leaves it.",
            stacklevel=4,
        )


def signature(
    classifier: nn.Module,
    image_shape: Sequence[int] | None = None,
    input_range: Sequence[float] | None = None,
) -> tuple[tuple[int, int, int], tuple[float, float]]:
    """(C, H, W) and (low, high): as given, else the network's attributes, else the range (0, 1).

    Raises:
        ValueError: there is no shape, or shape or range make no sense.
    """
    shape = image_shape or getattr(classifier, "image_shape", None)
    span = getattr(classifier, "input_range", (0.0, 1.0)) if input_range is None else input_range
    return check_shape(shape), check_range(span)


@dataclass(frozen=True)
class Target:
    """A network to be inverted, with the images it takes and its number of classes.

    Args:
        model: the network, from images (B,C,H,W) to logits (B,K).
        image_shape: (C, H, W).
        input_range: (low, high) of the pixels.
        num_classes: K.

    Example:
        >>> import netinv_lite as nil
        >>> target = nil.Target.of(nil.load_classifier("digits"), device="cpu")
        >>> target.image_shape, target.input_range, target.num_classes
        ((1, 28, 28), (-1.0, 1.0), 10)
        >>> target
        Target(CNN, images of (1, 28, 28) from -1 to 1, K=10, on cpu)
    """

    model: nn.Module
    image_shape: tuple[int, int, int]
    input_range: tuple[float, float]
    num_classes: int

    def __repr__(self) -> str:
        low, high = self.input_range
        return (
            f"Target({type(self.model).__name__}, images of {self.image_shape} from {low:g} to "
            f"{high:g}, K={self.num_classes}, on {self.device})"
        )

    @classmethod
    def of(
        cls,
        model: nn.Module,
        *,
        image_shape: Sequence[int] | None = None,
        input_range: Sequence[float] | None = None,
        num_classes: int | None = None,
        device: str | torch.device = "auto",
    ) -> Target:
        """Check a network once, with two random images. Warns if it ends in a softmax.

        Args:
            model: any `nn.Module` from images to logits; wrappers such as `torch.compile` are
                taken off.
            image_shape: (C, H, W); by default the network's attribute of that name.
            input_range: (low, high); by default the network's attribute, else (0, 1).
            num_classes: K, if it must be so many; it is measured.
            device: where the network is to be; a copy is made if it is elsewhere.

        Returns:
            The target.

        Raises:
            ValueError: model, shape, range or number of classes do not fit.
        """
        model = on_device(model, device)
        if any(t.is_inference() for t in (*model.parameters(), *model.buffers())):
            raise ValueError(
                "The model was made inside torch.inference_mode(), and no gradient can pass it: "
                "make or load it outside, or under torch.no_grad()."
            )
        shape, span = signature(model, image_shape, input_range)
        logits = probe_logits(model, shape, span)
        K = logits.shape[1]
        if num_classes not in (None, K):
            raise ValueError(
                f"num_classes={num_classes}, but the classifier returns {K} logits; "
                "leave num_classes out, it is measured."
            )
        warn_if_probabilities(logits)
        return cls(model, shape, span, K)

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return device_of(self.model)

    def answer(self, x: Tensor) -> Tensor:
        """The logits (B,K) of images x (B,C,H,W); gradients pass through."""
        return answer(self.model, x)
