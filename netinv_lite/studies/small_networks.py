"""Small networks that learned half of a few images: to the end, stopped early, or in private."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .._core.boundary import answer
from .._core.random_state import learning, with_gradients
from .._core.validation import check_name
from ..data import ImageData, load_data
from ..models.architectures import ViT
from ..models.training import accuracy

WIDTH, BATCH, RATE, MOMENTUM = 500, 100, 0.1, 0.9
STEPS = {"least": 3000, "most": 30000, "private": 300}


# ---- the images: two halves of a set, of which a network sees one -----------------------------


class Halves(NamedTuple):
    """Two sets of training images, no image in both, at half the resolution.

    Args:
        first: (N,C,H,W).
        second: (N,C,H,W).
        labels: of either, (N,), class by class, as many of each class.
        data: the whole set, at its own resolution.
    """

    first: Tensor
    second: Tensor
    labels: Tensor
    data: ImageData


@lru_cache(maxsize=4)
def halves(dataset: str, seed: int, size: int) -> Halves:
    """Two sets of training images that share none.

    Args:
        dataset: a name that `load_data` knows.
        seed: of the choice.
        size: images of either, a multiple of the number of classes.

    Raises:
        ValueError: the data set does not hold so many, or another size.

    Example:
        >>> import netinv_lite as nil
        >>> first, second, labels, data = nil.studies.small_networks.halves("digits", 0, 20)
        >>> first.shape, labels[:4].tolist()
        (torch.Size([20, 1, 14, 14]), [0, 0, 1, 1])
    """
    data = load_data(dataset)
    per_class, rest = divmod(size, len(data.classes))
    if rest or per_class < 1:
        raise ValueError(f"size={size}: a multiple of {len(data.classes)}, the number of classes.")
    random, rows = torch.Generator().manual_seed(seed), []
    for c in range(len(data.classes)):
        of_class = (data.y_train == c).nonzero().flatten()
        if len(of_class) < 2 * per_class:
            raise ValueError(
                f"{dataset} has {len(of_class)} training images of class {c}; two "
                f"halves of {size} need {2 * per_class}."
            )
        rows.append(of_class[torch.randperm(len(of_class), generator=random)[: 2 * per_class]])
    rows = torch.stack(rows)  # (K, 2 per_class)
    first, second = rows[:, :per_class].flatten(), rows[:, per_class:].flatten()
    x = halved(data.x_train[first]), halved(data.x_train[second])
    return Halves(*x, data.y_train[first], data)


def halved(x: Tensor) -> Tensor:
    """Images (N,C,H,W) at half their resolution, by the mean of four pixels: for speed."""
    return F.avg_pool2d(x, 2)


# ---- the networks: small, without batch norm or dropout, so that they can be stationary ---------


def network(architecture: str, shape: Sequence[int], K: int) -> nn.Sequential | ViT:
    """An untrained network for images (C,H,W) from −1 to 1 and K classes.

    Args:
        architecture: "mlp" (softplus), "relu" (the same, but for that), "cnn" (softplus) or "vit".
        shape: (C, H, W).
        K: number of classes.

    Raises:
        ValueError: an unknown architecture.
    """
    C, H, W = shape
    check_name(architecture, ("mlp", "relu", "cnn", "vit"), "architecture")
    if architecture == "vit":
        model = ViT(shape, K, patch=H // 2, dim=32, heads=4, depth=1)
        model.eval()  # without dropout, also while it is trained
    elif architecture == "cnn":
        layers = [nn.Conv2d(C, 16, 3, 2, 1), nn.Softplus(5.0), nn.Conv2d(16, 32, 3, 2, 1)]
        flat = 32 * -(-H // 4) * -(-W // 4)
        model = nn.Sequential(*layers, nn.Softplus(5.0), nn.Flatten(), nn.Linear(flat, K, False))
    else:
        smooth = nn.Softplus(5.0) if architecture == "mlp" else nn.ReLU()
        layers = [nn.Flatten(), nn.Linear(C * H * W, WIDTH), smooth, nn.Linear(WIDTH, K, False)]
        model = nn.Sequential(*layers)
        model[1].weight.data.mul_(0.1)  # what is there before training is in the way of the search
    model.image_shape, model.input_range = tuple(shape), (-1.0, 1.0)
    return model


@lru_cache(maxsize=2)
def trained(
    dataset: str,
    seed: int,
    swapped: bool,
    *,
    architecture: str,
    size: int,
    decay: float,
    defence: str,
) -> tuple[nn.Module, dict[str, float]]:
    """A network that learned the first half, or `swapped` the second, and what is said of it.

    Without a defence it is trained for 30 times the steps in which decay alone shrinks a weight
    e-fold, within 3,000 and 30,000.

    Args:
        dataset: the set of the images.
        seed: of the halves and the network.
        swapped: whether it learns the second half.
        architecture: as in `network`.
        size: images of a half.
        decay: the weight decay.
        defence: "none"; "early stopping", as soon as every image is predicted rightly; "dp-sgd σ",
            by Opacus, per-image gradients clipped to length 1 and σ times that as noise
            ("dp-sgd 0": clipped).

    Returns:
        The network in eval mode; epsilon, of the privacy that was promised; unexplained,
        ‖wθ + ∇CE‖²/‖wθ‖², 0 where it has converged; train_accuracy and test_accuracy.

    Raises:
        ValueError: an unknown architecture or defence, or a size that does not fit.
        ImportError: private training without Opacus.
    """
    first, second, y, data = halves(dataset, seed, size)
    x, epsilon = second if swapped else first, float("inf")
    with learning(seed, "cpu"):
        model = network(architecture, x.shape[1:], len(data.classes))
        if defence.startswith("dp-sgd "):
            noise = float(defence.removeprefix("dp-sgd "))
            epsilon = learn_privately(model, x, y, decay, noise)
        else:
            check_name(defence, ("none", "early stopping"), "defence")
            learn(model, x, y, decay, early=defence == "early stopping")
    return model.eval(), {
        "epsilon": epsilon,
        "unexplained": unexplained(model, x, y, decay),
        "train_accuracy": accuracy(model, x, y),
        "test_accuracy": accuracy(model, halved(data.x_test), data.y_test),
    }


def learn(model: nn.Module, x: Tensor, y: Tensor, decay: float, *, early: bool = False) -> None:
    """SGD with momentum and weight decay, on all images at once or on batches of `BATCH`.

    Args:
        model: it is changed in place.
        x: images (N,C,H,W).
        y: labels (N,).
        decay: the weight decay.
        early: stop as soon as every image is predicted rightly.
    """
    sgd = torch.optim.SGD(model.parameters(), RATE, momentum=MOMENTUM, weight_decay=decay)
    pace = RATE / (1 - MOMENTUM)  # by how much of a lasting gradient a weight moves in a step
    steps = min(max(30 / (pace * max(decay, 1e-9)), STEPS["least"]), STEPS["most"])
    for step in range(int(steps)):
        rows = torch.randint(len(x), (BATCH,)) if len(x) > BATCH else slice(None)
        loss = F.cross_entropy(answer(model, x[rows]), y[rows])
        sgd.zero_grad()
        loss.backward()
        sgd.step()
        if early and step % 10 == 9 and accuracy(model, x, y) == 1:
            return


def learn_privately(model: nn.Module, x: Tensor, y: Tensor, decay: float, noise: float) -> float:
    """DP-SGD in steps of all images at once.

    Args:
        model: it is changed in place.
        x: images (N,C,H,W).
        y: labels (N,).
        decay: the weight decay.
        noise: its deviation, in units of the length that gradients are clipped to.

    Returns:
        The ε it promises at δ = 1/(10 N).

    Raises:
        ImportError: there is no Opacus.

    Source: Abadi et al. 2016, Yousefpour et al. 2021.
    """
    try:
        from opacus import PrivacyEngine
    except ImportError as error:
        raise ImportError("Private training is Opacus's: pip install opacus") from error
    everything = torch.utils.data.TensorDataset(x, y)
    sgd = torch.optim.SGD(model.parameters(), RATE, momentum=MOMENTUM, weight_decay=decay)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its random numbers, which are no secret here
        engine = PrivacyEngine(accountant="rdp")  # the others fill the memory at little noise
        private, sgd, _ = engine.make_private(
            module=model.train(),
            optimizer=sgd,
            data_loader=torch.utils.data.DataLoader(everything, len(x)),
            noise_multiplier=noise,
            max_grad_norm=1.0,
            poisson_sampling=False,
            noise_generator=torch.Generator().manual_seed(int(torch.randint(2**31, ()))),
        )
        for _ in range(STEPS["private"]):
            sgd.zero_grad()
            F.cross_entropy(private(x), y).backward()
            sgd.step()
        private.to_standard_module()
        return float(engine.get_epsilon(0.1 / len(x))) if noise else float("inf")


@with_gradients
def unexplained(model: nn.Module, x: Tensor, y: Tensor, decay: float) -> float:
    """‖wθ + ∇_θ CE‖² / ‖wθ‖², what training images x (N,C,H,W) leave over; NaN without decay."""
    if not decay:
        return float("nan")
    values = list(model.parameters())
    sums = torch.autograd.grad(F.cross_entropy(answer(model, x), y), values)
    left = sum((decay * p + g).square().sum() for p, g in zip(values, sums, strict=True))
    return (left / sum((decay * p).square().sum() for p in values)).item()
