"""The trained networks that ship with the book: loaded, saved, and their records."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from torch import nn

from .._core.checkpoint import check_fits
from .._core.device import pick_device, unwrapped
from .._core.serialization import SHIPPED, located, read_tensors, sha256, write_json, write_tensors
from .._core.validation import check_name
from .architectures import ARCHITECTURES

INDEPENDENT = ("-judge", "-referee")  # networks that are never inverted, by the end of their name
DESCRIBED = ("architecture", "arguments", "input_range", "classes")  # what `build` needs
DEEP = "-resnet20"  # the end of the name of those whose depth is the question


def shipped(folder: str = "weights") -> dict[str, dict]:
    """Name -> the JSON record of every network that ships with the book, or of its "generators"."""
    records = {}
    for file in sorted((SHIPPED / folder).glob("*.json")):
        records[file.stem] = json.loads(file.read_text(encoding="utf-8"))
    return records


def load_classifier(name: str = "mnist", *, device: str | torch.device = "cpu") -> nn.Module:
    """A trained classifier in eval mode, by shipped name or by the path of a `.safetensors`.

    Names: "digits", "mnist", "fashion_mnist", "svhn", "cifar10", and each with "-robust". The
    module carries `image_shape`, `num_classes`, `input_range`, `classes` and `record` (its JSON).

    Raises ValueError for an unknown name, a truncated file or a changed byte.
    """
    if Path(str(name)).suffix:
        return load_file(name, device)
    known = [key for key in shipped() if not key.endswith(INDEPENDENT)]
    check_name(name, known, "classifier")
    return load_file(SHIPPED / "weights" / f"{name}.safetensors", device)


def load_judge(name: str = "mnist", *, device: str | torch.device = "cpu") -> nn.Module:
    """An independent network (other architecture, seed, augmentation) for the data set `name`.

    "mnist-robust" has the judge of "mnist". Errors as in `load_classifier`.
    """
    return _independent(name, "judge", device)


def load_referee(name: str = "mnist", *, device: str | torch.device = "cpu") -> nn.Module:
    """A second judge, of a third architecture, kept for reporting: no setting was chosen by it.

    Names and errors as in `load_judge`.
    """
    return _independent(name, "referee", device)


def _independent(name: str, role: str, device) -> nn.Module:
    name = str(name).removesuffix("-robust").removesuffix(f"-{role}")
    known = [key.removesuffix(f"-{role}") for key in shipped() if key.endswith(f"-{role}")]
    check_name(name, known, role)
    return load_file(SHIPPED / "weights" / f"{name}-{role}.safetensors", device)


def save_classifier(model: nn.Module, path: str | Path, record: dict) -> dict:
    """Write weights as float16 safetensors and the `record`, with their hash, as JSON beside.

    A tensor that does not fit into float16, such as a large variance, stays as it is.

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
    """
    path = located(path)
    lacking = [key for key in DESCRIBED if key not in record]
    if path.suffix != ".safetensors" or lacking:
        raise ValueError(
            f"{path} must end in .safetensors, and the record name "
            f"{', '.join(DESCRIBED)}; lacking: {lacking or 'none'}."
        )
    write_tensors(path, {k: _halved(v) for k, v in unwrapped(model).state_dict().items()})
    record = {**record, "dtype": "float16", "sha256": sha256(path)}
    write_json(path.with_suffix(".json"), record)
    return record


def _halved(value):
    if not isinstance(value, torch.Tensor) or not value.is_floating_point():
        return value
    half = value.half()
    return half if torch.equal(half.isfinite(), value.isfinite()) else value


def build(record: dict) -> nn.Module:
    """The untrained network that a JSON record describes."""
    check_name(record["architecture"], ARCHITECTURES, "architecture")
    with torch.random.fork_rng(devices=[]):  # the first weights are drawn, and overwritten
        model = ARCHITECTURES[record["architecture"]](**record["arguments"])
    model.input_range = tuple(record["input_range"])
    model.classes = tuple(record["classes"])
    model.record = record
    return model


def load_file(path: str | Path, device) -> nn.Module:
    """The frozen network at `path`, as its record describes it; errors as in `load_classifier`."""
    path = located(path)
    if path.suffix != ".safetensors":
        raise ValueError(
            f"{path}: only .safetensors files are read, no pickles (.pt, .pth); "
            "convert it with safetensors.torch.save_file."
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
    try:
        model = build(record)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"The .json beside {path} describes no network "
            f"({type(error).__name__}: {error}): restore it."
        ) from error
    tensors, _ = read_tensors(path)
    check_fits(model, tensors, path, "restore its .json, which describes another")
    model.load_state_dict(
        {
            k: v.float() if isinstance(v, torch.Tensor) and v.is_floating_point() else v
            for k, v in tensors.items()
        }
    )
    return model.eval().requires_grad_(False).to(pick_device(device))
