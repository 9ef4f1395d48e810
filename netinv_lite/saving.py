"""An inversion on disk: generator, settings and history in one safetensors file."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ._core.boundary import probe_logits
from ._core.device import on_device, pick_device, unwrapped
from ._core.serialization import fingerprint, halved, read_saved, split, write_tensors
from ._core.validation import check_name
from .conditioning import Label, SoftTargets, scheme
from .losses import KINDS, Loss
from .presets import InversionConfig

if TYPE_CHECKING:
    from .inversion import Inversion

BUILT = ("ConditionedGenerator", "PyramidGenerator")  # by the config


def settings(inversion: Inversion) -> dict[str, Any]:
    """What JSON can hold of how an inversion was made."""
    return {
        "image_shape": list(inversion.image_shape),
        "input_range": list(inversion.input_range),
        "num_classes": inversion.num_classes,
        "conditioning": inversion.conditioning.name,
        "scale": getattr(inversion.conditioning, "scale", None),
        "classes": inversion.conditioning.classes and list(inversion.conditioning.classes),
        "config": asdict(inversion.config),
        "loss": asdict(inversion.loss),
        "kinds": [type(inversion.generator).__name__, type(inversion.loss).__name__],
        "seed": inversion.seed,
    }


def identity(inversion: Inversion) -> dict[str, Any]:
    """All that decides the result of a training; a checkpoint of another one is refused."""
    targets = getattr(inversion.conditioning, "targets", None)
    return {
        **settings(inversion),
        "targets": None if targets is None else targets.tolist(),
        "classifier": fingerprint(inversion.classifier.state_dict()),
    }


def write(inversion: Inversion, path: str | Path, half: bool) -> Path:
    """Write an inversion, without its classifier; see `Inversion.save`."""
    state = inversion.generator.state_dict()
    tensors = {f"generator.{name}": halved(t) if half else t for name, t in state.items()}
    if isinstance(inversion.conditioning, SoftTargets):
        tensors["targets"] = inversion.conditioning.targets
    about = {**settings(inversion), "history": inversion.history}
    return write_tensors(path, tensors, inversion=about)


def read(
    path: str | Path, classifier: nn.Module, device: str | torch.device = "auto"
) -> tuple[dict[str, Any], dict[str, list[float]]]:
    """The arguments that make an inversion from its file, and its history; see `Inversion.load`."""
    tensors, about = read_saved(path, "inversion", "Inversion")
    meta = about["inversion"]
    shape, span = meta["image_shape"], meta["input_range"]
    K = probe_logits(unwrapped(classifier), shape, span).shape[1]
    if K != meta["num_classes"]:
        raise ValueError(
            f"{path} inverts a network of {meta['num_classes']} classes, this one has {K}: load it "
            "with the network that was inverted."
        )
    loss, config = _loss(meta, path), InversionConfig(**meta["config"])
    conditioning = _conditioning(meta, tensors.get("targets"), config)
    with torch.random.fork_rng(devices=[]):  # its first weights are drawn, and overwritten
        generator = config.generator(shape, conditioning, span)
    generator.load_state_dict(split(tensors, "generator"))
    parts = {
        "classifier": on_device(classifier, device),
        "generator": generator.to(pick_device(device)).eval(),
        "conditioning": conditioning,
        "loss": loss,
        "config": config,
        "seed": meta["seed"],
    }
    return parts, meta["history"]


def _loss(meta: dict[str, Any], path: str | Path) -> Loss:
    """The loss of a saved inversion, whose generator must be one that can be built again."""
    generator, kind = meta.get("kinds", ["ConditionedGenerator", "InversionLoss"])
    if generator not in BUILT:
        raise ValueError(
            f"{path} holds a {generator}, which this cannot build: sample from it in the session "
            "that trained it."
        )
    check_name(kind, KINDS, "kind of loss")
    return KINDS[kind](**meta["loss"])


def _conditioning(meta: dict[str, Any], targets: Tensor | None, config: InversionConfig) -> Label:
    if targets is not None:
        return SoftTargets(meta["num_classes"], targets)
    scale = meta.get("scale") or config.scale
    conditioning = scheme(meta["conditioning"], meta["num_classes"], scale)
    return replace(conditioning, classes=meta.get("classes"))
