"""The arguments of `python -m netinv_lite` and what `--help` says of them."""

from __future__ import annotations

import argparse

from .._core.serialization import located
from .._core.validation import check_name
from . import options
from .options import adder
from .types import Parser, joined

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
WHAT = {
    "invert": "train a generator of what a classifier takes for each class",
    "direct": "learn to go back, in one pass, from a layer to the image",
    "fit": "train one of the networks that ship, by its recipe",
    "experiment": "measure a grid of inversions into one table",
    "weights": "list the networks that ship and check the hash of each",
}
_Commands = argparse._SubParsersAction  # what `add_subparsers` returns


def parse(argv: list[str]) -> argparse.Namespace:
    """The command line as a namespace; its `command` is a function of `cli.commands`, or None.

    Raises:
        ValueError: an argument does not fit.
        SystemExit: after --help.
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
    raw = argparse.RawDescriptionHelpFormatter
    parser = Parser(prog=PROGRAM, epilog=EXAMPLES, description=ABOUT, formatter_class=raw)
    parser.add_argument("--version", action="store_true", help="print versions and stop")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=Parser)
    for build in (_invert, _direct, _fit, _experiment, _weights):
        build(commands)
    for command in commands.choices.values():
        command.add_argument("--debug", action="store_true", help="show where an error arose")
    return parser, list(commands.choices)


def _command(commands: _Commands, name: str, example: str) -> Parser:
    what = WHAT[name]
    return commands.add_parser(
        name,
        help=what,
        description=f"{what[0].upper()}{what[1:]}.",
        epilog=f"example:\n  {PROGRAM} {name} {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def _invert(commands: _Commands) -> None:
    p = _command(commands, "invert", INVERT_EXAMPLE)
    group = p.add_argument_group("the network")
    network = adder(group)
    shipped = "a shipped network (see `weights`) or a .safetensors of `fit`"
    network("name", shipped, nargs="?", metavar="NAME")
    options.own_network(group)
    classes = "number of classes to insist on (default: as many as it has logits)"
    network("--classes", classes, type=int, metavar="K")
    features = "module whose output the cosine loss compares"
    features += " (default: the input of the last linear layer)"
    network("--features", features, metavar="MODULE")
    options.inversion(p.add_argument_group("the inversion"))
    result = adder(p.add_argument_group("the result"))
    picture = "the picture (default: inversion.png, unless --save is given)"
    result("--out", picture, metavar="PNG")
    saved = "the generator, for netinv_lite.Inversion.load"
    saved += "; several --seeds: g-0.safetensors, g-1.safetensors, …"
    result("--save", saved, metavar="SAFETENSORS")
    drawn = "images of each class in the picture (default: 10)"
    result("--per-class", drawn, type=int, default=10, metavar="N")
    options.progress(p)


def _direct(commands: _Commands) -> None:
    p = _command(commands, "direct", DIRECT_EXAMPLE)
    group = p.add_argument_group("the network")
    network = adder(group)
    network("name", "a shipped network (see `weights`)", nargs="?", metavar="NAME")
    torchvision = "one of torchvision's, with its own weights, downloaded once"
    network("--torchvision", torchvision, metavar="NAME")
    options.own_network(group)
    cut = "from whose output to go back (default: what enters the last linear layer)"
    network("--cut", cut, metavar="MODULE")
    options.direct(p.add_argument_group("the inverse"))
    result = adder(p.add_argument_group("the result"))
    result("--save", "the inverse, for LayerwiseInverse.load", metavar="SAFETENSORS")
    estimate = "count operations and memory of every stage, and stop"
    result("--estimate", estimate, action="store_true")
    options.progress(p)


def _fit(commands: _Commands) -> None:
    p = _command(commands, "fit", FIT_EXAMPLE)
    add, kind = adder(p), adder(p.add_mutually_exclusive_group())
    add("name", "digits, mnist, fashion_mnist, svhn or cifar10", metavar="NAME")
    kind("--robust", "the adversarially trained variant", action="store_true")
    kind("--judge", "the judge of that data set", action="store_true")
    kind("--referee", "its second judge, for reporting", action="store_true")
    dcgan = "a generator: NAME is fashion_mnist-16 or -64, by its code"
    kind("--dcgan", dcgan, action="store_true")
    out = "where NAME.safetensors and NAME.json go (default: weights)"
    add("--out", out, default="weights", metavar="FOLDER")
    add("--seed", "default: the recipe's", type=int, metavar="N")
    add("--epochs", "default: the recipe's", type=int, metavar="N")
    options.progress(p)


def _experiment(commands: _Commands) -> None:
    p = _command(commands, "experiment", EXPERIMENT_EXAMPLE)
    add = adder(p)
    add("name", "none: a list of what there is", nargs="?", metavar="NAME")
    add("--datasets", "default: the experiment's own", nargs="+", metavar="NAME")
    add("--seeds", "default: the experiment's", nargs="+", type=int, metavar="N")
    jobs = "runs at a time on this machine, a thread each (default: 1)"
    add("--jobs", jobs, type=int, default=1, metavar="N")
    cluster = "a Dask scheduler, tcp://host:8786, whose workers do the runs"
    add("--cluster", cluster, metavar="ADDRESS")
    together = "train up to N generators of one kind in one batch, on a GPU if there is one"
    add("--together", f"{together} (default: 1)", type=int, default=1, metavar="N")
    out = "where NAME.csv and NAME.json go (default: data/results)"
    add("--out", out, default="data/results", metavar="FOLDER")
    add("--fresh", "also what is there already", action="store_true")
    options.progress(p)


def _weights(commands: _Commands) -> None:
    add = adder(_command(commands, "weights", "mnist-robust"))
    add("name", "all that is known of one network", nargs="?", metavar="NAME")
    add("--folder", "the networks of another folder, made by `fit`", metavar="DIR")
    add("--full", "whole hashes", action="store_true")
