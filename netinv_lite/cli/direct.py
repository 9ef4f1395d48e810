"""The command `direct`: the way back through a network, learned or only counted."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import fields
from pathlib import Path

from ..direct.cost import estimate, told
from ..direct.training import DirectConfig, invert_layers
from ..models.external import only_with_model, own_network, torchvision_network
from ..models.zoo import load_classifier
from .files import check_target, checkpoint_beside


def direct(args: Namespace) -> int:
    """Learn the way back from one representation of a network; with `estimate`, only count it."""
    if sum(map(bool, (args.name, args.model, args.torchvision))) != 1:
        raise ValueError("Say which network: the NAME of a shipped one, or --model "
                         "package.module:function, or --torchvision NAME.")  # fmt: skip
    only_with_model(args.weights, args.model)
    if not (args.estimate or args.save):
        raise ValueError("Say where the inverse goes, --save FILE.safetensors, or --estimate.")
    if args.save:
        check_target(Path(args.save), ".safetensors")
    cut = args.cut
    if args.torchvision:
        model = torchvision_network(args.torchvision, trained=not args.estimate,
                                    progress=args.progress)  # fmt: skip
        cut = cut and f"network.{cut}"
    else:
        model = own_network(args.model, args.weights) if args.model else load_classifier(args.name)
    chosen = {f.name: getattr(args, f.name) for f in fields(DirectConfig)}
    config = DirectConfig(**{k: v for k, v in chosen.items() if v is not None})
    about = {"image_shape": args.shape, "input_range": args.input_range, "config": config}
    if args.estimate:
        print(told(estimate(model, cut, **about)))
        return 0
    kept = checkpoint_beside(args.save, model, {"cut": cut, **about}, args.seed)
    try:
        inverse = invert_layers(model, cut, **about, device=args.device, seed=args.seed,
                                progress=args.progress, checkpoint=kept)  # fmt: skip
    except KeyboardInterrupt as stop:
        said = f"the steps so far, in {kept}" if kept.exists() else "nothing yet"
        raise KeyboardInterrupt(f"kept: {said}. To go on:") from stop
    path = inverse.save(args.save)
    print(inverse.report().to_string(index=False, float_format="{:.3f}".format))
    print(f"written: {path}")
    kept.unlink(missing_ok=True)
    return 0
