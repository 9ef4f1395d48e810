"""Live figures in a notebook: the page of `to_page` in a frame, as the output of a cell."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from torch import nn

from ..inversion import Inversion
from .page import page_of

# The frame takes the height of what is in it, where the notebook lets a frame reach its element.
GROWING = """<script>
addEventListener("DOMContentLoaded", () => {
  const frame = window.frameElement;
  if (!frame) return;
  document.body.style.margin = "0 auto";
  const fit = () => { frame.style.height = document.documentElement.offsetHeight + 8 + "px"; };
  new ResizeObserver(fit).observe(document.documentElement);
});
</script>
</body>"""
FRAME = (
    '<iframe class="netinv-live" title="A live figure" srcdoc="{page}" '
    'style="width: 100%; height: 46rem; border: 0"></iframe>'
)


class Widget:
    """A live figure that a notebook shows as the output of a cell; see `widget`.

    Args:
        page: HTML, whole.

    Example:
        >>> import netinv_lite as nil
        >>> figure = nil.live.Widget("<!doctype html><p>Hello</p>")
        >>> "<iframe" in figure._repr_html_()
        True
    """

    def __init__(self, page: str) -> None:
        self.page = page

    def _repr_html_(self) -> str:
        return FRAME.format(page=escape(self.page.replace("</body>", GROWING)))

    def __repr__(self) -> str:
        return f"Widget(a live figure of {len(self.page) / 1e6:.1f} MB; a notebook shows it)"


def widget(
    classifier: nn.Module | Inversion,
    *,
    judge: nn.Module | None = None,
    classes: Sequence[str] | None = None,
    image_shape: Sequence[int] | None = None,
    input_range: Sequence[float] | None = None,
) -> Widget:
    """Show the figures of `to_page` below a cell of a notebook: end the cell with this call.

    It is the page in a frame (`<iframe srcdoc>`), which Jupyter, Colab and VS Code show without an
    extension, a further package or the kernel; a widget of ipywidgets or anywidget would need a
    package on the server and, in Colab, a script from another host. The notebook stores the
    weights with the output, some 2 MB for a network of this book. Where a notebook is not trusted
    it shows no frame until the cell has run.

    Args:
        classifier: a network, or an inversion of one, as in `to_page`.
        judge: a second network for the same images and classes.
        classes: names of the K classes, as in `to_page`.
        image_shape: (C, H, W), as in `to_page`.
        input_range: (low, high) of the pixels, as in `to_page`.

    Returns:
        What a notebook shows; its attribute `page` is the page as text.

    Raises:
        ValueError: what `to_page` raises.

    Example:
        >>> import netinv_lite as nil
        >>> nil.live.widget(nil.load_classifier("digits"), judge=nil.load_judge("digits"))
        Widget(a live figure of ... MB; a notebook shows it)
    """
    return Widget(
        page_of(
            classifier,
            judge=judge,
            classes=classes,
            image_shape=image_shape,
            input_range=input_range,
            bare=True,
        )
    )
