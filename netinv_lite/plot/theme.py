"""What all figures share: one look, an alternative text, and the words that go into it."""

from __future__ import annotations

import functools
import io
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import matplotlib
from matplotlib.figure import Figure as _Figure
from matplotlib.style import context
from torch import Tensor, nn

from .._core.arrays import one_label_each
from .._core.device import unwrapped
from .._core.validation import names_in

P, R = ParamSpec("P"), TypeVar("R")

# seaborn's "colorblind" palette
PALETTE = (
    *("#0173b2", "#de8f05", "#029e73", "#d55e00", "#cc78bc"),
    *("#ca9161", "#fbafe4", "#949494", "#ece133", "#56b4e9"),
)
RIGHT, WRONG, INK, FAINT = "#0173b2", "#c75000", "#1a1a1a", "#5c5c5c"
PALE, DEEP = "#fde4d0", "#7d3200"  # behind and in the name of what is read wrongly
WIDTH = 5.2  # inches of a full-width figure; 9-point text is then legible on a 390-pixel phone
LOOK = {
    "figure.dpi": 150,
    "savefig.dpi": "figure",
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "axes.facecolor": "white",
    "text.color": INK,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.edgecolor": "#8a8a8a",
    "axes.prop_cycle": matplotlib.cycler(color=PALETTE),
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e8e8e8",
    "font.size": 9.5,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.labelsize": 9.5,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "lines.linewidth": 1.6,
    "legend.frameon": False,
    "image.cmap": "viridis",
}


class Figure(_Figure):
    """A matplotlib Figure with an alternative text, `alt`.

    A notebook cell that ends with it shows it once, and keeps `alt` in the output's metadata; in
    the middle of a cell it is `display(fig)`. In a script, `fig.show()` opens a window or writes a
    temporary file, and `netinv_lite.plot.save(fig, "name.png")` a lasting one. pyplot does not
    know the figure, so nothing has to be closed, and `plt.show()` does not show it.

    Example:
        >>> import netinv_lite as nil
        >>> nil.plot.curve([1, 2, 3], {"loss": [3.0, 2.0, 1.0]})
        <Figure of 5.2 x 3.1 inches: Curves of values over x, 1 to 3: loss from 3 to 1.>
    """

    alt = ""
    CSS_DOTS = 125  # per inch, in a notebook and in a window, whatever the resolution

    def _ipython_display_(self) -> None:
        from IPython.display import Image, display

        width = round(self.get_figwidth() * self.CSS_DOTS)
        display(Image(png(self), width=width, alt=self.alt))

    def show(self, warn: bool = True) -> None:
        """Show the figure: in the notebook, else in a window, else as a file whose path is printed.

        A window needs an interactive matplotlib backend and a screen; a script then waits until it
        is closed.

        Args:
            warn: without effect; it is matplotlib's.
        """
        if _in_notebook():
            self._ipython_display_()
        elif not _shown_in_window(self):
            with tempfile.NamedTemporaryFile(
                "wb", prefix="netinv_lite-", suffix=".png", delete=False
            ) as file:
                file.write(png(self))
            print(
                f"There is no window to show it in; the figure is in {Path(file.name)}. Use "
                'netinv_lite.plot.save(figure, "name.png") for a place of your own.'
            )

    def __repr__(self) -> str:
        width, height = self.get_size_inches()
        return f"<Figure of {width:.1f} x {height:.1f} inches: {self.alt or 'no text yet.'}>"

    __str__ = __repr__


def _in_notebook() -> bool:
    """True in a Jupyter kernel, where the reader's page shows what is displayed."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return getattr(shell, "kernel", None) is not None


def _shown_in_window(fig: Figure) -> bool:
    """Open a pyplot window with the figure as a picture; False where no window can be opened."""
    import matplotlib.pyplot as plt

    try:
        window = plt.figure(figsize=fig.get_size_inches(), dpi=fig.CSS_DOTS, facecolor="white")
    except ImportError:  # the backend that is asked for has no screen here
        return False
    if window.canvas.required_interactive_framework is None:
        plt.close(window)
        return False
    ax = window.add_axes((0, 0, 1, 1))
    ax.imshow(plt.imread(io.BytesIO(png(fig))))
    ax.set_axis_off()
    plt.show()
    return True


def drawn(function: Callable[P, R]) -> Callable[P, R]:
    """Run a drawing function in this module's look whatever the rcParams are; restore them."""

    @functools.wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        with context(["default", {**LOOK, "text.parse_math": False}]):
            return function(*args, **kwargs)

    return wrapper


@drawn
def png(fig: _Figure) -> bytes:
    """The figure as a PNG on white, with `fig.alt` as its Description."""
    buffer = io.BytesIO()
    about = {"Description": fig.alt}
    fig.savefig(buffer, format="png", facecolor="white", metadata=about)
    return buffer.getvalue()


def told(fig: Figure, *sentences: str | None) -> Figure:
    """`fig` with `sentences` as its alternative text."""
    fig.alt = " ".join(s for s in sentences if s)
    return fig


def percent(share: float) -> str:
    """A share in words; 100 % and 0 % are said only of all and of none.

    Args:
        share: in [0, 1].

    Example:
        >>> from netinv_lite.plot.theme import percent
        >>> percent(0.256), percent(0.9999), percent(1)
        ('26 %', '99.9 %', '100 %')
    """
    share = 100 * float(share)
    if share in (0, 100) or 0.5 <= share < 99.5:
        return f"{share:.0f} %"
    return f"{min(max(share, 0.1), 99.9):.1f} %"


def listed(names: Iterable[str]) -> str:
    """The names in one line, the middle left out where they are many."""
    names = list(names)
    return ", ".join(names if len(names) <= 12 else [*names[:3], "…", *names[-2:]])


def labels_of(labels: Any, rows: Tensor) -> Tensor:
    """The labels of rows (N,…) as int64 (N,) on the CPU.

    Raises:
        ValueError: not one whole number a row, or a negative one.
    """
    return one_label_each(labels, len(rows), "image", least=0)


def names_of(classes: Sequence[str] | None, labels: Tensor | None, *models: Any) -> list[str]:
    """Class names: the caller's, a model's (its attribute `classes`), or numbers.

    Args:
        classes: the caller's, or None.
        labels: (N,), each of which needs a name.
        models: networks, or what else may have `classes` or `num_classes`.

    Raises:
        ValueError: a label has no name.
    """
    models = [unwrapped(m) if isinstance(m, nn.Module) else m for m in models]
    K = 0 if labels is None or not len(labels) else int(labels.max()) + 1
    for names in (classes, *(getattr(m, "classes", None) for m in models)):
        if names is not None:
            names = names_in(names)
            if len(names) < K:
                raise ValueError(
                    f"Label {K - 1} has no name: there are {len(names)} classes. Give a name "
                    "for each class, or correct the labels, which count from 0."
                )
            return list(names)
    return [str(k) for k in range(max([K, *(getattr(m, "num_classes", 0) for m in models)]))]


def style() -> None:
    """Give the notebook's own matplotlib figures this module's look (rcParams).

    Example:
        >>> import matplotlib
        >>> import netinv_lite as nil
        >>> with matplotlib.rc_context():
        ...     nil.plot.style()
        ...     matplotlib.rcParams["axes.facecolor"]
        'white'
    """
    matplotlib.rcParams.update(LOOK)
