"""The arguments of `python -m netinv_lite` and what `--help` says of them."""

from __future__ import annotations

import argparse
from dataclasses import fields

from .._core.serialization import located
from .._core.validation import check_name
from ..conditioning import SCHEMES
from ..direct.config import DirectConfig
from ..losses import InversionLoss
from ..presets import PRESETS, InversionConfig
from .options import COUNT, FLAG, NAME, WHOLE, adder, every_field, own_network
from .types import Parser, joined, weight_of

PROGRAM = "python -m netinv_lite"
ABOUT = "See what a trained classifier takes for each of its classes, and whether to believe it."
EXAMPLES = f"""examples:
  {PROGRAM} invert mnist --out grid.png --save g.safetensors
  {PROGRAM} invert --model mymodels:small_cnn --weights w.safetensors --shape 3x32x32
  {PROGRAM} direct mnist --save inverse.safetensors
  {PROGRAM} fit mnist --robust
  {PROGRAM} experiment losses --datasets digits --jobs 2
  {PROGRAM} weights

`{PROGRAM} COMMAND --help` explains a command."""
INVERT_EXAMPLE = f"""mnist --preset readable --out grid.png --save g.safetensors
  {PROGRAM} invert --model mymodels:small_cnn --weights w.safetensors --shape 3x32x32

With --save, a run stopped by Ctrl-C goes on when the same command is given again."""
DIRECT_EXAMPLE = f"""mnist --cut hidden --save inverse.safetensors
  {PROGRAM} direct --torchvision resnet50 --cut layer3.1 --batch-size 64 --steps 3000 \\
      --joint 10000 --bfloat16 --save inverse.safetensors

With --estimate nothing is trained: it says what that would take. A run stopped by Ctrl-C goes on
when the same command is given again."""
FIT_EXAMPLE = """mnist --robust --out weights

A run stopped by Ctrl-C goes on, from its last whole epoch, when the same command is given again
in the same folder; its state lies in runs/."""
EXPERIMENT_EXAMPLE = """losses --datasets digits --seeds 0 1 2 --jobs 2

Runs that the table holds are not repeated, so the same command goes on where it was stopped."""


def parse(argv: list[str]) -> argparse.Namespace:
    """The command line as a namespace; its `command` is a function of `cli.commands`, or None.

    Raises:
        ValueError: an argument does not fit.
        SystemExit: after --help.
    """
    if argv[:1] == ["benchmark"]:
        raise ValueError(f"The benchmark is a study now: {PROGRAM} experiment benchmark")
    if argv and not argv[0].startswith("-"):
        check_name(argv[0], COMMANDS, "command")
    parser = _parser()
    args = parser.parse_args(joined(argv))
    for name in ("out", "save", "weights", "folder"):
        if getattr(args, name, None):  # a shell leaves the ~ of --out=~/x.png to the program
            setattr(args, name, str(located(getattr(args, name))))
    args.help = parser.format_help()
    return args


def _parser() -> Parser:
    raw = argparse.RawDescriptionHelpFormatter
    parser = Parser(prog=PROGRAM, epilog=EXAMPLES, description=ABOUT, formatter_class=raw)
    parser.add_argument("--version", action="store_true", help="print versions and stop")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=Parser)
    for name, (build, example) in COMMANDS.items():
        what = build.__doc__ or ""
        one = commands.add_parser(
            name,
            help=f"{what[:1].lower()}{what[1:-1]}",
            description=what,
            epilog=f"example:\n  {PROGRAM} {name} {example}",
            formatter_class=raw,
        )
        build(one)
        one.add_argument("--debug", action="store_true", help="show where an error arose")
    return parser


def _invert(parser: Parser) -> None:
    """Train a generator of what a classifier takes for each class."""
    add = adder(parser.add_argument_group("the network"))
    add("name", "a shipped network (see `weights`) or a .safetensors of `fit`", **NAME)
    own_network(add)
    classes = "number of classes to insist on (default: as many as it has logits)"
    add("--classes", classes, type=int, metavar="K")
    features = (
        "module whose output the cosine loss compares (default: the last linear layer's input)"
    )
    add("--features", features, metavar="MODULE")

    group = parser.add_argument_group("the inversion")
    add = adder(group)
    add("--preset", f"{' or '.join(PRESETS)} (default: paper)", default="paper", metavar="NAME")
    schemes = f"{', '.join(SCHEMES)} (default: vector-matrix)"
    add("--conditioning", schemes, default="vector-matrix", metavar="NAME")
    change = f"change the loss of the preset: {', '.join(f.name for f in fields(InversionLoss))}"
    add("--loss", change, nargs="+", type=weight_of, metavar="TERM=WEIGHT")
    every_field(add, InversionConfig)
    add("--device", "auto, cpu, cuda, cuda:1 … (default: auto)", default="auto")
    one = adder(group.add_mutually_exclusive_group())
    one("--seed", "seed of the generator (default: 0)", **WHOLE)
    one("--seeds", "several generators, each a column of the picture", nargs="+", **WHOLE)

    add = adder(parser.add_argument_group("the result"))
    add("--out", "the picture (default: inversion.png, unless --save is given)", metavar="PNG")
    saved = "the generator, for netinv_lite.Inversion.load"
    saved += "; several --seeds: g-0.safetensors, g-1.safetensors, …"
    add("--save", saved, metavar="SAFETENSORS")
    drawn = "images of each class in the picture (default: 10)"
    add("--per-class", drawn, default=10, **COUNT)
    _progress(parser)


def _direct(parser: Parser) -> None:
    """Learn to go back, in one pass, from a layer to the image."""
    add = adder(parser.add_argument_group("the network"))
    add("name", "a shipped network (see `weights`)", **NAME)
    torchvision = "one of torchvision's, with its own weights, downloaded once"
    add("--torchvision", torchvision, metavar="NAME")
    own_network(add)
    cut = "from whose output to go back (default: what enters the last linear layer)"
    add("--cut", cut, metavar="MODULE")

    add = adder(parser.add_argument_group("the inverse"))
    every_field(add, DirectConfig)
    add("--device", "auto, cpu, cuda, cuda:1 … (default: auto)", default="auto")
    add("--seed", "default: 0", default=0, **WHOLE)

    add = adder(parser.add_argument_group("the result"))
    add("--save", "the inverse, for LayerwiseInverse.load", metavar="SAFETENSORS")
    add("--estimate", "count operations and memory of every stage, and stop", **FLAG)
    _progress(parser)


def _fit(parser: Parser) -> None:
    """Train one of the networks that ship, by its recipe."""
    add, kind = adder(parser), adder(parser.add_mutually_exclusive_group())
    add("name", "digits, mnist, fashion_mnist, svhn, cifar10 or cifar100", metavar="NAME")
    kind("--robust", "the adversarially trained variant", **FLAG)
    kind("--judge", "the judge of that data set", **FLAG)
    kind("--referee", "its second judge, for reporting", **FLAG)
    kind("--dcgan", "a generator: NAME is fashion_mnist-16 or -64, by its code", **FLAG)
    out = "where NAME.safetensors and NAME.json go (default: weights)"
    add("--out", out, default="weights", metavar="FOLDER")
    add("--seed", "default: the recipe's", **WHOLE)
    add("--epochs", "default: the recipe's", **WHOLE)
    _progress(parser)


def _experiment(parser: Parser) -> None:
    """Measure a grid of inversions into one table."""
    add = adder(parser)
    add("name", "none: a list of what there is", **NAME)
    add("--datasets", "default: the experiment's own", nargs="+", metavar="NAME")
    add("--seeds", "default: the experiment's", nargs="+", **WHOLE)
    add("--jobs", "runs at a time on this machine, a thread each (default: 1)", default=1, **COUNT)
    cluster = "a Dask scheduler, tcp://host:8786, whose workers do the runs"
    add("--cluster", cluster, metavar="ADDRESS")
    together = "train up to N generators of one kind in one batch, on a GPU if there is one"
    add("--together", f"{together} (default: 1)", default=1, **COUNT)
    out = "where NAME.csv and NAME.json go (default: data/results)"
    add("--out", out, default="data/results", metavar="FOLDER")
    add("--fresh", "also what is there already", **FLAG)
    _progress(parser)


def _weights(parser: Parser) -> None:
    """List the networks that ship and check the hash of each."""
    add = adder(parser)
    add("name", "all that is known of one network", **NAME)
    add("--folder", "the networks of another folder, made by `fit`", metavar="DIR")
    add("--full", "whole hashes", **FLAG)


def _progress(parser: Parser) -> None:
    hidden = {"dest": "progress", "action": "store_false"}
    adder(parser)("--no-progress", "without a progress bar", **hidden)


# The name of a command: what adds its options, with what it does as docstring, and an example.
COMMANDS = {
    "invert": (_invert, INVERT_EXAMPLE),
    "direct": (_direct, DIRECT_EXAMPLE),
    "fit": (_fit, FIT_EXAMPLE),
    "experiment": (_experiment, EXPERIMENT_EXAMPLE),
    "weights": (_weights, "mnist-robust"),
}
