"""How the class enters the generator: label, vector, matrix, vector-matrix, or soft targets."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from ._core.arrays import as_tensor
from ._core.boundary import ONE_LOGIT
from ._core.moved import renamed
from ._core.validation import check_count, check_name, check_positive, check_whole, got

__all__ = [
    "SCHEMES",
    "Condition",
    "Label",
    "Matrix",
    "SoftTargets",
    "Vector",
    "VectorMatrix",
    "balanced_classes",
    "hot_matrix",
    "one_hot",
    "simplex_vectors",
]


@dataclass(frozen=True)
class Condition:
    """The targets of a batch of images.

    Args:
        v: (B,K), the conditioning vectors, rows on the simplex: the P of the KL divergence.
        y: (B,K), the target of cross-entropy and margin: the one-hot of the target class k, or v
            itself for soft targets.

    Example:
        >>> import torch
        >>> import netinv_lite as nil
        >>> condition = nil.Vector(10).of(torch.tensor([3, 8]))
        >>> condition
        Condition(2 images of K=10 classes, asked for 3, 8)
        >>> condition.v.shape, condition.k
        (torch.Size([2, 10]), tensor([3, 8]))
    """

    v: Tensor
    y: Tensor

    @property
    def k(self) -> Tensor:
        """The target classes, argmax y (B,)."""
        return self.y.argmax(1)

    def to(self, *where: Any) -> Condition:
        """The same on another device or of another type; arguments as in `Tensor.to`."""
        return Condition(self.v.to(*where), self.y.to(*where))

    def met_by(self, logits: Tensor) -> Tensor:
        """Which predictions are the target class, ties of y included.

        Args:
            logits: (B,K), of the classifier.

        Returns:
            bool (B,).
        """
        read = self.y.gather(1, logits.argmax(1, keepdim=True)).squeeze(1)
        return read >= self.y.amax(1) - 1e-6

    def __repr__(self) -> str:
        (n, K), asked = self.y.shape, self.k.unique().tolist()
        some = ", ".join([*map(str, asked[:10]), *["…"] * (len(asked) > 10)])
        return f"Condition({n} images of K={K} classes, asked for {some})"


def one_hot(k: Tensor, num_classes: int) -> Tensor:
    """Rows that are 1 at the class and 0 elsewhere.

    Args:
        k: (B,) classes.
        num_classes: K.

    Returns:
        (B,K), of torch's default type.

    Raises:
        ValueError: k is no row of whole numbers, or a class lies outside 0..K−1.

    Example:
        >>> import torch
        >>> from netinv_lite.conditioning import one_hot
        >>> one_hot(torch.tensor([2, 0]), 3)
        tensor([[0., 0., 1.],
                [1., 0., 0.]])
    """
    if not isinstance(k, Tensor) or k.ndim != 1 or k.dtype not in (torch.int32, torch.int64):
        kind = f" of {k.dtype}" if isinstance(k, Tensor) else ""
        raise ValueError(
            f"Classes must be a tensor (B,) of int64, such as torch.tensor([3, 8]), not "
            f"{got(k)}{kind}."
        )
    if k.numel() and not 0 <= int(k.min()) <= int(k.max()) < num_classes:
        low, high = int(k.min()), int(k.max())
        raise ValueError(
            f"Classes lie in 0..{num_classes - 1}, not {low}..{high}: give numbers from 0 on, less "
            f"than {num_classes}."
        )
    return torch.zeros(len(k), num_classes, device=k.device).scatter_(1, k[:, None], 1.0)


@renamed(random="generator")
def balanced_classes(n: int, num_classes: int, *, generator: Generator | None = None) -> Tensor:
    """n classes in random order, each as often as the others, to within one.

    Args:
        n: how many.
        num_classes: K.
        generator: the random numbers; by default torch's own.

    Returns:
        (n,) int64.

    Raises:
        ValueError: n is no whole number, or negative.

    Example:
        >>> from netinv_lite.conditioning import balanced_classes
        >>> balanced_classes(6, 3).bincount()
        tensor([2, 2, 2])
    """
    check_count("n", n, 0)
    start = torch.randint(num_classes, (1,), generator=generator)
    return (torch.randperm(n, generator=generator) + start) % num_classes


def sampled_classes(classes: Sequence[int] | None, num_classes: int, per_class: int) -> Tensor:
    """The target classes of a sample, class by class, as `sample` is asked for them.

    Args:
        classes: n of the classes; None for all K.
        num_classes: K.
        per_class: images of each class.

    Returns:
        (n·per_class,) int64.

    Raises:
        ValueError: no class, or no image of one; a class that does not exist.
    """
    check_count("per_class", per_class, 1)
    named = range(num_classes) if classes is None else classes
    if not isinstance(named, Iterable) or isinstance(named, str) or not (named := [*named]):
        raise ValueError(
            f"classes={classes!r}: name at least one class, such as classes=[3], or leave it out "
            "for all."
        )
    k = as_tensor(named, "Classes")
    one_hot(k, num_classes)  # a ValueError for a class that does not exist
    return k.repeat_interleave(per_class)


@renamed(random="generator")
def simplex_vectors(
    k: Tensor, num_classes: int, scale: float, *, generator: Generator | None = None
) -> Tensor:
    """v = softmax(s·N(0, I_K)) given that argmax v = k.

    The distribution of v is the same for every order of the classes, so the largest entry may be
    swapped with entry k.

    Args:
        k: (B,) classes.
        num_classes: K.
        scale: s; the larger, the nearer is v to the one-hot of k.
        generator: the random numbers; by default torch's own.

    Returns:
        v (B,K), rows on the simplex.

    Source: Suhail & Sethi, section 2.

    Example:
        >>> import torch
        >>> from netinv_lite.conditioning import simplex_vectors
        >>> v = simplex_vectors(torch.tensor([2, 0]), 3, scale=10)
        >>> v.shape, v.argmax(1)
        (torch.Size([2, 3]), tensor([2, 0]))
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
        grid: (g,h), by default K×K; r is stretched to it, so the cost is O(g·h) for any K.

    Returns:
        M (B,1,g,h).

    Source: Suhail & Sethi, section 2.

    Example:
        >>> import torch
        >>> from netinv_lite.conditioning import hot_matrix
        >>> hot_matrix(torch.tensor([[0.0, 1.0, 0.0]]))[0, 0]
        tensor([[0., 1., 0.],
                [1., 1., 1.],
                [0., 1., 0.]])
    """
    g, h = grid or (r.shape[1], r.shape[1])
    rows, columns = _stretch(r, g), _stretch(r, h)
    return torch.maximum(rows[:, :, None], columns[:, None, :]).unsqueeze(1)  # (B, 1, g, h)


def _stretch(r: Tensor, size: int) -> Tensor:
    if r.shape[1] == size:
        return r
    return F.interpolate(r.unsqueeze(1), size=size, mode="nearest-exact").squeeze(1)


def check_simplex(v: Tensor, num_classes: int) -> Tensor:
    """Rows on the simplex: non-negative, with sum 1.

    Args:
        v: (B,K), a tensor, an array or a list.
        num_classes: K.

    Returns:
        v (B,K), in single precision or better.

    Raises:
        ValueError: another shape, or a row off the simplex.
    """
    v = v if isinstance(v, Tensor) else as_tensor(v, "Soft targets")
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
    """Label conditioning: the class enters as an embedding of k.

    v is the one-hot of k, so the KL divergence is a cross-entropy.

    Args:
        num_classes: K.
        classes: some of the K classes, the only ones that are drawn; None for all.

    Raises:
        ValueError: fewer than two classes, or one in `classes` that does not exist.

    Example:
        >>> import torch
        >>> import netinv_lite as nil
        >>> nil.Label(3).of(torch.tensor([2])).v
        tensor([[0., 0., 1.]])
    """

    num_classes: int
    name: ClassVar[str] = "label"
    vector: ClassVar[bool] = True  # does v enter at the input?
    matrix: ClassVar[bool] = False  # does M enter at the grid?
    classes: Sequence[int] | None = field(default=None, kw_only=True, repr=False)

    def __post_init__(self) -> None:
        check_whole(self, num_classes=2)
        if self.classes is not None:
            chosen = sampled_classes(self.classes, self.num_classes, 1).tolist()
            object.__setattr__(self, "classes", tuple(chosen))

    @property
    def rows(self) -> Sequence[int]:
        """What can be drawn: the classes, all K or those chosen."""
        return range(self.num_classes) if self.classes is None else self.classes

    @renamed(random="generator")
    def of(self, k: Tensor, *, generator: Generator | None = None) -> Condition:
        """Targets for given classes.

        Args:
            k: (B,) classes.
            generator: the random numbers for v; by default torch's own.

        Returns:
            A condition of B images.

        Raises:
            ValueError: a class outside 0..K−1.
        """
        y = one_hot(k, self.num_classes)
        return Condition(y, y)

    @renamed(random="generator")
    def draw(self, n: int, *, generator: Generator | None = None) -> Condition:
        """Targets for n images, all classes equally often, to within one.

        Args:
            n: how many.
            generator: the random numbers; by default torch's own.

        Returns:
            A condition of n images.
        """
        k = balanced_classes(n, len(self.rows), generator=generator)
        return self.of(torch.tensor(self.rows)[k], generator=generator)


@dataclass(frozen=True)
class Vector(Label):
    """Vector conditioning: v = softmax(s·N(0, I_K)) enters at the input; k = argmax v.

    Args:
        num_classes: K.
        scale: s; the larger, the nearer is v to a one-hot.
        classes: as in `Label`.

    Raises:
        ValueError: `scale` is not positive.

    Source: Suhail & Sethi, section 2.

    Example:
        >>> import torch
        >>> import netinv_lite as nil
        >>> condition = nil.Vector(10, scale=2.0).of(torch.tensor([3, 3]))
        >>> condition.v.argmax(1), bool(condition.v.max() < 1)
        (tensor([3, 3]), True)
    """

    scale: float = 10.0
    name: ClassVar[str] = "vector"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive(self, "scale")

    @renamed(random="generator")
    def of(self, k: Tensor, *, generator: Generator | None = None) -> Condition:
        """Targets for given classes, with vectors that are drawn.

        Args:
            k: (B,) classes.
            generator: the random numbers; by default torch's own.

        Returns:
            A condition of B images.

        Raises:
            ValueError: a class outside 0..K−1.
        """
        y = one_hot(k, self.num_classes)
        return Condition(simplex_vectors(k, self.num_classes, self.scale, generator=generator), y)


@dataclass(frozen=True)
class Matrix(Label):
    """Matrix conditioning: the class enters only as the hot matrix M, in mid-network.

    Args:
        num_classes: K.
        classes: as in `Label`.

    Source: Suhail & Sethi, section 2.

    Example:
        >>> import netinv_lite as nil
        >>> nil.Matrix(10).draw(40).k.bincount()
        tensor([4, 4, 4, 4, 4, 4, 4, 4, 4, 4])
    """

    name: ClassVar[str] = "matrix"
    vector: ClassVar[bool] = False
    matrix: ClassVar[bool] = True


@dataclass(frozen=True)
class VectorMatrix(Vector):
    """Vector-matrix conditioning: v at the input and M at the grid. The papers' choice.

    Args:
        num_classes: K.
        scale: s; the larger, the nearer is v to a one-hot.
        classes: as in `Label`.

    Raises:
        ValueError: `scale` is not positive.

    Source: Suhail & Sethi, section 2.

    Example:
        >>> import netinv_lite as nil
        >>> nil.VectorMatrix(10, scale=5.0).draw(20)
        Condition(20 images of K=10 classes, asked for 0, 1, 2, 3, 4, 5, 6, 7, 8, 9)
    """

    name: ClassVar[str] = "vector-matrix"
    matrix: ClassVar[bool] = True


@dataclass(frozen=True)
class SoftTargets(Label):
    """Targets of your own: rows on the simplex, for example half a 3 and half an 8.

    A batch holds each row equally often, and v = y = the row.

    Args:
        num_classes: K.
        targets: (T,K), rows that are non-negative and sum to 1.

    Raises:
        ValueError: another shape, or a row off the simplex.

    Example:
        >>> import torch
        >>> import netinv_lite as nil
        >>> v = torch.zeros(1, 10)
        >>> v[0, [3, 8]] = 0.5
        >>> nil.SoftTargets(10, v)
        SoftTargets(1 targets, K=10: 0.5 of 3 and 0.5 of 8)
    """

    num_classes: int
    targets: Tensor = field(compare=False)
    name: ClassVar[str] = "soft-targets"
    matrix: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.classes is not None:
            raise ValueError("Soft targets are what is drawn: leave `classes` out.")
        object.__setattr__(self, "targets", check_simplex(self.targets, self.num_classes))

    @property
    def rows(self) -> Sequence[int]:
        """What can be drawn: the rows of `targets`."""
        return range(len(self.targets))

    def __repr__(self) -> str:
        n, K = self.targets.shape
        rows = [_mixture(row) for row in self.targets[:4]]
        return f"SoftTargets({n} targets, K={K}: {'; '.join(rows + ['…'] * (n > 4))})"

    @renamed(random="generator")
    def of(self, k: Tensor, *, generator: Generator | None = None) -> Condition:
        """Targets for given rows.

        Args:
            k: (B,) numbers of rows of `targets`.
            generator: not used.

        Returns:
            A condition of B images.

        Raises:
            ValueError: there is no such row.
        """
        one_hot(k, len(self.targets))
        v = self.targets.to(k.device)[k]
        return Condition(v, v)

    @renamed(random="generator")
    def draw(self, n: int, *, generator: Generator | None = None) -> Condition:
        """Targets for n images, all rows equally often, to within one.

        Args:
            n: how many.
            generator: the random numbers; by default torch's own.

        Returns:
            A condition of n images.
        """
        return self.of(balanced_classes(n, len(self.rows), generator=generator))


def _mixture(row: Tensor) -> str:
    """The three largest entries of a row (K,) in words."""
    largest = [k for k in row.argsort(descending=True)[:3] if row[k] >= 0.005]
    return " and ".join(f"{row[k]:.2g} of {k}" for k in largest)


SCHEMES: dict[str, type[Label]] = {c.name: c for c in (Label, Vector, Matrix, VectorMatrix)}


def scheme(name: str, num_classes: int, scale: float) -> Label:
    """The conditioning of that name.

    Args:
        name: a key of `SCHEMES`.
        num_classes: K.
        scale: s, if the scheme has it.

    Returns:
        The conditioning.

    Raises:
        ValueError: an unknown name.
    """
    check_name(name, SCHEMES, "conditioning")
    cls = SCHEMES[name]
    return cls(num_classes, scale=scale) if issubclass(cls, Vector) else cls(num_classes)


def resolve(given: str | Label, K: int, scale: float) -> Label:
    """The conditioning that `given` means for a classifier of K logits.

    Args:
        given: a name or an object.
        K: the number of logits.
        scale: s, if a name is given.

    Returns:
        The conditioning.

    Raises:
        ValueError: an unknown name, no conditioning, or one for another number of classes.
    """
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
            f"classifier returns {K} logits: make it for K={K}."
        )
    return conditioning
