"""The arguments of `python -m netinv_lite` and what `--help` says of them."""

from __future__ import annotations

import argparse
from dataclasses import fields

from .._core.serialization import located
from .._core.validation import check_name
from ..conditioning import SCHEMES
from ..direct.inverse import DirectConfig
from ..losses import InversionLoss
from ..presets import PRESETS, InversionConfig
from .types import Parser, image_shape, joined, pixel_range, weight_of

PROGRAM = "python -m netinv_lite"
CONFIG_HELP = {
    "steps": "training steps of the generator",
    "batch_size": "images in a step",
    "lr": "learning rate",
    "latent_dim": "size of the latent z",
    "width": "channels of the generator",
    "dropout": "dropout of the generator",
    "modulation": "how strongly z scales and shifts the generator's channels",
    "deformation": "how far each image is bent at random, in halves of its side",
    "scale": "s in v = softmax(s N(0,I)): small is soft, large is one-hot",
    "start": "brightness of the first images, 0 to 1 (default: mid-grey, or 0.02 by the preset)",
}
DIRECT_HELP = {
    "steps": "training steps of each block",
    "joint": "steps of all blocks together",
    "batch_size": "images in a step",
    "lr": "learning rate",
    "joint_lr": "learning rate of all together",
    "every_depth": "together, train from every depth (default), or from the last alone",
    "in_turn": "together, train from the last depth and a random one in turn, not from all at once",
    "width": "hidden channels of an inverse",
    "block": "weight of the representation before each block",
    "image": "weight of the image",
    "cycle": "weight of what the network makes of that image",
    "answer": "weight of what it answers to that image",
    "source": "images to learn on: noise, strokes, fractal, leaves, scenes or mixed",
    "bfloat16": "train in 16 bits",
    "keep_best": "end each stage with its best state on images that are held out (default)",
}
EXAMPLES = f"""examples:
  {PROGRAM} invert mnist --out grid.png --save g.safetensors
  {PROGRAM} invert --model mymodels:small_cnn --weights w.safetensors --shape 3x32x32
  {PROGRAM} direct mnist --save inverse.safetensors
  {PROGRAM} fit mnist --robust
  {PROGRAM} experiment losses --datasets digits --jobs 2
  {PROGRAM} weights

`{PROGRAM} COMMAND --help` explains a command."""


def parse(argv: list[str]) -> argparse.Namespace:
    """`argv` as a namespace whose `command` is one of the functions of `cli`, or None.

    Raises ValueError for what does not fit, SystemExit after --help.
    """
    parser, commands = _parser()
    if argv[:1] == ["benchmark"]:
        raise ValueError(f"The benchmark is a study now: {PROGRAM} experiment benchmark")
    if argv and not argv[0].startswith("-"):
        check_name(argv[0], commands, "command")
    args = parser.parse_args(joined(argv))
    for name in ("out", "save", "weights", "folder"):
        if getattr(args, name, None):  # a shell leaves the ~ of --out=~/x.png to the program
            setattr(args, name, str(located(getattr(args, name))))
    args.help = parser.format_help()
    return args


def _parser() -> tuple[Parser, list[str]]:
    parser = Parser(prog=PROGRAM, epilog=EXAMPLES, description=(
        "See what a trained classifier takes for each of its classes, and whether to believe it."
    ), formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("--version", action="store_true", help="print versions and stop")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=Parser)
    for build in (_invert, _direct, _fit, _experiment, _weights):
        build(commands)
    for command in commands.choices.values():
        command.add_argument("--debug", action="store_true", help="show where an error arose")
    return parser, list(commands.choices)


def _command(commands, name: str, help: str, example: str) -> Parser:
    return commands.add_parser(
        name, help=help, description=f"{help[0].upper()}{help[1:]}.",
        epilog=f"example:\n  {PROGRAM} {name} {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip


_INVERT_EXAMPLE = f"""mnist --preset readable --out grid.png --save g.safetensors
  {PROGRAM} invert --model mymodels:small_cnn --weights w.safetensors --shape 3x32x32

With --save, a run stopped by Ctrl-C goes on when the same command is given again."""
_FIT_EXAMPLE = """mnist --robust --out weights

A run stopped by Ctrl-C goes on, from its last whole epoch, when the same command is given again
in the same folder; its state lies in runs/."""


def _invert(commands) -> None:
    p = _command(commands, "invert", "train a generator of what a classifier takes for each class",
                 _INVERT_EXAMPLE)  # fmt: skip
    network = p.add_argument_group("the network").add_argument
    network("name", nargs="?", metavar="NAME",
            help="a shipped network (see `weights`) or a .safetensors of `fit`")  # fmt: skip
    _own_network(network)
    network("--classes", type=int, metavar="K",
            help="number of classes to insist on (default: as many as it has logits)")  # fmt: skip
    network("--features", metavar="MODULE",
            help="module whose output the cosine loss compares (default: the input of the last "
                 "linear layer)")  # fmt: skip
    _inversion(p.add_argument_group("the inversion"))
    result = p.add_argument_group("the result").add_argument
    result(
        "--out", metavar="PNG", help="the picture (default: inversion.png, unless --save is given)"
    )
    result("--save", metavar="SAFETENSORS",
           help="the generator, for netinv_lite.Inversion.load; several --seeds: g-0.safetensors, "
                "g-1.safetensors, …")  # fmt: skip
    result("--per-class", type=int, default=10, metavar="N",
           help="images of each class in the picture (default: 10)")  # fmt: skip
    _progress(p)


def _own_network(network) -> None:
    network("--model", metavar="PACKAGE.MODULE:FUNCTION",
            help="a network of your own: a function without arguments that returns an nn.Module "
                 "from images (B,C,H,W) to logits (B,K)")  # fmt: skip
    network("--weights", metavar="FILE", help="its state dict, a .safetensors file")
    network("--shape", type=image_shape, metavar="CxHxW",
            help="its image shape, for example 3x32x32")  # fmt: skip
    network("--input-range", type=pixel_range, metavar="LOW,HIGH",
            help="range of its pixels (default: the network's own, else 0,1)")  # fmt: skip


def _inversion(group) -> None:
    add = group.add_argument
    add(
        "--preset", default="paper", metavar="NAME", help=f"{' or '.join(PRESETS)} (default: paper)"
    )
    add("--conditioning", default="vector-matrix", metavar="NAME",
        help=f"{', '.join(SCHEMES)} (default: vector-matrix)")  # fmt: skip
    terms = ", ".join(f.name for f in fields(InversionLoss))
    add("--loss", nargs="+", type=weight_of, metavar="TERM=WEIGHT",
        help=f"change the loss of the preset: {terms}")  # fmt: skip
    for f in fields(InversionConfig):
        kind, metavar = (int, "N") if type(f.default) is int else (float, "X")
        said = "" if f.default is None else f" (default: {f.default:g})"
        add(f"--{f.name.replace('_', '-')}", type=kind, metavar=metavar,
            help=CONFIG_HELP.get(f.name, f.name) + said)  # fmt: skip
    add("--device", default="auto", help="auto, cpu, cuda, cuda:1 … (default: auto)")
    seed = group.add_mutually_exclusive_group().add_argument
    seed("--seed", type=int, metavar="N", help="seed of the generator (default: 0)")
    seed("--seeds", type=int, nargs="+", metavar="N",
         help="several generators, each a column of the picture")  # fmt: skip


_DIRECT_EXAMPLE = f"""mnist --cut hidden --save inverse.safetensors
  {PROGRAM} direct --torchvision resnet50 --cut layer3.1 --batch-size 64 --steps 3000 \\
      --joint 10000 --bfloat16 --save inverse.safetensors

With --estimate nothing is trained: it says what that would take. A run stopped by Ctrl-C goes on
when the same command is given again."""


def _direct(commands) -> None:
    p = _command(commands, "direct", "learn to go back, in one pass, from a layer to the image",
                 _DIRECT_EXAMPLE)  # fmt: skip
    network = p.add_argument_group("the network").add_argument
    network("name", nargs="?", metavar="NAME", help="a shipped network (see `weights`)")
    network("--torchvision", metavar="NAME",
            help="one of torchvision's, with its own weights, downloaded once")  # fmt: skip
    _own_network(network)
    network(
        "--cut",
        metavar="MODULE",
        help="from whose output to go back (default: what enters the last linear layer)",
    )
    add = p.add_argument_group("the inverse").add_argument
    for f in fields(DirectConfig):
        option, said = f"--{f.name.replace('_', '-')}", DIRECT_HELP[f.name]
        if type(f.default) is bool:
            add(option, action=argparse.BooleanOptionalAction, help=said)
            continue
        kind, metavar = {int: (int, "N"), float: (float, "X"), str: (str, "KIND")}[type(f.default)]
        add(option, type=kind, metavar=metavar, help=f"{said} (default: {f.default})")
    add("--device", default="auto", help="auto, cpu, cuda, cuda:1 … (default: auto)")
    add("--seed", type=int, default=0, metavar="N", help="default: 0")
    result = p.add_argument_group("the result").add_argument
    result("--save", metavar="SAFETENSORS", help="the inverse, for LayerwiseInverse.load")
    result("--estimate", action="store_true",
           help="count operations and memory of every stage, and stop")  # fmt: skip
    _progress(p)


def _fit(commands) -> None:
    p = _command(
        commands, "fit", "train one of the networks that ship, by its recipe", _FIT_EXAMPLE
    )
    p.add_argument("name", metavar="NAME",
                   help="digits, mnist, fashion_mnist, svhn or cifar10")  # fmt: skip
    kind = p.add_mutually_exclusive_group()
    kind.add_argument("--robust", action="store_true", help="the adversarially trained variant")
    kind.add_argument("--judge", action="store_true", help="the judge of that data set")
    kind.add_argument("--referee", action="store_true", help="its second judge, for reporting")
    kind.add_argument("--dcgan", action="store_true",
                      help="a generator: NAME is fashion_mnist-16 or -64, by its code")  # fmt: skip
    p.add_argument("--out", default="weights", metavar="FOLDER",
                   help="where NAME.safetensors and NAME.json go (default: weights)")  # fmt: skip
    p.add_argument("--seed", type=int, metavar="N", help="default: the recipe's")
    p.add_argument("--epochs", type=int, metavar="N", help="default: the recipe's")
    _progress(p)


_EXPERIMENT_EXAMPLE = """losses --datasets digits --seeds 0 1 2 --jobs 2

Runs that the table holds are not repeated, so the same command goes on where it was stopped."""


def _experiment(commands) -> None:
    p = _command(commands, "experiment", "measure a grid of inversions into one table",
                 _EXPERIMENT_EXAMPLE)  # fmt: skip
    p.add_argument("name", nargs="?", metavar="NAME", help="none: a list of what there is")
    p.add_argument("--datasets", nargs="+", metavar="NAME", help="default: the experiment's own")
    p.add_argument("--seeds", nargs="+", type=int, metavar="N", help="default: the experiment's")
    p.add_argument("--jobs", type=int, default=1, metavar="N",
                   help="runs at a time on this machine, a thread each (default: 1)")  # fmt: skip
    p.add_argument("--cluster", metavar="ADDRESS",
                   help="a Dask scheduler, tcp://host:8786, whose workers do the runs")  # fmt: skip
    p.add_argument("--together", type=int, default=1, metavar="N",
                   help="train up to N generators of one kind in one batch, on a GPU if there "
                        "is one (default: 1)")  # fmt: skip
    p.add_argument("--out", default="data/results", metavar="FOLDER",
                   help="where NAME.csv and NAME.json go (default: data/results)")  # fmt: skip
    p.add_argument("--fresh", action="store_true", help="also what is there already")
    _progress(p)


def _weights(commands) -> None:
    p = _command(commands, "weights", "list the networks that ship and check the hash of each",
                 "mnist-robust")  # fmt: skip
    p.add_argument("name", nargs="?", metavar="NAME", help="all that is known of one network")
    p.add_argument("--folder", metavar="DIR", help="the networks of another folder, made by `fit`")
    p.add_argument("--full", action="store_true", help="whole hashes")


def _progress(parser) -> None:
    parser.add_argument("--no-progress", dest="progress", action="store_false",
                        help="without a progress bar")  # fmt: skip
