"""What each sub-command of `python -m netinv_lite` does; `parser` reads the command line."""

from __future__ import annotations

import math
import sys
import time
from argparse import Namespace
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn

from .. import metrics
from .._core.serialization import read_tensors
from .._core.validation import check_name
from ..inversion import Inversion
from ..inversion import invert as invert_one
from ..losses import InversionLoss
from ..models.external import only_with_model, own_network
from ..models.inventory import describe, list_weights
from ..models.zoo import load_classifier, load_judge, shipped
from ..presets import PRESETS, InversionConfig
from .direct import direct
from .files import check_target, checkpoint_beside, keeping_epochs
from .options import given

if TYPE_CHECKING:
    from ..plot.theme import Figure

__all__ = ["direct", "experiment", "fit", "invert", "weights"]

SAMPLES = 1000  # images on which classifier and judge are counted


# --- invert ---------------------------------------------------------------------------------


def invert(args: Namespace) -> int:
    """Invert a network for each seed; print who agrees, write the picture and the generators.

    With `save`, a hidden file beside it keeps the state of each seed until all is written.

    Returns:
        0.

    Raises:
        ValueError: the arguments do not fit each other or the network.
        KeyboardInterrupt: on Ctrl-C; its message says what is kept.
    """
    out = args.out or (None if args.save else "inversion.png")
    _check_arguments(args, out)
    classifier = own_network(args.model, args.weights) if args.model else load_classifier(args.name)
    channels = (args.shape or getattr(classifier, "image_shape", (1,)))[0]
    if out and channels not in (1, 3):
        raise ValueError(
            f"Images of {channels} channels cannot be drawn: leave --out away and "
            "give --save g.safetensors instead."
        )
    seeds = list(dict.fromkeys(args.seeds or [args.seed or 0]))
    settings = _settings(args)
    kept = {}
    if args.save:
        kept = {s: checkpoint_beside(args.save, classifier, settings, s) for s in seeds}
    try:
        runs = [_run(args, classifier, settings, seed, kept.get(seed)) for seed in seeds]
        written = _write(args, classifier, runs, out)
    except KeyboardInterrupt as stop:
        raise KeyboardInterrupt(_what_is_kept(kept)) from stop
    for path in kept.values():
        path.unlink(missing_ok=True)
    print("written:", ", ".join(str(path) for path in written))
    return 0


def _check_arguments(args: Namespace, out: str | None) -> None:
    if bool(args.name) == bool(args.model):
        raise ValueError(
            "Say which network: either the NAME of a shipped one (the command "
            "`weights` lists them) or --model package.module:function."
        )
    only_with_model(args.weights, args.model)
    for path, suffix in ((out, ".png"), (args.save, ".safetensors")):
        if path:
            check_target(Path(path), suffix)


def _settings(args: Namespace) -> dict[str, Any]:
    """The keywords of `netinv_lite.invert` that decide the result, without the seed."""
    check_name(args.preset, PRESETS, "preset")
    loss, config = PRESETS[args.preset]
    weights = dict(args.loss or [])
    for name in weights:
        check_name(name, [f.name for f in fields(InversionLoss)], "loss term")
    return {
        "image_shape": args.shape,
        "num_classes": args.classes,
        "input_range": args.input_range,
        "conditioning": args.conditioning,
        "loss": replace(loss, **weights),
        "config": replace(config, **given(args, InversionConfig)),
        "features": args.features,
    }


def _run(
    args: Namespace,
    classifier: nn.Module,
    settings: dict[str, Any],
    seed: int,
    checkpoint: Path | None,
) -> Inversion:
    steps = settings["config"].steps
    name = args.name or args.model
    print(f"Inverting {name}, preset {args.preset!r}, seed {seed}, {steps} steps.")
    if checkpoint and checkpoint.exists():
        done = read_tensors(checkpoint)[1].get("step", 0)
        print(f"Going on from step {done}, where the same command was stopped.")
    sys.stdout.flush()
    start = time.perf_counter()
    how = {"device": args.device, "progress": args.progress, "checkpoint": checkpoint}
    inversion = invert_one(classifier, **settings, **how, seed=seed)
    seconds = time.perf_counter() - start
    said = f"the classifier reads {inversion.accuracy(SAMPLES):.1%}"
    judge = _judge_of(classifier)
    if judge is not None:
        new = inversion.sample(math.ceil(SAMPLES / inversion.num_classes), seed=2)
        said += f", an independent judge {metrics.judge_accuracy(judge, *new):.1%}"
    print(
        f"Of {SAMPLES:,} new images {said} as the target class. {seconds:.1f} seconds.", flush=True
    )
    return inversion


def _judge_of(classifier: nn.Module) -> nn.Module | None:
    data = getattr(classifier, "record", {}).get("data")
    return load_judge(data) if f"{data}-judge" in shipped() else None


def _write(
    args: Namespace, classifier: nn.Module, runs: list[Inversion], out: str | None
) -> list[Path]:
    """The generators, and one picture of them all."""
    written = []
    if args.save:
        saved = Path(args.save)
        for run in runs:
            name = f"{saved.stem}-{run.seed}.safetensors" if len(runs) > 1 else saved.name
            written.append(run.save(saved.with_name(name)))
    if out:
        from .. import plot

        written.append(plot.save(_figure(args, classifier, runs), out))
    return written


def _figure(args: Namespace, classifier: nn.Module, runs: list[Inversion]) -> Figure:
    """One generator: classes by images. Several: classes by generators, as in the papers."""
    from .. import plot
    from ..plot.asked import spread

    drawn = spread(range(runs[0].num_classes))
    samples = [run.sample(args.per_class, seed=1, classes=drawn) for run in runs]
    images, labels = [x for x, _ in samples], samples[0][1]
    known = {"judge": _judge_of(classifier), "input_range": runs[0].input_range}
    if len(runs) == 1:
        title = f"{args.name or args.model}, inverted"
        return plot.image_grid(images[0], labels, classifier=classifier, title=title, **known)
    names = getattr(classifier, "classes", None)
    return plot.generators(images, labels, classes=names, **known)


def _what_is_kept(checkpoints: dict[int, Path]) -> str:
    if not checkpoints:
        return "nothing is kept, because --save FILE was not given; to start anew:"
    there = {seed: path for seed, path in checkpoints.items() if path.exists()}
    steps = {seed: read_tensors(path)[1].get("step") for seed, path in there.items()}
    said = ", ".join(f"seed {seed} up to step {step}" for seed, step in steps.items())
    return f"kept: {said or 'nothing yet'}. To go on:"


# --- fit, experiment, weights ----------------------------------------------------------------


def fit(args: Namespace) -> int:
    """Train a network of the book by its recipe, resuming a run that was stopped.

    Returns:
        0.

    Raises:
        ValueError: there is no such recipe.
        KeyboardInterrupt: on Ctrl-C; its message says how many epochs are kept.
    """
    from ..models import gan_recipes, recipes

    if args.dcgan:
        room, train, what = gan_recipes, gan_recipes.fit_shipped_gan, "recipe of a generator"
    else:
        room, train, what = recipes, recipes.fit_shipped, "recipe"
    kind = next((f"-{k}" for k in ("robust", "judge", "referee") if getattr(args, k)), "")
    name = args.name.removesuffix(kind) + kind
    check_name(name, room.RECIPES, what)
    target = Path(args.out) / f"{name}.safetensors"
    check_target(target, ".safetensors")
    how = {"seed": args.seed, "epochs": args.epochs}
    with keeping_epochs(room.checkpoint_of(name, **how)):
        record = train(name, args.out, **how, progress=args.progress)
    if args.dcgan:
        said = [f"  {key.replace('_', ' ')} {x:.3f}" for key, x in record["quality"].items()]
    else:
        said = describe(name, record)
    print("\n".join(said))
    print(f"written: {target}, {target.with_suffix('.json')}")
    return 0


def experiment(args: Namespace) -> int:
    """Run what is not yet measured of a study; print the summary. Without a name, list them.

    Returns:
        0, or 1 if a run failed.

    Raises:
        ValueError: the arguments do not fit.
        KeyboardInterrupt: on Ctrl-C; its message says where the finished runs are.
    """
    from ..studies import runner
    from ..studies.registry import EXPERIMENTS
    from ..studies.summaries import means

    if not args.name:
        for one in EXPERIMENTS.values():
            runs = len(one.settings(one.datasets, one.seeds))
            print(f"{one.name:12} {runs:4} runs  {one.question}")
        return 0
    check_name(args.name, EXPERIMENTS, "experiment")
    for dataset in args.datasets or ():
        check_name(dataset, [n for n in shipped() if "-" not in n], "data set")
    path = Path(args.out) / f"{args.name}.csv"
    names = ("out", "datasets", "seeds", "jobs", "cluster", "together", "fresh", "progress")
    try:
        table = runner.run(EXPERIMENTS[args.name], **{name: getattr(args, name) for name in names})
    except KeyboardInterrupt as stop:
        raise KeyboardInterrupt(f"the runs that were done are kept in {path}. To go on:") from stop
    print(means(table, digits=3).to_string())
    failed = table[table["error"] != ""]
    for _, row in failed.iterrows():
        print(f"failed: {row['run']}: {row['error']}")
    print(f"{len(table) - len(failed)} of {len(table)} runs are in {path}")
    return 1 if len(failed) else 0


def weights(args: Namespace) -> int:
    """List the networks that ship, or those in a folder, and check the hash of each.

    Returns:
        0, or 1 if one is damaged.
    """
    return list_weights(args.name, args.folder, full=args.full)
