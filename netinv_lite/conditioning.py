"""How the class enters the generator: label, vector, matrix, vector-matrix, or soft targets."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from ._core.boundary import ONE_LOGIT
from ._core.moved import renamed
from ._core.validation import check_name, check_positive


@dataclass(frozen=True)
class Condition:
    """What a batch of images is asked to be.

    Args:
        v: (B,K), the vector, rows on the simplex, the P of the KL divergence.
        y: (B,K), what cross-entropy and margin ask for: the one-hot of k, or v where the caller
            set it.
    """

    v: Tensor
    y: Tensor

    @property
    def k(self) -> Tensor:
        """The class, argmax y (B,)."""
        return self.y.argmax(1)

    def to(self, *where) -> Condition:
        """The same on another device, or of another type; as `Tensor.to`."""
        return Condition(self.v.to(*where), self.y.to(*where))

    def met_by(self, logits: Tensor) -> Tensor:
        """Whether the class read from logits (B,K) is the one asked for, ties included; (B,)."""
        read = self.y.gather(1, logits.argmax(1, keepdim=True)).squeeze(1)
        return read >= self.y.amax(1) - 1e-6

    def __repr__(self) -> str:
        (n, K), asked = self.y.shape, self.k.unique().tolist()
        some = ", ".join([*map(str, asked[:10]), *["…"] * (len(asked) > 10)])
        return f"Condition({n} images of K={K} classes, asked for {some})"


def one_hot(k: Tensor, num_classes: int) -> Tensor:
    """k (B,) -> rows (B,K) of torch's default type, 1 at k, else 0.

    Raises:
        ValueError: a k outside 0..K-1.
    """
    if k.numel() and not 0 <= int(k.min()) <= int(k.max()) < num_classes:
        low, high = int(k.min()), int(k.max())
        raise ValueError(f"Classes lie in 0..{num_classes - 1}, not {low}..{high}.")
    return torch.zeros(len(k), num_classes, device=k.device).scatter_(1, k[:, None], 1.0)


@renamed(random="generator")
def balanced_classes(n: int, num_classes: int, *, generator: Generator | None = None) -> Tensor:
    """n classes in random order, each as often as the others (to within one); (n,) int64."""
    start = torch.randint(num_classes, (1,), generator=generator)
    return (torch.randperm(n, generator=generator) + start) % num_classes


@renamed(random="generator")
def simplex_vectors(
    k: Tensor, num_classes: int, scale: float, *, generator: Generator | None = None
) -> Tensor:
    """v = softmax(s·N(0, I_K)) given that argmax v = k.

    The law of v is the same for every order of the classes, so the largest entry may change
    places with entry k.

    Args:
        k: (B,) classes.
        num_classes: K.
        scale: s; the larger, the nearer is v to the one-hot of k.
        generator: what draws them.

    Returns:
        v (B,K).

    Source: Suhail & Sethi, section 2.
    """
    n = torch.randn(len(k), num_classes, generator=generator).to(k.device)
    rows, top = torch.arange(len(k), device=k.device), n.argmax(1)
    largest, entry = n[rows, top], n[rows, k]
    n[rows, top] = entry
    n[rows, k] = largest
    return torch.softmax(n.mul_(scale), 1)


def hot_matrix(r: Tensor, grid: tuple[int, int] | None = None) -> Tensor:
    """M = max(r 1ᵀ, 1 rᵀ): row k and column k are 1, the rest 0.

    Args:
        r: (B,K), the one-hot of k, or any rows in [0, 1].
        grid: (g,h), by default K×K; r is stretched to it, so the cost is O(g·h), whatever K.

    Returns:
        M (B,1,g,h).

    Source: Suhail & Sethi, section 2.
    """
    g, h = grid or (r.shape[1], r.shape[1])
    rows, columns = _stretch(r, g), _stretch(r, h)
    return torch.maximum(rows[:, :, None], columns[:, None, :]).unsqueeze(1)  # (B, 1, g, h)


def _stretch(r: Tensor, size: int) -> Tensor:
    if r.shape[1] == size:
        return r
    return F.interpolate(r.unsqueeze(1), size=size, mode="nearest-exact").squeeze(1)


def check_simplex(v: Tensor, num_classes: int) -> Tensor:
    """`v` (B,K), in single precision or better, if its rows are non-negative and sum to 1.

    Raises:
        ValueError: another shape, or a row off the simplex.
    """
    v = torch.as_tensor(v, dtype=torch.promote_types(torch.float32, torch.get_default_dtype()))
    if v.ndim != 2 or v.shape[1] != num_classes or not len(v):
        raise ValueError(
            f"Soft targets of shape (T, {num_classes}) are expected, not {tuple(v.shape)}."
        )
    if not torch.isfinite(v).all() or (v < 0).any() or (v.sum(1) - 1).abs().max() > 1e-4:
        sums = [round(float(s), 3) for s in v.sum(1)[:4]]
        raise ValueError(
            f"Each row of soft targets must be non-negative and sum to 1; smallest entry "
            f"{float(v.min()):g}, first sums {sums}. Divide each row by its sum."
        )
    return v


@dataclass(frozen=True)
class Label:
    """The class enters as an embedding of k; P is its one-hot, so the KL is a cross-entropy."""

    num_classes: int
    name: ClassVar[str] = "label"
    vector: ClassVar[bool] = True  # does v enter at the input?
    matrix: ClassVar[bool] = False  # does M enter at the grid?

    @renamed(random="generator")
    def of(self, k: Tensor, *, generator: Generator | None = None) -> Condition:
        """A condition for each class of k (B,)."""
        y = one_hot(k, self.num_classes)
        return Condition(y, y)

    @renamed(random="generator")
    def draw(self, n: int, *, generator: Generator | None = None) -> Condition:
        """n conditions, the classes equally often."""
        return self.of(
            balanced_classes(n, self.num_classes, generator=generator), generator=generator
        )


@dataclass(frozen=True)
class Vector(Label):
    """v = softmax(s·N(0, I_K)) enters at the input; k = argmax v."""

    scale: float = 10.0
    name: ClassVar[str] = "vector"

    def __post_init__(self):
        check_positive(self, "scale")

    @renamed(random="generator")
    def of(self, k: Tensor, *, generator: Generator | None = None) -> Condition:
        y = one_hot(k, self.num_classes)
        return Condition(simplex_vectors(k, self.num_classes, self.scale, generator=generator), y)


@dataclass(frozen=True)
class Matrix(Label):
    """The class enters only as the hot matrix M, in mid-network."""

    name: ClassVar[str] = "matrix"
    vector: ClassVar[bool] = False
    matrix: ClassVar[bool] = True


@dataclass(frozen=True)
class VectorMatrix(Vector):
    """v at the input and M at the grid: the papers' choice."""

    name: ClassVar[str] = "vector-matrix"
    matrix: ClassVar[bool] = True


@dataclass(frozen=True)
class SoftTargets(Label):
    """The caller's own rows of the simplex, for example half a 3 and half an 8.

    A batch holds each row equally often, and v = y = the row.

    Args:
        num_classes: K.
        targets: (T,K), rows that are not negative and sum to 1.

    Raises:
        ValueError: another shape, or a row off the simplex.
    """

    num_classes: int
    targets: Tensor = field(compare=False)
    name: ClassVar[str] = "soft-targets"
    matrix: ClassVar[bool] = True

    def __post_init__(self):
        object.__setattr__(self, "targets", check_simplex(self.targets, self.num_classes))

    def __repr__(self) -> str:
        n, K = self.targets.shape
        rows = [
            " and ".join(
                f"{row[k]:.2g} of {k}" for k in row.argsort(descending=True)[:3] if row[k] >= 0.005
            )
            for row in self.targets[:4]
        ]
        return f"SoftTargets({n} targets, K={K}: {'; '.join(rows + ['…'] * (n > 4))})"

    @renamed(random="generator")
    def of(self, k: Tensor, *, generator: Generator | None = None) -> Condition:
        """Conditions for the rows number k (B,) of `targets`."""
        one_hot(k, len(self.targets))
        v = self.targets.to(k.device)[k]
        return Condition(v, v)

    @renamed(random="generator")
    def draw(self, n: int, *, generator: Generator | None = None) -> Condition:
        return self.of(balanced_classes(n, len(self.targets), generator=generator))


SCHEMES = {cls.name: cls for cls in (Label, Vector, Matrix, VectorMatrix)}


def scheme(name: str, num_classes: int, scale: float) -> Label:
    """The conditioning called `name`, for K classes."""
    check_name(name, SCHEMES, "conditioning")
    cls = SCHEMES[name]
    return cls(num_classes, scale=scale) if issubclass(cls, Vector) else cls(num_classes)


def resolve(given: str | Label, K: int, scale: float) -> Label:
    """The conditioning that `given`, a name or an object, means for a classifier of K logits."""
    if K < 2:
        raise ValueError(ONE_LOGIT)
    conditioning = scheme(given, K, scale) if isinstance(given, str) else given
    if not isinstance(conditioning, Label):
        raise ValueError(
            f"conditioning={given!r:.60}: a name or an object such as SoftTargets(K, v) is needed."
        )
    if conditioning.num_classes != K:
        raise ValueError(
            f"The conditioning is for K={conditioning.num_classes} classes, the "
            f"classifier returns {K} logits."
        )
    return conditioning
