"""What a stored cell holds: its tags, what it printed, its pictures and their description."""

from __future__ import annotations

import base64


def tags(cell) -> set[str]:
    return set(cell.metadata.get("tags", []))


def code_cells(notebook) -> list:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def text_of(cell, stream: str | None = None) -> str:
    """What the cell printed, or with `stream` only what it printed there."""
    texts = []
    for output in cell.outputs:
        if output.output_type == "stream" and stream in (None, output.name):
            texts.append(output.text)
        elif stream is None and output.output_type != "stream":
            data = output.get("data", {})
            texts += [str(value) for kind, value in data.items() if not kind.startswith("image/")]
    return "".join(texts)


def pictures(cell) -> list[bytes]:
    """The PNGs that the cell shows."""
    encoded = [output.get("data", {}).get("image/png") for output in cell.outputs]
    return [base64.b64decode(text) for text in encoded if text]


def description(cell) -> tuple[str, str, str]:
    """Caption, name and alternative text of a figure cell."""
    mystnb = cell.metadata.get("mystnb", {})
    figure, image = mystnb.get("figure", {}), mystnb.get("image", {})
    return figure.get("caption", ""), figure.get("name", ""), image.get("alt", "").strip()
