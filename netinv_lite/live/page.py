"""A page with a network or an inversion in it, and the markup of a live figure."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

from torch import nn

from .._core.boundary import Target
from .._core.serialization import write_atomically
from ..conditioning import SoftTargets
from ..inversion import Inversion
from .drawing import drawing
from .program import program_of, safe

HERE = Path(__file__).parent
SCRIPTS = (
    "convolutions.js",
    "layers.js",
    "fields.js",
    "engine.js",
    "running.js",
    "page.js",
)  # in this order; then that of the figure
STYLE = "live.css"
PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; }}
body {{ font: 1rem/1.5 system-ui, sans-serif; max-width: 48rem; margin: 2rem auto }}
body {{ padding: 0 1rem }}
{style}figure[data-live] {{ margin: 1.5rem 0 }}
@media (prefers-color-scheme: dark) {{
  figure[data-live] {{ --quiet: #a8a8a8; --bar: #56b4e9 }}
}}
</style>
</head>
<body>
{figures}
{scripts}
</body>
</html>
"""
TITLE = "What does {name} take for each class?"
CAPTION = """<p>An image forms by gradient ascent: each step changes all pixels a little, in the
direction in which the classifier is surer of the target class. {judge}All is computed in this page;
nothing leaves it.</p>"""
DRAWN = """<p>A trained generator draws for the vector that you set: the share of each class. What
the classifier says should follow the vector. {matrix}A new z is another image of the same
vector.</p>"""
MATRIX = """The class enters as a matrix, too: that of the vector's largest entry, unless you choose
another. """
HEADS = {"generate": "What a trained generator draws", "climb": "What gradient ascent finds"}
JUDGE = "The judge is another network, which has no part in it and only reads the image. "


def source(name: str) -> str:
    """The text of one of the files in this folder."""
    return (HERE / name).read_text(encoding="utf-8")


def figure(
    kind: str, settings: dict[str, Any], *, still: str = "", caption: str = "", status: str = ""
) -> str:
    """The markup of a live figure, which its script fills in.

    Args:
        kind: the figure, such as "climb".
        settings: what the script reads: `classes`, `networks` (a list of `name` and `label`),
            `judge`, `target`, and `base`, the folder of the networks' files; for "generate" also
            `generators`, a list of `name`, `label`, `matrix` and `soft`.
        still: markup of what stands there until it starts, and on paper.
        caption: markup.
        status: text beside the button, until it is pressed.

    Returns:
        HTML.
    """
    judge = "" if settings["judge"] else " hidden"
    return f"""<figure data-live="{escape(kind)}" data-settings="{escape(safe(settings))}">
{still}
<div class="live-controls" role="group" aria-label="Settings"></div>
<div class="live-buttons"><button type="button" class="live-start">Start</button>
<span class="live-status">{escape(status)}</span></div>
<div class="live-stage">
<canvas class="live-canvas" role="img" aria-label="The image as it forms"></canvas>
<div class="live-classifier" role="group" aria-label="Probabilities of the classifier"></div>
<div class="live-judge" role="group" aria-label="Probabilities of the judge"{judge}></div>
</div>
<p class="live-verdict" role="status" aria-live="polite"></p>
<figcaption>{caption}</figcaption>
</figure>"""


def to_page(
    classifier: nn.Module | Inversion,
    path: str | Path,
    *,
    judge: nn.Module | None = None,
    classes: Sequence[str] | None = None,
    image_shape: Sequence[int] | None = None,
    input_range: Sequence[float] | None = None,
) -> Path:
    """Write one HTML file in which a reader inverts a classifier without Python.

    In it the reader climbs the classifier's gradient: x ← clip(x + a g/‖g‖), g = ∇_x log-odds of
    the target class, as `baselines.pixel_ascent` does it. The page of an inversion also draws with
    its generator: the reader moves v over the simplex, takes another z, and sees what the networks
    say of the image. The page holds the weights, as float16, and works from a disk or any web
    space, without another file or a request to another host.

    Args:
        classifier: from images (B,C,H,W) to logits (B,K), of layers that a page knows; or an
            inversion of one, by a `ConditionedGenerator`.
        path: the file, such as "page.html".
        judge: a second network for the same images and classes, whose probabilities are shown
            beside the classifier's.
        classes: names of the K classes; by default the classifier's attribute, else numbers.
        image_shape: (C, H, W); by default the classifier's attribute. An inversion has its own.
        input_range: (low, high) of the pixels; by default the classifier's attribute, else (0, 1).
            An inversion has its own.

    Returns:
        The path, with a leading ~ expanded.

    Raises:
        ValueError: a layer or a generator is not among those that a page knows, or shapes and names
            do not fit.
        OSError: the file cannot be written; what was there before still is.

    Example:
        >>> import tempfile
        >>> import netinv_lite as nil
        >>> classifier, judge = nil.load_classifier("digits"), nil.load_judge("digits")
        >>> quick = nil.InversionConfig(steps=20, batch_size=16)
        >>> inversion = nil.invert(classifier, config=quick, progress=False)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = nil.to_page(inversion, f"{folder}/page.html", judge=judge)
        ...     path.read_text(encoding="utf-8").count("</figure>")
        2
    """
    text = page_of(
        classifier, judge=judge, classes=classes, image_shape=image_shape, input_range=input_range
    )

    def write(partial: Path) -> None:
        partial.write_text(text, encoding="utf-8", newline="\n")

    return write_atomically(path, write)


def page_of(
    classifier: nn.Module | Inversion,
    *,
    judge: nn.Module | None,
    classes: Sequence[str] | None,
    image_shape: Sequence[int] | None,
    input_range: Sequence[float] | None,
    bare: bool = False,
) -> str:
    """The page that `to_page` writes, without its heading where `bare`."""
    inversion = classifier if isinstance(classifier, Inversion) else None
    if inversion is not None:
        if image_shape is not None or input_range is not None:
            raise ValueError(
                "image_shape and input_range are those of the inversion: leave them out."
            )
        classifier = inversion.classifier
        image_shape, input_range = inversion.image_shape, inversion.input_range
    target = Target.of(classifier, image_shape=image_shape, input_range=input_range, device="cpu")
    program = program_of(target, classes)
    networks = [program.script("classifier")]
    if judge is not None:
        networks.append(program_of(_reading(judge, target), program.classes).script("judge"))
    name = type(target.model).__name__
    settings = {
        "classes": program.classes,
        "networks": [{"name": "classifier", "label": name}],
        "judge": None if judge is None else "judge",
        "target": 0,
        "base": "",
    }
    captions = {"climb": CAPTION.format(judge="" if judge is None else JUDGE)}
    if inversion is not None:
        networks.append(drawing(inversion, program.classes).script("generator"))
        settings["generators"] = [described(inversion, "generator")]
        matrix = MATRIX if inversion.conditioning.matrix else ""
        captions = {"generate": DRAWN.format(matrix=matrix), **captions}
    figures = []
    for kind, caption in captions.items():
        figures += [f"<h2>{HEADS[kind]}</h2>"] if len(captions) > 1 else []
        figures.append(figure(kind, settings, caption=caption))
    parts = [source(file) for file in (*SCRIPTS, *(f"{kind}.js" for kind in captions))]
    title = TITLE.format(name=escape(name))
    head = [] if bare else [f"<h1>{title}</h1>"]
    return PAGE.format(
        title=title,
        style=source(STYLE),
        figures="\n".join(head + figures),
        scripts="\n".join(f"<script>\n{part}</script>" for part in (*parts, *networks)),
    )


def described(inversion: Inversion, name: str) -> dict[str, Any]:
    """What the script of "generate" has to know about a generator before it is loaded."""
    conditioning = inversion.conditioning
    soft = isinstance(conditioning, SoftTargets)
    label = conditioning.name.replace("-", " and ")
    return {"name": name, "label": label, "matrix": conditioning.matrix, "soft": soft}


def _reading(judge: nn.Module, target: Target) -> Target:
    """A judge for the images of a target, with as many classes."""
    shape, span = target.image_shape, target.input_range
    found = Target.of(judge, image_shape=shape, input_range=span, device="cpu")
    if found.num_classes != target.num_classes:
        raise ValueError(
            f"The judge knows {found.num_classes} classes, the classifier {target.num_classes}: "
            "give a judge of the same classes."
        )
    return found
