"""`{live} climb`: a figure that runs a network of the book in the page, once the reader asks.

    ```{live} climb
    :networks: mnist, mnist-robust
    :labels: plain, robust
    :judge: mnist
    :target: 3

    The caption.
    ```

`{live} generate` and `{live} bend` draw with the generator of data/inversions/, which was trained
on the first of their networks; with `:matrix:` the reader of `generate` may take another, trained
alike, which reads a matrix, too. `{live} back` goes back through its network with the inverse of
data/inverses/. `{live} guess` loads no network: its images were read before.

Without JavaScript, on paper and until it starts, some images of an ascent stand in its place; they
are computed while the book is built. So are the files that the page loads, in `_static/live/`: the
scripts of `netinv_lite/live`, and the networks that some figure names.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import live_forty
from docutils import nodes
from docutils.parsers.rst import directives
from live_still import inverse_of, real_digits, shipped, still
from sphinx.util.docutils import SphinxDirective

import netinv_lite as nil
from netinv_lite.live import page
from netinv_lite.live.drawing import bending, drawing
from netinv_lite.live.program import program_of
from netinv_lite.live.returning import returning

FOLDER = "live"  # of _static
KINDS = ("back", "bend", "climb", "generate", "guess")
PARTS = {"back": ("returning.js", "ink.js")}  # scripts that a figure needs besides its own


class Live(nodes.General, nodes.Element):
    """A figure, around its caption."""


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",")]


class LiveDirective(SphinxDirective):
    required_arguments = 1
    has_content = True
    option_spec: ClassVar = {
        "networks": _names,
        "labels": _names,
        "judge": directives.unchanged_required,
        "target": directives.nonnegative_int,
        "matrix": directives.flag,  # of "generate": a second generator, which reads a matrix, too
    }

    def run(self) -> list[nodes.Node]:
        kind, options = self.arguments[0], self.options
        networks, judge = options.get("networks", ["mnist"]), options.get("judge", "mnist")
        labels, target = options.get("labels", networks), options.get("target", 0)
        if kind not in KINDS or len(labels) != len(networks):
            raise self.error(f"live: known are {KINDS}, and a label for each network is needed")
        settings = {
            "classes": nil.load_classifier(networks[0]).classes,
            "networks": [
                {"name": name, "label": label} for name, label in zip(networks, labels, strict=True)
            ],
            "judge": f"{judge}-judge",
            "target": target,
        }
        if kind == "generate":
            names = [judge, f"{judge}-matrix"] if "matrix" in options else [judge]
            settings["generators"] = [
                page.described(shipped(name), f"{name}-generator") for name in names
            ]
        if kind == "bend":
            settings |= {"generator": f"{judge}-generator", "bender": f"{judge}-bender"}
        if kind == "back":
            settings["inverse"] = f"{networks[0]}-inverse"
        if kind == "guess":
            settings |= {"networks": [], "judge": None, "gallery": f"{judge}-forty"}
        first = [network["name"] for network in settings["networks"][:1]]
        size = sum(len(script(name)) for name in (*first, *_others(settings)))
        node = Live(kind=kind, settings=settings)
        still_of = "conflict" if "matrix" in options else kind
        node["still"] = still(still_of, networks[0], judge, target)
        node["status"] = f"loads {size / 1e6:.1f} MB"
        self.state.nested_parse(self.content, self.content_offset, node)
        return [node]


def _others(settings: dict[str, Any]) -> list[str]:
    """The files that a figure loads besides those of the networks to choose from."""
    roles = ("judge", "generator", "bender", "gallery", "inverse")
    generators = [generator["name"] for generator in settings.get("generators", ())]
    return [settings[role] for role in roles if settings.get(role)] + generators


def _base(builder: Any, docname: str) -> str:
    """The folder of the networks, as a page has to write it."""
    return "../" * builder.get_target_uri(docname).count("/") + f"_static/{FOLDER}/"


def visit(translator: Any, node: Live) -> None:
    builder = translator.builder
    base = _base(builder, getattr(builder, "current_docname", ""))
    settings = {**node["settings"], "base": base}
    said = {key: node[key] for key in ("still", "status")}
    before, node["after"] = page.figure(node["kind"], settings, caption="\0", **said).split("\0")
    translator.body.append(before)


def depart(translator: Any, node: Live) -> None:
    translator.body.append(node["after"] + "\n")


def skip(_translator: Any, _node: Live) -> None:
    raise nodes.SkipNode


# ---- files ----------------------------------------------------------------------------------


@functools.cache
def script(name: str) -> str:
    """A shipped network or generator as the file that a page loads."""
    of, _, role = name.rpartition("-")
    if role == "forty":
        return live_forty.script(name)
    if role == "generator":
        return drawing(shipped(of)).script(name)
    if role == "inverse":
        return returning(inverse_of(of), real_digits()).script(name)
    if role == "bender":
        judge = nil.load_judge(of)
        return bending(judge.image_shape, judge.input_range, real_digits()).script(name)
    model = nil.load_judge(of) if role == "judge" else nil.load_classifier(name)
    return program_of(nil.Target.of(model, device="cpu")).script(name)


def write(app: Any, name: str, text: str) -> None:
    """A file that the pages load."""
    path = Path(app.outdir, "_static", FOLDER, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8", newline="\n")


def _scripts(kinds: Sequence[str]) -> list[str]:
    """The scripts of figures, each after those that it needs."""
    return [name for kind in kinds for name in (*PARTS.get(kind, ()), f"{kind}.js")]


def write_scripts(app: Any) -> None:
    """builder-inited: what is in the package, before any page says that it loads it."""
    for name in (*page.SCRIPTS, *_scripts(KINDS), page.STYLE):
        write(app, name, page.source(name))
    app.live_networks = set()


def add_files(app: Any, pagename: str, _template: str, _context: dict, doctree: Any) -> None:
    """html-page-context: a page with a figure loads the scripts; its networks will be needed."""
    found: Sequence[Live] = [] if doctree is None else list(doctree.findall(Live))
    if not found:
        return
    kinds = sorted({node["kind"] for node in found})
    for name in (*page.SCRIPTS, *_scripts(kinds)):
        app.add_js_file(f"{FOLDER}/{name}", loading_method="defer")
    app.add_css_file(f"{FOLDER}/{page.STYLE}")
    for node in found:
        settings = node["settings"]
        app.live_networks |= {n["name"] for n in settings["networks"]} | {*_others(settings)}


def write_networks(app: Any, exception: Exception | None) -> None:
    """build-finished: the weights of the networks that some page names."""
    if exception is not None or app.builder.format != "html":
        return
    for name in sorted(app.live_networks):
        write(app, f"{name}.js", script(name))


def setup(app: Any) -> dict[str, Any]:
    other = {name: (skip, None) for name in ("latex", "text", "man", "texinfo")}
    app.add_node(Live, html=(visit, depart), **other)
    app.add_directive("live", LiveDirective)
    app.connect("builder-inited", write_scripts)
    app.connect("html-page-context", add_files)
    app.connect("build-finished", write_networks)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": False}
