"""The command `direct`: the inverse of a network, trained or only counted."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import Any

from torch import nn

from ..direct.cost import estimate, told
from ..direct.training import DirectConfig, invert_layers
from ..models.external import only_with_model, own_network, torchvision_network
from ..models.zoo import load_classifier
from .files import check_target, checkpoint_beside
from .options import given


def direct(args: Namespace) -> int:
    """Train the inverse of a network from one layer on; with `estimate`, only count its cost.

    Returns:
        0.

    Raises:
        ValueError: the arguments do not fit each other or the network.
        KeyboardInterrupt: on Ctrl-C; its message says what is kept.
    """
    _check_arguments(args)
    model, cut = _network(args)
    config = DirectConfig(**given(args, DirectConfig))
    about = {"image_shape": args.shape, "input_range": args.input_range, "config": config}
    if args.estimate:
        print(told(estimate(model, cut, **about)))
        return 0
    kept = checkpoint_beside(args.save, model, {"cut": cut, **about}, args.seed)
    how: dict[str, Any] = {name: getattr(args, name) for name in ("device", "seed", "progress")}
    try:
        inverse = invert_layers(model, cut, **about, **how, checkpoint=kept)
    except KeyboardInterrupt as stop:
        said = f"the steps so far, in {kept}" if kept.exists() else "nothing yet"
        raise KeyboardInterrupt(f"kept: {said}. To go on:") from stop
    path = inverse.save(args.save)
    print(inverse.report().to_string(index=False, float_format="{:.3f}".format))
    print(f"written: {path}")
    kept.unlink(missing_ok=True)
    return 0


def _check_arguments(args: Namespace) -> None:
    if sum(map(bool, (args.name, args.model, args.torchvision))) != 1:
        raise ValueError(
            "Say which network: the NAME of a shipped one, or --model "
            "package.module:function, or --torchvision NAME."
        )
    only_with_model(args.weights, args.model)
    if not (args.estimate or args.save):
        raise ValueError("Say where the inverse goes, --save FILE.safetensors, or --estimate.")
    if args.save:
        check_target(Path(args.save), ".safetensors")


def _network(args: Namespace) -> tuple[nn.Module, str | None]:
    """The network, and the name in it of the layer to go back from."""
    if args.torchvision:
        how = {"trained": not args.estimate, "progress": args.progress}
        return torchvision_network(args.torchvision, **how), args.cut and f"network.{args.cut}"
    if args.model:
        return own_network(args.model, args.weights), args.cut
    return load_classifier(args.name), args.cut
