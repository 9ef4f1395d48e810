"""The DCGAN of the book: its recipe, the command that makes it, and what it reaches."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from .. import metrics
from .._core.random_state import seeded
from .._core.serialization import SHIPPED, versions
from .._core.validation import check_name
from ..data import load_data
from .architectures import DCGAN
from .gan import GANConfig, fit_gan
from .recipes import command_of, origin, unfinished
from .zoo import load_file, load_judge, save_classifier, shipped

TRAINING = GANConfig(epochs=25, bfloat16=True)
# images-numbers of a code -> (arguments of the DCGAN, how it is trained)
RECIPES: dict[str, tuple[dict[str, Any], GANConfig]] = {
    "fashion_mnist-16": ({"latent_dim": 16}, TRAINING),
    "fashion_mnist-64": ({"latent_dim": 64}, TRAINING),
}
MEASURED = 2000  # images, made and real, that are compared


def load_gan(name: str = "fashion_mnist-16", *, device: str | torch.device = "cpu") -> DCGAN:
    """A DCGAN that ships, frozen and in eval mode.

    Args:
        name: "fashion_mnist-16" or "fashion_mnist-64": the data and the size of the code.
        device: where it is to be; "auto" is a GPU if there is one.

    Returns:
        The generator with its discriminator.

    Raises:
        ValueError: an unknown name, a truncated file or a changed byte.

    Example:
        >>> import netinv_lite as nil
        >>> gan = nil.models.load_gan("fashion_mnist-16")
        >>> gan(gan.latents(3)).shape
        torch.Size([3, 1, 32, 32])
    """
    check_name(name, shipped("generators"), "generator")
    return load_file(SHIPPED / "generators" / f"{name}.safetensors", device)


def framed(x: Tensor) -> Tensor:
    """Images (N,C,28,28) from −1 to 1 in a black frame: (N,C,32,32)."""
    return F.pad(x, [2, 2, 2, 2], value=-1.0)


def unframed(x: Tensor) -> Tensor:
    """Images (N,C,32,32) without the frame of `framed`: (N,C,28,28)."""
    return x[..., 2:-2, 2:-2]


def checkpoint_of(name: str, seed: int | None = None, epochs: int | None = None) -> Path:
    """The file with the state of an unfinished training, under the current folder."""
    return unfinished(f"{name}-dcgan", seed or 0, epochs)


def fit_shipped_gan(
    name: str,
    folder: str | Path,
    *,
    seed: int | None = None,
    epochs: int | None = None,
    progress: bool = True,
) -> dict[str, Any]:
    """Train a DCGAN of `RECIPES` into a folder.

    An interrupted run resumes from `checkpoint_of(name, seed, epochs)`.

    Args:
        name: a key of `RECIPES`.
        folder: where NAME.safetensors and NAME.json go.
        seed: by default 0.
        epochs: by default the recipe's.
        progress: whether a bar is shown.

    Returns:
        The JSON record.

    Raises:
        ValueError: an unknown name.
        FileNotFoundError: the data set is not available.
    """
    check_name(name, RECIPES, "recipe of a generator")
    command = command_of(f"{name} --dcgan", folder, seed=seed, epochs=epochs)
    checkpoint, seed = checkpoint_of(name, seed, epochs), seed or 0
    (arguments, config), dataset = RECIPES[name], name.split("-")[0]
    data = load_data(dataset)
    config = config if epochs is None else replace(config, epochs=epochs)
    with seeded(seed, "auto"):
        gan = DCGAN(**arguments)
    start, file = time.perf_counter(), Path(folder) / f"{name}.safetensors"
    x = framed(data.x_train)
    history = fit_gan(gan, x, config=config, seed=seed, checkpoint=checkpoint, progress=progress)
    record = {
        **origin("DCGAN", arguments, data, seed, config),
        "framed": "28 to 32 pixels, black",
        "command": command,
        "seconds_of_last_run": round(time.perf_counter() - start, 1),
        "losses_of_last_epoch": {side: round(rows[-1], 4) for side, rows in history.items()},
        **versions(),
    }
    save_classifier(gan, file, record)
    record["quality"] = quality(load_file(file, "cpu"), data.x_test, dataset)
    return save_classifier(gan, file, record)


def quality(gan: DCGAN, real: Tensor, dataset: str) -> dict[str, float]:
    """How close the images of a GAN come to real ones, by an independent judge.

    Args:
        gan: the generator.
        real: images (N,C,28,28) from −1 to 1.
        dataset: whose judge looks.

    Returns:
        The numbers of `metrics.prdc`, and the judge's confidence in new and in real images.
    """
    judge, real = load_judge(dataset), real[:MEASURED]
    with torch.no_grad():
        made = unframed(gan(gan.latents(len(real), torch.Generator().manual_seed(0))))
    found = metrics.prdc(metrics.features(judge, real), metrics.features(judge, made))
    sure = {
        "judge_confidence": metrics.confidence(judge, made),
        "judge_confidence_real": metrics.confidence(judge, real),
    }
    return {key: round(value, 4) for key, value in {**found, **sure}.items()}
