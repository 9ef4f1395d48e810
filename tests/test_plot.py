"""Figures: what they say, what they leave alone, and that they can be looked at."""

import io
import stat
import warnings

import matplotlib
import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import netinv_lite as nil
from netinv_lite import charts, look, metrics, plot, tiles

pytestmark = pytest.mark.filterwarnings("error")


class Reader(nn.Module):
    """Reads the brightest of the first K pixels; images in [-1, 1]."""

    def __init__(self, K=10, **attributes):
        super().__init__()
        self.num_classes, self.head = K, nn.Linear(K, K, bias=False)
        self.head.weight.data = torch.eye(K)
        for name, value in attributes.items():
            setattr(self, name, value)

    def forward(self, x):
        return self.head(x.flatten(1)[:, : self.num_classes])


def images_read_as(read, C=1, size=16):
    """Noise (N,C,size,size) that `Reader` takes for the classes `read`."""
    x = torch.rand(len(read), C * size * size, generator=torch.Generator().manual_seed(0)) - 1
    x[torch.arange(len(read)), torch.as_tensor(read)] = 0.9
    return x.view(-1, C, size, size)


def class_major(K, n):
    return torch.arange(K).repeat_interleave(n)


def pixels(fig):
    """The figure as a reader gets it, (Y,X,3) uint8; it must be opaque."""
    image = Image.open(io.BytesIO(look.png(fig)))
    rgba = np.asarray(image.convert("RGBA"))
    assert (rgba[..., 3] == 255).all()
    return rgba[..., :3]


def words(fig):
    """All the text in the figure."""
    found = [t.get_text() for t in fig.findobj(matplotlib.text.Text)]
    return " | ".join(t for t in found if t)


k10 = class_major(10, 4)
read = k10.clone()
read[k10 >= 6] = 3  # 24 of 40 as asked
x10 = images_read_as(read)
history = {"kl": [2.0, 1.0, 0.25], "cosine": [0.9, 0.8, 0.7], "accuracy": [0.1, 0.96, 1.0]}
figures = {
    "grid": (lambda: plot.image_grid(x10, k10, judge=Reader(), title="Ascent"), "60 %"),
    "grid of a classifier": (lambda: plot.image_grid(x10, k10, classifier=Reader()), "24 of 40"),
    "plain grid": (lambda: plot.image_grid(x10, k10), "classes 0, 1"),
    "unlabelled grid": (lambda: plot.image_grid(x10[:7]), "7 images"),
    "compare": (
        lambda: plot.compare({"bad": x10, "good": images_read_as(k10)}, k10, judge=Reader()),
        "bad, 60 %; good, 100 %",
    ),
    "generators": (lambda: plot.generators([x10, x10.flip(2)], k10), "2 columns"),
    "judged generators": (
        lambda: plot.generators([x10, images_read_as(k10)], k10, judge=Reader()),
        "60 % to 100 %",
    ),
    "losses": (lambda: plot.losses(history), "passes 95 % at step 2"),
    "one loss": (lambda: plot.losses({"kl": [2.0, 0.25]}), "kl goes from 2 to 0.25"),
    "confusion": (lambda: plot.confusion(Reader(), x10, k10), "60 %"),
    "pca": (lambda: plot.embedding(x10, k10, real=x10[:30] + 0.1, real_labels=k10[:30]), "30 real"),
    "tsne": (lambda: plot.embedding(x10.flatten(1), k10, method="tsne"), "40 generated"),
    "curve": (
        lambda: plot.curve([1, 10], {"a": [0.5, 0.7], "b": [[0, 1.0], [1, 0]]}, log="x"),
        "a from 0.5 to 0.7; b from 0.5 to 0.5",
    ),
}


@pytest.mark.parametrize("name", figures)
def test_a_figure_is_returned_seen_and_told(name):
    import matplotlib.pyplot as plt

    before = dict(matplotlib.rcParams)
    draw, said = figures[name]
    fig = draw()
    assert isinstance(fig, matplotlib.figure.Figure)
    assert said in fig.alt and len(fig.alt) > 15 and fig.alt[-1] == "."
    image = pixels(fig)
    assert 0.01 < (image < 200).any(2).mean() < 0.99 and (image == 255).all(2).any()
    assert (image[0] == 255).all() and (image[-1] == 255).all()
    assert not plt.get_fignums()
    assert dict(matplotlib.rcParams) == before


@pytest.mark.parametrize("name", figures)
def test_no_text_is_cut_off(name):
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    fig = figures[name][0]()
    FigureCanvasAgg(fig).draw()
    width, height = fig.bbox.size
    ticks = set()  # those beyond the limits exist, but are not drawn
    for ax in fig.axes:
        for axis in (ax.xaxis, ax.yaxis):
            ticks.update(axis.get_ticklabels() + axis.get_ticklabels(minor=True))
    for text in set(fig.findobj(matplotlib.text.Text)) - ticks:
        box = text.get_window_extent()
        inside = box.x0 > -1 and box.y0 > -1 and box.x1 < width + 1 and box.y1 < height + 1
        assert inside or not text.get_text() or not text.get_visible(), text.get_text()


def test_the_words_below_a_grid_give_both_shares():
    fig = plot.image_grid(x10, k10, classifier=Reader(), judge=Reader(), title="Ascent")
    text = words(fig)
    assert "The classifier reads 24 of 40 as asked, 60 %." in text
    assert "The judge reads 24 of 40 as asked, 60 %." in text
    assert "✓: read as asked; otherwise what the judge reads." in text
    assert fig.alt.startswith("Ascent. 4 images a row")


def test_marks_say_who_is_read_as_what_without_colour():
    fig = plot.image_grid(x10, k10, judge=Reader(classes=[f"c{i}" for i in range(10)]))
    marks = [t.get_text() for t in fig.axes[0].texts]
    assert marks.count("✓") == 24 and marks.count("c3") == 16 + 1  # and the name of its row
    image = pixels(fig).reshape(-1, 3)
    for colour in (look.RIGHT, look.WRONG):
        frame = np.round(255 * np.array(matplotlib.colors.to_rgb(colour)))
        assert (np.abs(image - frame).max(1) < 3).mean() > 0.01


@pytest.mark.parametrize("C", [1, 3])
@pytest.mark.parametrize(("K", "n", "size"), [(2, 3, 28), (10, 12, 32), (100, 2, 64)])
def test_classes_channels_and_sizes(K, n, size, C):
    k = class_major(K, n)
    x = images_read_as(k.flip(0), C, size)
    fig = plot.image_grid(x, k, judge=Reader(K))
    assert fig.get_figwidth() <= look.WIDTH and pixels(fig).std() > 10
    assert ("20 of 100 classes" in fig.alt) == (K == 100)
    assert ("10 of 12 images of each" in fig.alt) == (n == 12)
    assert pixels(plot.compare({"one": x, "two": x}, k, judge=Reader(K))).std() > 10
    assert pixels(plot.generators([x] * 12, k)).std() > 10
    assert f"{K} conditioned classes" in plot.confusion(Reader(K), x, k).alt
    assert "points in the plane" in plot.embedding(x, k).alt


def test_long_names_get_fewer_columns_or_a_cross():
    names = nil.data.CLASSES["cifar10"]
    k = class_major(10, 8)
    x = images_read_as(k.flip(0), 3)
    fig = plot.image_grid(x, k, judge=Reader(classes=names))
    assert "6 of 8 images of each" in fig.alt and "automobile" in words(fig)
    narrow = plot.compare({c: x for c in "abcd"}, k, judge=Reader(classes=names))
    assert "✗: as another class" in words(narrow)
    assert "✗" not in words(plot.compare({"a": x}, k, judge=Reader(classes=names)))


def test_any_order_and_unequal_classes():
    k = torch.tensor([1, 0, 1, 1, 5])
    fig = plot.image_grid(images_read_as(k), k, judge=Reader())
    assert "classes 0, 1, 5." in fig.alt and "5 of 5 as asked, 100 %" in fig.alt


def test_a_mosaic_holds_the_pixels_themselves():
    x = torch.tensor([[[[-1.0, 1.0], [0.0, -1.0]]]])
    rgb = tiles.to_rgb(x, (-1, 1))
    canvas, _ = tiles.mosaic(rgb, np.array([[0, -1]]))
    assert canvas.shape == (3, 6, 3)
    np.testing.assert_allclose(canvas[:2, :2, 0], [[0, 1], [0.5, 0]])
    assert (canvas[:, 2:] == 1).all() and (canvas[2] == 1).all()


def test_every_array_element_is_a_whole_number_of_dots():
    fig = plot.image_grid(x10, k10, judge=Reader())
    ax = fig.axes[0]
    dots = ax.get_position().width * fig.bbox.width / ax.get_images()[0].get_array().shape[1]
    assert dots == pytest.approx(round(dots), abs=1e-6) and dots >= 1


def test_the_input_range_is_the_callers_or_the_judges():
    x = (x10 + 1) / 2
    unit = plot.image_grid(x, k10, input_range=(0, 1)).axes[0].get_images()[0].get_array()
    same = plot.image_grid(x10, k10).axes[0].get_images()[0].get_array()
    judged = plot.image_grid(x, k10, judge=Reader(input_range=(0, 1)))
    np.testing.assert_allclose(unit, same, atol=1e-6)
    assert judged.axes[0].get_images()[0].get_array().min() == 0 or x.min() > 0


def test_confusion_shows_its_numbers():
    fig = plot.confusion(Reader(), x10, k10, classes=nil.data.CLASSES["cifar10"])
    assert "frog read as cat, 100 %" in fig.alt and "60 % read as asked" in words(fig)
    assert [t.get_text() for t in fig.axes[0].texts].count("100") == 10


def test_a_dark_style_changes_nothing():
    plain = pixels(plot.image_grid(x10, k10, judge=Reader()))
    with matplotlib.style.context("dark_background"):
        dark = pixels(plot.image_grid(x10, k10, judge=Reader()))
        assert (pixels(plot.losses(history)) == 255).all(2).mean() > 0.5
    np.testing.assert_array_equal(plain, dark)


def test_style_sets_only_this_look():
    import seaborn as sns

    assert [c.lower() for c in sns.color_palette("colorblind").as_hex()] == list(look.PALETTE)
    with matplotlib.rc_context():
        before = dict(matplotlib.rcParams)
        plot.style()
        changed = {key for key in before if matplotlib.rcParams[key] != before[key]}
        assert {"figure.facecolor"} | changed <= set(look.LOOK) and "figure.dpi" in changed
        assert matplotlib.rcParams["figure.facecolor"] == "white"


def test_a_cell_shows_the_figure_once_with_its_text(monkeypatch):
    display = pytest.importorskip("IPython.display")
    shown = []
    monkeypatch.setattr(display, "display", shown.append)
    fig = plot.compare({"a": x10, "b": x10}, k10, judge=Reader())
    fig._ipython_display_()
    data, metadata = shown[0]._repr_mimebundle_()
    assert len(shown) == 1 and metadata["image/png"]["alt"] == fig.alt
    assert metadata["image/png"]["width"] == 650 and "image/png" in data


def test_save_writes_the_text_into_the_file(tmp_path):
    fig = plot.image_grid(x10, k10, judge=Reader(), title="ε → ✓")
    path = plot.save(fig, tmp_path / "new folder" / "grid.png")
    with Image.open(path) as image:
        assert image.info["Description"] == fig.alt and image.width > 400
    assert [p.name for p in path.parent.iterdir()] == ["grid.png"]
    assert path.stat().st_mode & stat.S_IRUSR
    with pytest.raises(ValueError, match=r"\.png"):
        plot.save(fig, tmp_path / "grid.pdf")
    fig.alt = ""
    with pytest.raises(ValueError, match=r"fig\.alt"):
        plot.save(fig, tmp_path / "grid.png")
    with pytest.raises(OSError, match="Cannot write"):
        plot.save(plot.losses(history), path / "grid.png")


def test_the_judge_is_left_as_it_was():
    judge = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(256), nn.Linear(256, 10)).train()
    before = {key: t.clone() for key, t in judge.state_dict().items()}
    plot.image_grid(x10, k10, judge=judge)
    plot.confusion(judge, x10, k10)
    assert judge.training and judge[1].training
    assert all(torch.equal(t, before[key]) for key, t in judge.state_dict().items())


def test_many_figures_open_nothing():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(25):
            plot.image_grid(x10[:4])


def test_shares_are_never_rounded_to_all_or_none():
    values = [0, 0.0004, 0.006, 0.374, 0.994, 0.9996, 1]
    expected = ["0 %", "0.1 %", "1 %", "37 %", "99 %", "99.9 %", "100 %"]
    assert [look.percent(v) for v in values] == expected


def test_names_of_close_lines_do_not_touch():
    fig = plot.curve([0, 1], {"a": [0, 0.5], "b": [0, 0.5], "c": [1, 0.501]})
    heights = sorted(t.xy[1] for t in fig.axes[0].texts)
    assert min(np.diff(heights)) > 0.07


def test_alternative_text_of_an_embedding_is_measured():
    f = torch.eye(3).repeat_interleave(5, 0) + 0.01 * metrics.features(Reader(3), x10[:15])
    assert "100 % of the generated lie nearest" in plot.embedding(f, class_major(3, 5)).alt
    assert charts._deep("#ffffff").tolist() == pytest.approx([0.7] * 3)


bad = {
    "N ≥ 1": lambda: plot.image_grid(x10[:0], k10[:0]),
    "N,C,H,W": lambda: plot.image_grid(x10[0]),
    "1 or 3 channels": lambda: plot.image_grid(x10.expand(-1, 2, -1, -1)),
    "input range": lambda: plot.image_grid(255 * x10, k10),
    "NaN": lambda: plot.image_grid(x10 / 0, k10),
    "One integer label": lambda: plot.image_grid(x10, k10[:3]),
    "One integer label ": lambda: plot.image_grid(x10, k10 - 1),
    "has no name": lambda: plot.image_grid(x10, k10, classes=["a", "b"]),
    "Without labels": lambda: plot.image_grid(x10, judge=Reader()),
    "One to six": lambda: plot.compare({}, k10, judge=Reader()),
    "One integer label  ": lambda: plot.compare({"a": x10, "b": x10[:9]}, k10, judge=Reader()),
    "at least one generator": lambda: plot.generators([], k10),
    "equally long": lambda: plot.losses({"kl": [1, 2], "accuracy": [1]}),
    "equally long ": lambda: plot.losses({}),
    "no steps": lambda: plot.losses({"kl": []}),
    "'pca' or 'tsne'": lambda: plot.embedding(x10, k10, method="umap"),
    "belong together": lambda: plot.embedding(x10, k10, real=x10),
    "At least two points": lambda: plot.embedding(x10[:1], k10[:1]),
    "runs, n": lambda: plot.curve([1, 2], {"a": [1, 2, 3]}),
    "fit a network of 3": lambda: plot.confusion(Reader(3), x10, k10),
}


@pytest.mark.parametrize("message", bad)
def test_wrong_input_is_a_clear_error(message):
    with pytest.raises(ValueError, match=message.strip()):
        bad[message]()
