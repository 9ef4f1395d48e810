"""Looking into a network without changing it: freezing, features, and checks at the boundary."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor, nn
from torch.func import functional_call


@contextmanager
def frozen(model: nn.Module) -> Iterator[nn.Module]:
    """Eval mode and no parameter gradients inside; every flag as it was afterwards."""
    modes = [(m, m.training) for m in model.modules()]
    grads = [(p, p.requires_grad) for p in model.parameters()]
    try:
        model.eval()
        model.requires_grad_(False)
        yield model
    finally:
        for module, mode in modes:
            module.training = mode
        for parameter, flag in grads:
            parameter.requires_grad_(flag)


@contextmanager
def batch_statistics(model: nn.Module) -> Iterator[list[Tensor]]:
    """Inside `with`, a list that a forward pass fills with one distance a batch-norm layer.

    ‖μ(h) − μ̂‖₂ + ‖σ²(h) − σ̂²‖₂, with h what enters the layer and μ̂, σ̂² what it remembers of its
    training data. Empty for a model without such layers. Source: Yin et al. 2020, equation 4.
    """
    distances: list[Tensor] = []

    def measure(layer, inputs):
        h = inputs[0]
        dims = [d for d in range(h.ndim) if d != 1]
        mean, var = h.mean(dims), h.var(dims, unbiased=False)
        distances.append((mean - layer.running_mean).norm() + (var - layer.running_var).norm())

    layers = [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    handles = [m.register_forward_pre_hook(measure) for m in layers if m.track_running_stats]
    try:
        yield distances
    finally:
        for handle in handles:
            handle.remove()


def recording(model: nn.Module) -> tuple[Callable[[Tensor], Tensor], list[Tensor]]:
    """The model as a function of images, and its parameters, which record gradients for it.

    Also where the model is frozen: they share its numbers, and the model's own flags stay.
    """
    parameters = {name: p.detach().requires_grad_() for name, p in model.named_parameters()}
    return lambda images: functional_call(model, parameters, (images,)), [*parameters.values()]


class Tap:
    """Callable x (B,C,H,W) -> (logits (B,K), features f (B,D)); its hook lives inside `with`.

    f is the input of the last linear layer that the forward pass reaches, or, with `layer`, the
    output of the module of that name, flattened. `distances` are those of `batch_statistics`, of
    the last forward pass, where `statistics` are asked for.
    """

    def __init__(
        self, model: nn.Module, image_shape, layer: str | None = None, statistics: bool = False
    ):
        self.model, self.layer = model, layer
        self.statistics, self.distances = statistics, []
        self.module = final_linear(model, image_shape) if layer is None else named(model, layer)
        self.dtype = dtype_of(model)
        self._f: Tensor | None = None

    def __enter__(self) -> Tap:
        with ExitStack() as hooks:
            hooks.callback(self.module.register_forward_hook(self._keep).remove)
            if self.statistics:
                self.distances = hooks.enter_context(batch_statistics(self.model))
            self._hooks = hooks.pop_all()
        return self

    def __exit__(self, *_) -> None:
        self._hooks.close()
        self._f = None

    def _keep(self, _module, inputs, output) -> None:
        # A copy, because a ReLU that works in place may follow.
        kept = inputs[0] if self.layer is None else output
        self._f = kept if self.layer is None or not isinstance(kept, Tensor) else kept.clone()

    def __call__(self, x: Tensor) -> tuple[Tensor, Tensor]:
        self._f = None
        self.distances.clear()
        logits = self.model(x.to(self.dtype)).to(x.dtype)
        if not isinstance(self._f, Tensor) or len(self._f) != len(x):
            where = "last linear layer" if self.layer is None else f"module {self.layer!r}"
            raise ValueError(
                f"The {where} holds no tensor of one row an image in the forward pass; name "
                "another module as features='...'."
            )
        return logits, self._f.flatten(1).to(x.dtype)


def final_linear(model: nn.Module, image_shape) -> nn.Linear:
    """The last `nn.Linear` that a forward pass reaches; its input is the penultimate features."""
    reached: list[nn.Linear] = []
    linears = [m for m in model.modules() if isinstance(m, nn.Linear)]
    handles = [m.register_forward_hook(lambda m, *_: reached.append(m)) for m in linears]
    try:
        probe_logits(model, image_shape)
    finally:
        for handle in handles:
            handle.remove()
    if not reached:
        raise ValueError(
            "The model has no linear layer whose input could serve as features. Name a module, "
            f"features='...', of: {', '.join(n for n, _ in model.named_modules() if n)}."
        )
    return reached[-1]


def named(model: nn.Module, layer: str) -> nn.Module:
    """The module called `layer`; the error lists the names there are."""
    modules = {name: m for name, m in model.named_modules() if name}
    if layer not in modules:
        raise ValueError(f"The model has no module {layer!r}. It has: {', '.join(modules)}.")
    return modules[layer]


def probe_logits(model: nn.Module, image_shape) -> Tensor:
    """Logits of two blank images; raises ValueError unless they are a finite (2,K) tensor."""
    blank = torch.zeros(2, *image_shape, device=device_of(model), dtype=dtype_of(model))
    with frozen(model), torch.no_grad():
        try:
            logits = model(blank)
        except Exception as error:  # whatever a model may raise where the shape does not fit
            raise ValueError(
                f"The model does not accept images of shape {tuple(image_shape)} (C,H,W): {error}"
            ) from error
    if not isinstance(logits, Tensor) or logits.ndim != 2 or len(logits) != 2:
        got = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise ValueError(
            f"The model must return logits of shape (B,K); for two images it returned {got}. "
            "Wrap it in a module that does."
        )
    if not torch.isfinite(logits).all():
        bad = [n for n, p in model.state_dict().items() if not torch.isfinite(p).all()]
        where = f" Load it again; not finite: {', '.join(bad[:5])}." if bad else ""
        raise ValueError(f"The model's logits are not finite on a blank image.{where}")
    return logits


def signature(classifier: nn.Module, image_shape=None, input_range=None):
    """(C,H,W) and (low, high): as given, else the network's attributes, else the range (0, 1)."""
    shape = image_shape or getattr(classifier, "image_shape", None)
    if shape is None or len(shape) != 3 or min(shape) < 1:
        raise ValueError(f"image_shape={shape}: say (C, H, W), such as image_shape=(3, 32, 32).")
    span = getattr(classifier, "input_range", (0.0, 1.0)) if input_range is None else input_range
    if len(span) != 2 or not float("-inf") < span[0] < span[1] < float("inf"):
        raise ValueError(f"input_range={span}: say (low, high), finite and rising, such as (0, 1).")
    return tuple(int(side) for side in shape), (float(span[0]), float(span[1]))


def examined(classifier: nn.Module, image_shape, input_range, num_classes, device):
    """The network on `device`, (C,H,W), (low, high) and K, measured; what a method starts from."""
    shape, span = signature(classifier, image_shape, input_range)
    model = on_device(classifier, device)
    K = probe_logits(model, shape).shape[1]
    if num_classes not in (None, K):
        raise ValueError(f"num_classes={num_classes}, but the classifier returns {K} logits; leave "
                         "num_classes out, it is measured.")  # fmt: skip
    return model, shape, span, K


def check_images(images: Tensor, image_shape, input_range) -> Tensor:
    """`images` if they are finite, of shape (B, *image_shape) and inside `input_range`."""
    low, high = input_range
    if images.ndim != 4 or tuple(images.shape[1:]) != tuple(image_shape):
        raise ValueError(
            f"Images of shape (B, {', '.join(map(str, image_shape))}) are expected, "
            f"not {tuple(images.shape)}."
        )
    if not torch.isfinite(images).all():
        raise ValueError("The images hold NaN or infinity.")
    slack = 1e-3 * (high - low)
    if len(images) and (images.min() < low - slack or images.max() > high + slack):
        raise ValueError(
            f"The images lie in [{images.min():.3g}, {images.max():.3g}], outside the input range "
            f"[{low:g}, {high:g}]: rescale them, or state another input_range."
        )
    return images


def on_device(model: nn.Module, device: str | torch.device = "auto") -> nn.Module:
    """`model` itself where it already is on `device`, else a copy there; the caller's stays put."""
    target = pick_device(device)
    return model if device_of(model) == target else copy.deepcopy(model).to(target)


def device_of(model: nn.Module) -> torch.device:
    """The device of the first parameter; the CPU where there is none."""
    return next((p.device for p in model.parameters()), torch.device("cpu"))


def dtype_of(model: nn.Module) -> torch.dtype:
    """The dtype of the first floating-point parameter; float32 where there is none."""
    return next((p.dtype for p in model.parameters() if p.is_floating_point()), torch.float32)


def pick_device(device: str | torch.device = "auto") -> torch.device:
    """CUDA for "auto" where there is one, else the CPU; a clear error for a CUDA that is absent."""
    if device == "auto":
        device = "cuda:0" if torch.cuda.is_available() else "cpu"
    device = torch.device(device)
    if device.type == "cuda":
        if not torch.cuda.is_available():
            raise RuntimeError("device='cuda' was asked for, but PyTorch sees no CUDA device here: "
                               "use device='auto' or 'cpu'.")  # fmt: skip
        device = torch.device("cuda", device.index or 0)
    return device


def random_state(device: torch.device) -> dict[str, Tensor]:
    """The random numbers to come, of the CPU and of a CUDA `device`, as tensors to keep."""
    state = {"rng": torch.get_rng_state()}
    if device.type == "cuda":
        state["rng.cuda"] = torch.cuda.get_rng_state(device)
    return state


def set_random_state(state: dict[str, Tensor], device: torch.device) -> None:
    """Go on with the random numbers that `random_state` kept, among other tensors."""
    torch.set_rng_state(state["rng"])
    if device.type == "cuda" and "rng.cuda" in state:  # a run may move between devices
        torch.cuda.set_rng_state(state["rng.cuda"], device)


@contextmanager
def seeded(seed: int, device: str | torch.device):
    """Random numbers of `seed` inside, those of before afterwards, on the CPU and on `device`."""
    device = pick_device(device)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield
