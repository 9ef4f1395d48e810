"""The trained networks that ship with the book: loaded, saved, and their records."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from .._core.checkpoint import check_fits
from .._core.device import pick_device, unwrapped
from .._core.serialization import (
    SHIPPED,
    halved,
    located,
    read_tensors,
    sha256,
    write_json,
    write_tensors,
)
from .._core.validation import check_name
from .architectures import ARCHITECTURES
from .imagenet import load_imagenet

INDEPENDENT = ("-judge", "-referee")  # networks that are never inverted, by the end of their name
DESCRIBED = ("architecture", "arguments", "input_range", "classes")  # what `build` needs
IMAGENET = "imagenet"  # of the extra, not among those that ship
DEEP = "-resnet20"  # the end of the name of those whose depth is the question


def shipped(folder: str = "weights") -> dict[str, dict[str, Any]]:
    """The networks that ship with the book.

    Args:
        folder: "weights", the classifiers with judges and referees, or "generators".

    Returns:
        Name -> JSON record.

    Example:
        >>> import netinv_lite as nil
        >>> nil.models.shipped()["mnist"]["architecture"]
        'CNN'
    """
    records = {}
    for file in sorted((SHIPPED / folder).glob("*.json")):
        records[file.stem] = json.loads(file.read_text(encoding="utf-8"))
    return records


def load_classifier(name: str = "mnist", *, device: str | torch.device = "cpu") -> nn.Module:
    """A trained classifier, frozen and in eval mode.

    It has attributes `image_shape`, `num_classes`, `input_range`, `classes` and `record` (its
    JSON).

    Args:
        name: "digits", "mnist", "fashion_mnist", "svhn" or "cifar10", each also with "-robust";
            "cifar10-resnet20"; "cifar100", of a hundred classes; "imagenet", EfficientNet-Lite0 at
            224 pixels, which needs the extra of that name; or the path of a `.safetensors` file.
        device: where it is to be; "auto" is a GPU if there is one.

    Returns:
        The network, from images (B,C,H,W) to logits (B,K).

    Raises:
        ValueError: an unknown name, a truncated file or a changed byte.
        FileNotFoundError: there is no such file, or no JSON beside it.
        ModuleNotFoundError: the extra `imagenet` is not installed.

    Example:
        >>> import netinv_lite as nil
        >>> model = nil.load_classifier("cifar10")
        >>> model.image_shape, model.input_range, model.classes[:2]
        ((3, 32, 32), (-1.0, 1.0), ('airplane', 'automobile'))
    """
    if Path(str(name)).suffix or len(Path(str(name)).parts) > 1:
        return load_file(name, device)
    if name == IMAGENET:
        return load_imagenet("classifier", device=device)
    known = [key for key in shipped() if not key.endswith(INDEPENDENT)]
    check_name(name, [*known, IMAGENET], "classifier")
    return load_file(SHIPPED / "weights" / f"{name}.safetensors", device)


def load_judge(name: str = "mnist", *, device: str | torch.device = "cpu") -> nn.Module:
    """An independent network for a data set: other architecture, seed and augmentation.

    Args:
        name: the data set, such as "mnist"; "mnist-robust" has the judge of "mnist". That of
            "imagenet" is EfficientNet-Lite2.
        device: where it is to be; "auto" is a GPU if there is one.

    Returns:
        The network, as in `load_classifier`.

    Raises:
        ValueError: an unknown name, a truncated file or a changed byte.

    Example:
        >>> import netinv_lite as nil
        >>> type(nil.load_classifier("digits")).__name__, type(nil.load_judge("digits")).__name__
        ('CNN', 'ResNet')
    """
    return _independent(name, "judge", device)


def load_referee(name: str = "mnist", *, device: str | torch.device = "cpu") -> nn.Module:
    """A second judge, of a third architecture, kept for reporting: no setting was chosen by it.

    Args:
        name: the data set, as in `load_judge`. That of "imagenet" is EfficientNet-Lite1.
        device: where it is to be; "auto" is a GPU if there is one.

    Returns:
        The network, as in `load_classifier`.

    Raises:
        ValueError: an unknown name, a truncated file or a changed byte.

    Example:
        >>> import netinv_lite as nil
        >>> type(nil.load_referee("digits")).__name__
        'VGG'
    """
    return _independent(name, "referee", device)


def _independent(name: str, role: str, device: str | torch.device) -> nn.Module:
    name = str(name).removesuffix("-robust").removesuffix(f"-{role}")
    if name == IMAGENET:
        return load_imagenet(role, device=device)
    known = [key.removesuffix(f"-{role}") for key in shipped() if key.endswith(f"-{role}")]
    check_name(name, [*known, IMAGENET], role)
    return load_file(SHIPPED / "weights" / f"{name}-{role}.safetensors", device)


def save_classifier(model: nn.Module, path: str | Path, record: dict[str, Any]) -> dict[str, Any]:
    """Write weights as float16 safetensors, and the record with their hash as JSON beside them.

    A tensor that does not fit into float16, such as a large variance, keeps its type.

    Args:
        model: one of `ARCHITECTURES`.
        path: a name that ends in .safetensors.
        record: at least `architecture`, `arguments`, `input_range` and `classes`.

    Returns:
        The record as it was written.

    Raises:
        ValueError: the record lacks one of these, the name ends otherwise, or the model has a
            state that cannot be saved.
        OSError: the files cannot be written.

    Example:
        >>> import tempfile
        >>> import netinv_lite as nil
        >>> record = {"architecture": "MLP", "arguments": {}}
        >>> record |= {"input_range": [0, 1], "classes": list("0123456789")}
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = f"{folder}/mine.safetensors"
        ...     record = nil.models.save_classifier(nil.MLP(), path, record)
        ...     nil.load_classifier(path).input_range
        (0, 1)
    """
    path = located(path)
    lacking = [key for key in DESCRIBED if key not in record]
    if path.suffix != ".safetensors" or lacking:
        raise ValueError(
            f"{path} must end in .safetensors, and the record name "
            f"{', '.join(DESCRIBED)}; lacking: {lacking or 'none'}."
        )
    write_tensors(path, {k: halved(v) for k, v in unwrapped(model).state_dict().items()})
    record = {**record, "dtype": "float16", "sha256": sha256(path)}
    write_json(path.with_suffix(".json"), record)
    return record


def build(record: dict[str, Any]) -> nn.Module:
    """The untrained network that a JSON record describes."""
    check_name(record["architecture"], ARCHITECTURES, "architecture")
    with torch.random.fork_rng(devices=[]):  # the first weights are drawn, and overwritten
        model = ARCHITECTURES[record["architecture"]](**record["arguments"])
    model.input_range = tuple(record["input_range"])
    model.classes = tuple(record["classes"])
    model.record = record
    return model


def load_file(path: str | Path, device: str | torch.device) -> Any:
    """The frozen network at `path`, as its record describes it; errors as in `load_classifier`."""
    path = located(path)
    record = _checked_record(path)
    try:
        model = build(record)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"The .json beside {path} describes no network "
            f"({type(error).__name__}: {error}): restore it."
        ) from error
    tensors, _ = read_tensors(path)
    check_fits(model, tensors, path, "restore its .json, which describes another")
    model.load_state_dict({name: _single(value) for name, value in tensors.items()})
    return model.eval().requires_grad_(False).to(pick_device(device))


def _checked_record(path: Path) -> dict[str, Any]:
    """The record beside the file at `path`, whose hash it holds."""
    if path.suffix != ".safetensors":
        raise ValueError(
            f"{path}: only .safetensors files are read, no pickles (.pt, .pth); name such a file, "
            "or convert it with safetensors.torch.save_file."
        )
    if not path.is_file() or not path.with_suffix(".json").is_file():
        raise FileNotFoundError(f"{path} and the .json beside it are needed, both; one is absent.")
    try:
        record = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        expected = record["sha256"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"The .json beside {path} is damaged ({error}): restore it.") from error
    if sha256(path) != expected:
        raise ValueError(
            f"{path} is not the file its record describes (SHA-256 differs): it was changed or cut "
            "short. Restore it, for example with `git checkout`, or install the package again."
        )
    return record


def _single(value: Any) -> Any:
    """Floating-point tensors in single precision; all else as it is."""
    return value.float() if isinstance(value, Tensor) and value.is_floating_point() else value
