"""The losses of the generator: those of the papers, the margin and the priors."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from types import SimpleNamespace
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from ._core.boundary import answer, recording
from ._core.validation import check_finite, check_name
from .conditioning import Condition


def kl(logits: Tensor, v: Tensor) -> Tensor:
    """KL(P‖Q) = Σ v (log v − log softmax(logits)), the mean over the batch, in nats.

    The logits pass log_softmax once: a softmax before it (seen in public code) bounds the loss and
    flattens its gradient.

    Args:
        logits: (B,K).
        v: (B,K), conditioning vectors, rows on the simplex.

    Returns:
        A scalar tensor, at least 0.

    Source: Suhail & Sethi, section 2.

    Example:
        >>> import torch
        >>> import netinv_lite as nil
        >>> nil.losses.kl(torch.zeros(1, 2), torch.tensor([[1.0, 0.0]]))  # log 2
        tensor(0.6931)
    """
    return F.kl_div(F.log_softmax(logits, 1), v, reduction="batchmean")


def cross_entropy(logits: Tensor, y: Tensor) -> Tensor:
    """CE = −Σ y log softmax(logits), the mean over the batch, in nats.

    Args:
        logits: (B,K).
        y: target rows (B,K) on the simplex, or target classes (B,).

    Returns:
        A scalar tensor, at least 0.

    Example:
        >>> import torch
        >>> import netinv_lite as nil
        >>> nil.losses.cross_entropy(torch.tensor([[4.0, 0.0]]), torch.tensor([0]))
        tensor(0.0181)
    """
    return F.cross_entropy(logits, y)


def log_odds(logits: Tensor, k: Tensor) -> Tensor:
    """The log-odds of class k: logit_k − logsumexp of the other logits.

    Args:
        logits: (B,K).
        k: classes (B,).

    Returns:
        (B,), in nats: 0 is a probability of one half.

    Example:
        >>> import torch
        >>> import netinv_lite as nil
        >>> nil.losses.log_odds(torch.tensor([[4.0, 0.0]]), torch.tensor([0]))
        tensor([4.])
    """
    others = logits.scatter(1, k[:, None], float("-inf")).logsumexp(1)
    return logits.gather(1, k[:, None]).squeeze(1) - others


def surest(logits: Tensor, k: Tensor, per_class: int) -> Tensor:
    """The rows with the largest log-odds, `per_class` of each class, in their order.

    Args:
        logits: (N,K).
        k: classes (N,), class-major, with equally many rows per class.
        per_class: how many of each class.

    Returns:
        Numbers of rows, (n·per_class,) int64, for n classes.

    Example:
        >>> import torch
        >>> import netinv_lite as nil
        >>> logits = torch.tensor([[1.0, 0.0], [3.0, 0.0], [0.0, 2.0], [0.0, 1.0]])
        >>> nil.losses.surest(logits, torch.tensor([0, 0, 1, 1]), per_class=1)
        tensor([1, 2])
    """
    k = k.to(logits.device)
    rows = log_odds(logits, k).view(len(k.unique_consecutive()), -1)
    best = rows.topk(per_class).indices.sort().values
    return (best + torch.arange(0, len(k), rows.shape[1], device=k.device)[:, None]).flatten()


def margin(logits: Tensor, k: Tensor, m: float) -> Tensor:
    """softplus(m − log-odds of k), the mean over the batch.

    Unlike the cross-entropy it keeps its gradient until the log-odds reach m.

    Args:
        logits: (B,K).
        k: target classes (B,).
        m: the log-odds to reach, in nats.

    Returns:
        A scalar tensor, at least 0.

    Example:
        >>> import torch
        >>> import netinv_lite as nil
        >>> nil.losses.margin(torch.tensor([[4.0, 0.0]]), torch.tensor([0]), m=10.0)
        tensor(6.0025)
    """
    return F.softplus(m - log_odds(logits, k)).mean()


def cosine(f: Tensor) -> Tensor:
    """The mean cosine of two rows: 1/(N(N−1)) Σ_{i≠j} cos(f_i, f_j).

    At cost O(N·D): with unit rows u the sum is ‖Σu‖² − N.

    Args:
        f: features (N,D), N ≥ 2.

    Returns:
        A scalar tensor, at most 1.

    Source: Suhail & Sethi, section 2.

    Example:
        >>> import torch
        >>> import netinv_lite as nil
        >>> nil.losses.cosine(torch.tensor([[1.0, 0.0], [0.0, 2.0]]))
        tensor(0.)
    """
    u = F.normalize(f, dim=1)
    N = len(u)
    return (u.sum(0).square().sum() - N) / (N * (N - 1))


def class_cosine(f: Tensor, k: Tensor) -> Tensor:
    """The mean cosine of two rows of the same class, at the same linear cost as `cosine`.

    Args:
        f: features (N,D).
        k: classes (N,).

    Returns:
        A scalar tensor, at most 1; 0 if no class has two rows.

    Example:
        >>> import torch
        >>> import netinv_lite as nil
        >>> f = torch.tensor([[1.0, 0.0], [2.0, 0.0], [0.0, 1.0]])
        >>> nil.losses.class_cosine(f, torch.tensor([3, 3, 8]))
        tensor(1.)
    """
    u = F.normalize(f, dim=1)
    alike = k[:, None] == k  # (N, N)
    first = alike.byte().argmax(1)  # the first row of its class: no size depends on the data
    sums = torch.zeros_like(u).index_add(0, first, u)
    pairs = (alike.sum() - len(u)).clamp_min(1)
    return (sums.square().sum() - len(u)) / pairs


def orthogonality(f: Tensor) -> Tensor:
    """The mean squared cosine of two rows: ‖UUᵀ − I‖²_F / (N(N−1)), U the unit rows.

    At cost O(N·D·min(N,D)): ‖UUᵀ‖_F = ‖UᵀU‖_F, so the smaller Gram matrix is enough. Raw rows in
    place of unit rows would let it grow as ‖f‖⁴.

    Args:
        f: features (N,D), N ≥ 2.

    Returns:
        A scalar tensor in [0, 1].

    Source: Suhail et al., arXiv 2411.17777.

    Example:
        >>> import torch
        >>> import netinv_lite as nil
        >>> nil.losses.orthogonality(torch.tensor([[1.0, 0.0], [-2.0, 0.0]]))
        tensor(1.)
    """
    u = F.normalize(f, dim=1)
    N, D = u.shape
    gram = u @ u.T if N <= D else u.T @ u
    return (gram.square().sum() - N) / (N * (N - 1))


def background(x: Tensor, level: float, input_range: Sequence[float]) -> Tensor:
    """The mean distance of pixels from the background b: mean |x − b|.

    Args:
        x: images (B,C,H,W).
        level: b as a share of the range, 0 for low, 1 for high.
        input_range: (low, high).

    Returns:
        A scalar tensor, in half ranges.

    Example:
        >>> import torch
        >>> import netinv_lite as nil
        >>> nil.losses.background(torch.zeros(1, 1, 8, 8), level=0.0, input_range=(-1, 1))
        tensor(1.)
    """
    low, high = input_range
    return (x - (low + level * (high - low))).abs().mean() * 2 / (high - low)


def total_variation(x: Tensor) -> Tensor:
    """The mean absolute difference of neighbouring pixels, along rows plus along columns.

    Args:
        x: images (B,C,H,W).

    Returns:
        A scalar tensor, in units of the pixels.

    Example:
        >>> import torch
        >>> import netinv_lite as nil
        >>> stripes = torch.tensor([0.0, 1.0]).repeat(1, 1, 8, 4)
        >>> nil.losses.total_variation(stripes)
        tensor(1.)
    """
    steps = (x.diff(dim=d).abs() for d in (-1, -2) if x.shape[d] > 1)  # a signal has one row
    return sum((step.mean() for step in steps), x.new_zeros(()))


def batch_norm(distances: Sequence[Tensor]) -> Tensor:
    """The mean of `batch_statistics`: how far a batch is from the training data, over the layers.

    Args:
        distances: one scalar tensor per batch-norm layer.

    Returns:
        A scalar tensor, at least 0.

    Raises:
        ValueError: there is none.

    Source: Yin et al. 2020, Dreaming to Distill, equation 4.

    Example:
        >>> import torch
        >>> import netinv_lite as nil
        >>> nil.losses.batch_norm([torch.tensor(1.0), torch.tensor(3.0)])
        tensor(2.)
    """
    if not distances:
        raise ValueError(
            "The weight batch_norm is for models with batch-norm layers that keep statistics of "
            "their data; this one has none. Leave it at 0, and take preset='readable' in place of "
            "'typical', which sets it."
        )
    return torch.stack(list(distances)).mean()


def perturbed(x: Tensor, bound: float, input_range: Sequence[float]) -> Tensor:
    """Images with uniform noise: x + u, clipped to the range.

    Args:
        x: images (B,C,H,W).
        bound: the largest |u|, in half ranges.
        input_range: (low, high).

    Returns:
        Images (B,C,H,W).

    Source: Suhail et al., arXiv 2411.17777.

    Example:
        >>> import torch
        >>> import netinv_lite as nil
        >>> x = torch.zeros(1, 1, 8, 8)
        >>> y = nil.losses.perturbed(x, bound=0.1, input_range=(-1, 1))
        >>> bool((y - x).abs().max() <= 0.1)
        True
    """
    low, high = input_range
    u = bound * (high - low) / 2 * (2 * torch.rand_like(x) - 1)
    return (x + u).clamp(low, high)


def pixel_range(x: Tensor, input_range: Sequence[float]) -> Tensor:
    """The mean distance of pixels to the range; 0 if a tanh keeps them inside.

    Args:
        x: images (B,C,H,W).
        input_range: (low, high).

    Returns:
        A scalar tensor, in half ranges.

    Source: Suhail et al., arXiv 2411.17777.

    Example:
        >>> import torch
        >>> import netinv_lite as nil
        >>> nil.losses.pixel_range(torch.full((1, 1, 8, 8), 1.5), input_range=(-1, 1))
        tensor(0.5000)
    """
    low, high = input_range
    return (F.relu(low - x) + F.relu(x - high)).mean() * 2 / (high - low)


def gradient(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """The norm of the parameter gradient, ‖∇_θ CE(f_θ(x), y)‖₂, of the whole batch.

    Training images have small parameter gradients. The term is second-order: its gradient with
    respect to x passes through a backward pass. The parameters stay as they are.

    Args:
        model: the network f_θ.
        x: images (B,C,H,W).
        y: target rows (B,K) on the simplex, or target classes (B,).

    Returns:
        A scalar tensor, above 0.

    Source: Suhail et al., arXiv 2411.17777.

    Example:
        >>> import netinv_lite as nil
        >>> model, data = nil.load_classifier("digits"), nil.load_data("digits")
        >>> x, y = data.x_train[:8], data.y_train[:8]
        >>> wrong = (y + 1) % 10
        >>> bool(nil.losses.gradient(model, x, y) < nil.losses.gradient(model, x, wrong))
        True
    """
    ask, values = recording(model)
    with sdpa_kernel(SDPBackend.MATH):  # the other kernels of attention have no second derivative
        loss = F.cross_entropy(ask(x), y)
        parts = torch.autograd.grad(loss, values, create_graph=True, allow_unused=True)
    squares = torch.stack([p.square().sum() for p in parts if p is not None]).sum()
    return squares.clamp_min(1e-20).sqrt().to(x.dtype)  # a root has no slope at 0


@dataclass(frozen=True)
class Batch:
    """The images of one step with their logits and features: the argument of every loss term.

    Args:
        x: images (B,C,H,W).
        logits: (B,K).
        f: features (B,D).
        condition: the targets of the images.
        input_range: (low, high) of the pixels.
        distances: those of `batch_statistics`; empty if no term needs them.
        model: the classifier, for terms that call it again.
        loss: the loss that the term belongs to, for its settings.

    Example:
        >>> import torch
        >>> import netinv_lite as nil
        >>> from netinv_lite.losses import Batch
        >>> x, logits, f = torch.zeros(2, 1, 8, 8), torch.zeros(2, 3), torch.eye(2)
        >>> batch = Batch(x, logits, f, nil.Label(3).draw(2), input_range=(-1, 1))
        >>> {name: round(term.item(), 2) for name, term in nil.InversionLoss().terms(batch).items()}
        {'kl': 1.1, 'cross_entropy': 1.1, 'cosine': 0.0}
    """

    x: Tensor
    logits: Tensor
    f: Tensor
    condition: Condition
    input_range: tuple[float, float]
    distances: Sequence[Tensor] = ()
    model: nn.Module | None = None
    loss: InversionLoss | None = None

    @cached_property  # one pass serves both terms
    def near(self) -> Tensor:
        """The logits (B,K) of the images perturbed within `loss.bound`."""
        return answer(self.model, perturbed(self.x, self.loss.bound, self.input_range))


Term = Callable[[Batch], Tensor]
TERMS: dict[str, Term] = {
    "kl": lambda b: kl(b.logits, b.condition.v),
    "cross_entropy": lambda b: cross_entropy(b.logits, b.condition.y),
    "margin": lambda b: margin(b.logits, b.condition.k, b.loss.log_odds),
    "cosine": lambda b: cosine(b.f),
    "class_cosine": lambda b: class_cosine(b.f, b.condition.k),
    "orthogonality": lambda b: orthogonality(b.f),
    "background": lambda b: background(b.x, b.loss.level, b.input_range),
    "total_variation": lambda b: total_variation(b.x),
    "batch_norm": lambda b: batch_norm(b.distances),  # before the model is asked again
    "perturbed_kl": lambda b: kl(b.near, b.condition.v),
    "perturbed_cross_entropy": lambda b: cross_entropy(b.near, b.condition.y),
    "pixel_range": lambda b: pixel_range(b.x, b.input_range),
    "gradient": lambda b: gradient(b.model, b.x, b.condition.y),
}


def term(function: Term) -> Term:
    """A decorator that adds a loss term of your own; its weight goes into `InversionLoss(extra=…)`.

    Args:
        function: from a `Batch` to a scalar tensor; its name is the name of the term.

    Returns:
        The function itself.

    Example:
        >>> import netinv_lite as nil
        >>> @nil.losses.term
        ... def brightness(batch):
        ...     return batch.x.mean()
        >>> nil.InversionLoss(extra={"brightness": 0.5}).weights["brightness"]
        0.5
    """
    TERMS[function.__name__] = function
    return function


class Loss(Protocol):
    """What `invert` needs of a loss; `InversionLoss` and `DaflLoss` have it.

    Example:
        >>> import netinv_lite as nil
        >>> loss: nil.losses.Loss = nil.InversionLoss(margin=1)
        >>> loss.needs_one_class, loss.needs_statistics
        (True, False)
    """

    @property
    def needs_statistics(self) -> bool:
        """Whether a term reads `Batch.distances`."""
        ...

    @property
    def needs_one_class(self) -> bool:
        """Whether a soft target would make no sense."""
        ...

    def terms(self, batch: Batch) -> dict[str, Tensor]:
        """Each term, unweighted: name -> scalar tensor.

        Args:
            batch: the images of a step.
        """
        ...

    def total(self, terms: dict[str, Tensor]) -> Tensor:
        """Σ weight · term, a scalar tensor.

        Args:
            terms: those of `terms`.
        """
        ...


@dataclass(frozen=True)
class InversionLoss:
    """L = α KL + β CE + γ L_cos + δ L_ortho, with a margin and priors: weights ≥ 0 of all terms.

    A term of weight 0 costs nothing.

    Args:
        kl: weight α of `kl`.
        cross_entropy: weight β of `cross_entropy`.
        margin: weight of `margin`.
        cosine: weight γ of `cosine`, of all features of a batch.
        class_cosine: weight of `class_cosine`.
        orthogonality: weight δ of `orthogonality`.
        background: weight of `background`.
        total_variation: weight of `total_variation`.
        batch_norm: weight of `batch_norm`.
        perturbed_kl: weight of `kl` of the `perturbed` images.
        perturbed_cross_entropy: weight of `cross_entropy` of the `perturbed` images.
        pixel_range: weight of `pixel_range`.
        gradient: weight of `gradient`.
        log_odds: the m of the margin, in nats.
        level: the background, as a share of the input range.
        bound: the largest perturbation, in half ranges.
        extra: weights of terms of your own, by name, see `term`.

    Raises:
        ValueError: a weight is negative or not finite, all are 0, or `extra` names no term.

    Source: Suhail et al., arXiv 2411.17777 and 2410.16884; for `batch_norm` Yin et al. 2020.

    Example:
        >>> import netinv_lite as nil
        >>> nil.InversionLoss(cosine=0, margin=1).weights
        {'kl': 1.0, 'cross_entropy': 1.0, 'margin': 1}
    """

    kl: float = 1.0
    cross_entropy: float = 1.0
    margin: float = 0.0
    cosine: float = 1.0
    class_cosine: float = 0.0
    orthogonality: float = 0.0
    background: float = 0.0
    total_variation: float = 0.0
    batch_norm: float = 0.0
    perturbed_kl: float = 0.0
    perturbed_cross_entropy: float = 0.0
    pixel_range: float = 0.0
    gradient: float = 0.0
    log_odds: float = 10.0
    level: float = 0.0
    bound: float = 0.1
    extra: Mapping[str, float] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        check_finite(self, *(f.name for f in fields(self) if f.name != "extra"))
        for name, weight in self.extra.items():
            check_name(name, TERMS, "loss term")
            check_finite(SimpleNamespace(**{name: weight}), name)
        if not self.weights:
            raise ValueError(f"Every weight is 0; give one of {', '.join(TERMS)} a positive one.")

    @property
    def weights(self) -> dict[str, float]:
        """Name -> weight of each term whose weight is not 0."""
        weights = {name: getattr(self, name, 0.0) for name in TERMS} | dict(self.extra)
        return {name: weight for name, weight in weights.items() if weight}

    @property
    def needs_statistics(self) -> bool:
        """Whether a term reads `Batch.distances`."""
        return self.batch_norm > 0

    @property
    def needs_one_class(self) -> bool:
        """Whether a soft target would make no sense."""
        return self.margin > 0

    def terms(self, batch: Batch) -> dict[str, Tensor]:
        """Each term whose weight is not 0, unweighted.

        Args:
            batch: the images of a step.

        Returns:
            Name -> scalar tensor.
        """
        batch = replace(batch, loss=self)
        return {name: TERMS[name](batch) for name in self.weights}

    def total(self, terms: dict[str, Tensor]) -> Tensor:
        """Σ weight · term, a scalar tensor.

        Args:
            terms: those of `terms`.
        """
        weights = self.weights
        return sum(weights[name] * value for name, value in terms.items())


KINDS: dict[str, type] = {"InversionLoss": InversionLoss}  # what a saved inversion may name
