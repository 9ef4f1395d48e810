"""The one set-up cell that every chapter begins with, and where its address comes from.

The text is kept here and nowhere else; `{url}` is `repository.url` of `_config.yml`. The tests
compare every chapter with it, and `address.py` rewrites it when the address changes.
"""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TAGS = ["setup", "nbval-ignore-output"]

TEMPLATE = """\
try:
    import netinv_lite as nil
except ImportError:  # on Colab: the module and the weights it ships
    %pip install -q git+{url}
    import netinv_lite as nil
import matplotlib.pyplot as plt
import torch

nil.plot.style()
print(nil.about())"""


def chapters(root: Path = ROOT) -> list[Path]:
    """The book's chapters, in order."""
    return sorted((root / "book").glob("[0-9][0-9]-*.ipynb"))


def pages(root: Path = ROOT) -> list[Path]:
    """The chapters, and the page of answers, which has no number."""
    return [*chapters(root), *(root / "book").glob("answers.ipynb")]


def repository_url(root: Path = ROOT) -> str:
    """`repository.url` of `_config.yml`, read without a YAML library (Colab may lack one)."""
    text = (root / "_config.yml").read_text(encoding="utf-8")
    found = re.search(r"^repository:\n(?:[ \t]+.*\n)*?[ \t]+url:[ \t]*(\S+)", text, re.MULTILINE)
    if found is None:
        raise ValueError(f"{root / '_config.yml'} has no repository.url.")
    return found.group(1).strip("\"'")


def setup_cell(root: Path = ROOT) -> str:
    """The set-up cell's source, without a closing newline."""
    return TEMPLATE.format(url=repository_url(root))
