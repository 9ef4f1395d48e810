"""What the generator is asked for: the papers' losses, the margin and the priors."""

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
    """KL(P‖Q) = Σ v (log v − log softmax(logits)), mean over the batch; (B,K), (B,K) -> ().

    The logits go through log_softmax once: softmax first and log_softmax after (seen in public
    code) bounds the loss and flattens its gradient.
    """
    return F.kl_div(F.log_softmax(logits, 1), v, reduction="batchmean")


def cross_entropy(logits: Tensor, y: Tensor) -> Tensor:
    """CE = −Σ y log softmax(logits), mean over the batch; y (B,K) on the simplex, or (B,)."""
    return F.cross_entropy(logits, y)


def log_odds(logits: Tensor, k: Tensor) -> Tensor:
    """logit_k − logsumexp of the other logits; (B,K), (B,) -> (B,)."""
    others = logits.scatter(1, k[:, None], float("-inf")).logsumexp(1)
    return logits.gather(1, k[:, None]).squeeze(1) - others


def surest(logits: Tensor, k: Tensor, per_class: int) -> Tensor:
    """The rows with the largest log-odds, so many of each class, in the order they stand in.

    logits (N,K), k (N,) class-major with equally many rows a class -> (n·per_class,) int64.
    """
    k = k.to(logits.device)
    rows = log_odds(logits, k).view(len(k.unique_consecutive()), -1)
    best = rows.topk(per_class).indices.sort().values
    return (best + torch.arange(0, len(k), rows.shape[1], device=k.device)[:, None]).flatten()


def margin(logits: Tensor, k: Tensor, m: float) -> Tensor:
    """softplus(m − log-odds of k), mean over the batch; unlike CE it pushes on until m."""
    return F.softplus(m - log_odds(logits, k)).mean()


def cosine(f: Tensor) -> Tensor:
    """1/(N(N−1)) Σ_{i≠j} cos(f_i, f_j) at cost O(N·D): with unit rows u it is ‖Σu‖² − N."""
    u = F.normalize(f, dim=1)
    N = len(u)
    return (u.sum(0).square().sum() - N) / (N * (N - 1))


def class_cosine(f: Tensor, k: Tensor) -> Tensor:
    """The mean cosine over pairs of one class only, at the same linear cost; f (N,D), k (N,)."""
    u = F.normalize(f, dim=1)
    alike = k[:, None] == k  # (N, N)
    first = alike.byte().argmax(
        1
    )  # a row for each class, without asking the device which there are
    sums = torch.zeros_like(u).index_add(0, first, u)
    pairs = (alike.sum() - len(u)).clamp_min(1)
    return (sums.square().sum() - len(u)) / pairs


def orthogonality(f: Tensor) -> Tensor:
    """‖UUᵀ − I‖²_F / (N(N−1)), the mean squared cosine, at cost O(N·D·min(N,D)).

    Unit rows: with raw rows it grows as ‖f‖⁴. ‖UUᵀ‖_F = ‖UᵀU‖_F, so the smaller Gram serves.
    """
    u = F.normalize(f, dim=1)
    N, D = u.shape
    gram = u @ u.T if N <= D else u.T @ u
    return (gram.square().sum() - N) / (N * (N - 1))


def background(x: Tensor, level: float, input_range) -> Tensor:
    """mean |x − b| in units of half the range, with b at `level` (0 low … 1 high) of the range."""
    low, high = input_range
    return (x - (low + level * (high - low))).abs().mean() * 2 / (high - low)


def total_variation(x: Tensor) -> Tensor:
    """Mean absolute difference of neighbouring pixels, both ways; (B,C,H,W) -> ()."""
    steps = (x.diff(dim=d).abs() for d in (-1, -2) if x.shape[d] > 1)  # a signal has one row
    return sum((step.mean() for step in steps), x.new_zeros(()))


def batch_norm(distances: Sequence[Tensor]) -> Tensor:
    """The mean of `probe.batch_statistics`: how unlike training data a batch is, layer by layer."""
    if not distances:
        raise ValueError(
            "The weight batch_norm is for models with batch-norm layers that keep "
            "statistics of their data; this one has none."
        )
    return torch.stack(list(distances)).mean()


def perturbed(x: Tensor, bound: float, input_range) -> Tensor:
    """x + u, u uniform within ±`bound` half ranges, kept in the range; (B,C,H,W) -> same."""
    low, high = input_range
    u = bound * (high - low) / 2 * (2 * torch.rand_like(x) - 1)
    return (x + u).clamp(low, high)


def pixel_range(x: Tensor, input_range) -> Tensor:
    """The mean distance of pixels to the range, in half ranges; 0 where a tanh keeps them in it."""
    low, high = input_range
    return (F.relu(low - x) + F.relu(x - high)).mean() * 2 / (high - low)


def gradient(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """‖∇_θ CE(f_θ(x), y)‖₂, of the whole batch; y (B,K) on the simplex, or (B,).

    What a network was trained on has small parameter gradients. Second-order: its own gradient to
    x goes back through the backward pass. The parameters are left as they are.
    """
    ask, values = recording(model)
    with sdpa_kernel(SDPBackend.MATH):  # the other kernels of attention have no second derivative
        loss = F.cross_entropy(ask(x), y)
        parts = torch.autograd.grad(loss, values, create_graph=True, allow_unused=True)
    squares = torch.stack([p.square().sum() for p in parts if p is not None]).sum()
    return squares.clamp_min(1e-20).sqrt().to(x.dtype)  # a root has no slope at 0


@dataclass(frozen=True)
class Batch:
    """The images of one step and what the classifier makes of them: all that a term may look at.

    x (B,C,H,W) in `input_range`, logits (B,K), f (B,D), the `condition` asked for, the `distances`
    of `batch_statistics`, the `model` for terms that ask it again, and the `loss` itself.
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
        """The logits (B,K) of the images changed within `loss.bound`."""
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
    """Add a term of your own, Batch -> scalar: its weight is `InversionLoss(extra={name: …})`.

    Example:
        >>> @term
        ... def brightness(batch):
        ...     return batch.x.mean()
        >>> InversionLoss(extra={"brightness": 0.5}).weights["brightness"]
        0.5
    """
    TERMS[function.__name__] = function
    return function


class Loss(Protocol):
    """What `invert` needs of a loss; `InversionLoss` and `DaflLoss` are two."""

    @property
    def needs_statistics(self) -> bool:
        """Whether `Batch.distances` are looked at."""

    @property
    def needs_one_class(self) -> bool:
        """Whether a soft target would make no sense."""

    def terms(self, batch: Batch) -> dict[str, Tensor]:
        """Each term, unweighted, as a dict name -> scalar tensor."""

    def total(self, terms: dict[str, Tensor]) -> Tensor:
        """Σ weight · term."""


@dataclass(frozen=True)
class InversionLoss:
    """L = α KL + β CE + γ L_cos + δ L_ortho, and beside them margin and priors; weights ≥ 0.

    Terms of weight 0 cost nothing. `log_odds` is the m of the margin, `level` the background as
    a fraction of the input range. For images like those of the training, see the preset
    "training-like": `perturbed_kl` and `perturbed_cross_entropy` of images changed within `bound`
    half ranges, `pixel_range`, and the `gradient` of the network's own parameters. `extra` holds
    the weights of terms of your own, see `term`.
    Source: Suhail et al., arXiv 2411.17777 and 2410.16884; for `batch_norm` Yin et al. 2020.
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

    def __post_init__(self):
        check_finite(self, *(f.name for f in fields(self) if f.name != "extra"))
        for name, weight in self.extra.items():
            check_name(name, TERMS, "loss term")
            check_finite(SimpleNamespace(**{name: weight}), name)
        if not self.weights:
            raise ValueError(f"Every weight is 0; give one of {', '.join(TERMS)} a positive one.")

    @property
    def weights(self) -> dict[str, float]:
        """Name -> weight of each term that counts."""
        weights = {name: getattr(self, name, 0.0) for name in TERMS} | dict(self.extra)
        return {name: weight for name, weight in weights.items() if weight}

    @property
    def needs_statistics(self) -> bool:
        return self.batch_norm > 0

    @property
    def needs_one_class(self) -> bool:
        return self.margin > 0

    def terms(self, batch: Batch) -> dict[str, Tensor]:
        """Each term of non-zero weight, unweighted, as a dict name -> scalar tensor."""
        batch = replace(batch, loss=self)
        return {name: TERMS[name](batch) for name in self.weights}

    def total(self, terms: dict[str, Tensor]) -> Tensor:
        """Σ weight · term."""
        weights = self.weights
        return sum(weights[name] * value for name, value in terms.items())


KINDS: dict[str, type] = {"InversionLoss": InversionLoss}  # what a saved inversion may name
