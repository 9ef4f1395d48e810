"""The recipes of every network that ships with the book, and the command that makes them."""

from __future__ import annotations

import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from .._core.random_state import seeded
from .._core.serialization import versions
from .._core.validation import check_name
from ..data import ImageData, load_data
from .architectures import ARCHITECTURES
from .gan import GANConfig
from .training import FitConfig, accuracy, fit
from .zoo import load_classifier, save_classifier

GREY, COLOUR = {"widths": (32, 64, 128)}, {"widths": (64, 128, 192, 128)}
JUDGE_GREY, JUDGE_COLOUR = {"widths": (16, 32, 64, 96)}, {"widths": (32, 64, 128, 192)}
REFEREE_COLOUR = {"widths": (32, 64, 128)}
VIT_COLOUR = {"patch": 4, "dim": 96, "depth": 4}

# name -> (architecture, its arguments, seed, how it is trained)
RECIPES: dict[str, tuple[str, dict[str, Any], int, FitConfig]] = {
    "digits": ("CNN", GREY, 0, FitConfig(60, shift=1)),
    "digits-robust": ("CNN", GREY, 0, FitConfig(60, shift=1, eps=3.0)),
    "digits-judge": ("ResNet", JUDGE_GREY, 1000, FitConfig(60, shift=2, rotate=10, scale=0.1)),
    "digits-referee": ("VGG", {}, 2000, FitConfig(60, shift=2, rotate=10, scale=0.1)),
    "mnist": ("CNN", GREY, 0, FitConfig(10, shift=1)),
    "mnist-robust": ("CNN", GREY, 0, FitConfig(8, shift=1, eps=4.0)),
    "mnist-judge": ("ResNet", JUDGE_GREY, 1000, FitConfig(5, shift=2, rotate=10, scale=0.1)),
    "mnist-referee": ("VGG", {}, 2000, FitConfig(5, shift=2, rotate=10, scale=0.1)),
    "fashion_mnist": ("CNN", GREY, 0, FitConfig(14, shift=1, flip=True)),
    "fashion_mnist-robust": ("CNN", GREY, 0, FitConfig(8, flip=True, eps=3.0)),
    "fashion_mnist-judge": (
        "ResNet",
        JUDGE_GREY,
        1000,
        FitConfig(8, shift=2, scale=0.1, flip=True),
    ),
    "fashion_mnist-referee": ("VGG", {}, 2000, FitConfig(6, shift=1, scale=0.1, flip=True)),
    "svhn": ("CNN", COLOUR, 0, FitConfig(30, shift=2, rotate=10, scale=0.1)),
    "svhn-robust": ("CNN", COLOUR, 0, FitConfig(12, shift=2, eps=1.0)),
    "svhn-judge": ("ResNet", JUDGE_COLOUR, 1000, FitConfig(16, shift=2, rotate=10, scale=0.15)),
    "svhn-referee": ("VGG", REFEREE_COLOUR, 2000, FitConfig(16, shift=2, rotate=10, scale=0.15)),
    "cifar10": ("CNN", COLOUR, 0, FitConfig(30, shift=3, flip=True)),
    "cifar10-robust": (
        "CNN",
        {**COLOUR, "dropout": 0.1},
        0,
        FitConfig(18, shift=2, flip=True, eps=1.0),
    ),
    "cifar10-judge": ("ResNet", JUDGE_COLOUR, 1000, FitConfig(12, shift=4, flip=True)),
    "cifar10-referee": ("VGG", REFEREE_COLOUR, 2000, FitConfig(12, shift=3, flip=True)),
    "cifar10-resnet20": ("ResNet20", {}, 0, FitConfig(32, shift=4, flip=True, bfloat16=True)),
    "cifar100": ("ResNet", JUDGE_COLOUR, 0, FitConfig(40, shift=4, flip=True, bfloat16=True)),
    "cifar100-judge": (
        "VGG",
        {"widths": (40, 80, 160)},
        1000,
        FitConfig(40, shift=4, flip=True, bfloat16=True),
    ),
    "cifar100-referee": ("CNN", COLOUR, 2000, FitConfig(40, shift=3, flip=True, bfloat16=True)),
    "cifar100-vit": (
        "ViT",
        VIT_COLOUR,
        0,
        FitConfig(60, shift=4, flip=True, lr=0.05, bfloat16=True),
    ),
}
TEST_SETS = {
    "digits": "450 of scikit-learn's 1,797 digits, held out (stratified, seed 0)",
    "mnist": "the 10,000 official test images",
    "fashion_mnist": "the 10,000 official test images",
    "svhn": "2,001 digits of the official test set; training used 7,999 others of it",
    "cifar10": "1,000 official test images and 5,000 held-out official training images",
    "cifar100": "4,000 official test images, 40 of each class",
}


def checkpoint_of(name: str, seed: int | None = None, epochs: int | None = None) -> Path:
    """The file with the state of an unfinished `fit_shipped`, under the current folder."""
    _, _, recipe_seed, _ = RECIPES[name]
    return unfinished(name, recipe_seed if seed is None else seed, epochs)


def unfinished(name: str, seed: int, epochs: int | None) -> Path:
    """The file with the state of a training that makes `name`, under the current folder."""
    return Path("runs") / f"{name}-{seed}{f'-{epochs}-epochs' if epochs else ''}.safetensors"


def command_of(name: str, folder: str | Path, **options: int | None) -> str:
    """The command that makes a network again, with the options that differ from its recipe."""
    said = "".join(f" --{key} {value}" for key, value in options.items() if value is not None)
    return f"python -m netinv_lite fit {name} --out {Path(folder).as_posix()}{said}"


def fit_shipped(
    name: str,
    folder: str | Path,
    *,
    seed: int | None = None,
    epochs: int | None = None,
    progress: bool = True,
) -> dict[str, Any]:
    """Train a network that ships, by its recipe, into a folder.

    An interrupted run resumes from `checkpoint_of(name, seed, epochs)`.

    Args:
        name: a key of `RECIPES`.
        folder: where NAME.safetensors and NAME.json go.
        seed: by default the recipe's.
        epochs: by default the recipe's.
        progress: whether a bar is shown.

    Returns:
        The JSON record.

    Raises:
        ValueError: an unknown name.
        FileNotFoundError: the data set is not available.
    """
    check_name(name, RECIPES, "recipe")
    architecture, arguments, recipe_seed, config = RECIPES[name]
    command = command_of(name, folder, seed=seed, epochs=epochs)
    checkpoint = checkpoint_of(name, seed, epochs)
    config = config if epochs is None else replace(config, epochs=epochs)
    seed = recipe_seed if seed is None else seed
    data = load_data(name.split("-")[0])
    arguments = {"image_shape": data.image_shape, "num_classes": len(data.classes), **arguments}
    with seeded(seed, "auto"):
        model = ARCHITECTURES[architecture](**arguments).to(memory_format=torch.channels_last)
    start = time.perf_counter()
    history = fit(model, data, config=config, seed=seed, progress=progress, checkpoint=checkpoint)
    record = {
        **origin(architecture, arguments, data, seed, config),
        "test_set": TEST_SETS[data.name],
        "command": command,
        "seconds_of_last_run": round(time.perf_counter() - start, 1),
        "train_accuracy_last_epoch": round(history["accuracy"][-1], 4),
        **versions(),
    }
    return _measured(model, data, record, Path(folder) / f"{name}.safetensors")


def origin(
    architecture: str,
    arguments: dict[str, Any],
    data: ImageData,
    seed: int,
    config: FitConfig | GANConfig,
) -> dict[str, Any]:
    """The part of a JSON record that says what a network is and how it was trained.

    Args:
        architecture: a key of `ARCHITECTURES`.
        arguments: those of its constructor.
        data: the image set.
        seed: of weights and training.
        config: of the training.

    Returns:
        What JSON can hold.
    """
    return {
        "architecture": architecture,
        "arguments": arguments,
        "data": data.name,
        "classes": list(data.classes),
        "input_range": list(data.input_range),
        "seed": seed,
        "training": asdict(config),
        "train_images": len(data.x_train),
    }


def _measured(
    model: nn.Module, data: ImageData, record: dict[str, Any], path: Path
) -> dict[str, Any]:
    """Save, load again, and record the accuracy of the file itself, float16 rounding included."""
    save_classifier(model, path, record)
    loaded = load_classifier(str(path))
    record["test_images"] = len(data.x_test)
    record["test_accuracy"] = round(accuracy(loaded, data.x_test, data.y_test), 4)
    eps = record["training"]["eps"]
    if eps:
        x, y = data.x_test[:2000], data.y_test[:2000]
        attacked = round(accuracy(loaded, x, y, eps=eps), 4)
        attack = {"norm": "L2", "eps": eps, "steps": 20}
        record["pgd"] = {**attack, "test_images": len(x), "accuracy": attacked}
    return save_classifier(model, path, record)
