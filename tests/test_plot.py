"""Figures: what they say, what they leave alone, and that they can be looked at."""

import io
import re
import stat
import sys
import warnings
from pathlib import Path

import matplotlib
import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import netinv_lite as nil
from netinv_lite import metrics, plot
from netinv_lite._core.validation import range_of
from netinv_lite.plot import charts
from netinv_lite.plot import mosaic as tiles
from netinv_lite.plot import theme as look

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
read[k10 >= 6] = 3  # 24 of 40 as the target class
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
    text = words(fig).replace(" | ", " ")  # lines may break
    assert "The classifier reads 24 of 40 as the target class, 60 %." in text
    assert "The judge reads 24 of 40 as the target class, 60 %." in text
    assert "✓: read as the target class; otherwise the judge's prediction." in text
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
    assert "classes 0, 1, 5." in fig.alt and "5 of 5 as the target class, 100 %" in fig.alt


def test_a_mosaic_holds_the_pixels_themselves():
    x = torch.tensor([[[[-1.0, 1.0], [0.0, -1.0]]]])
    rgb = tiles.to_rgb(x, (-1, 1))
    canvas, pitch = tiles.mosaic(rgb, np.array([[0, -1]]))
    assert pitch == tiles.Pitch(y=3, x=3, height=2, unit=1) and pitch.middle(0, 2) == 2.5
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
    assert "frog read as cat, 100 %" in fig.alt and "60 % read as the target class" in words(fig)
    assert [t.get_text() for t in fig.axes[0].texts].count("100") == 10


def test_a_dark_style_changes_nothing():
    plain = pixels(plot.image_grid(x10, k10, judge=Reader()))
    with matplotlib.style.context("dark_background"):
        dark = pixels(plot.image_grid(x10, k10, judge=Reader()))
        assert (pixels(plot.losses(history)) == 255).all(2).mean() > 0.5
    np.testing.assert_array_equal(plain, dark)


def test_style_sets_only_this_look():
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


def one_logit():
    return nn.Sequential(nn.Flatten(), nn.Linear(256, 1))


bad = {
    "N ≥ 1": lambda: plot.image_grid(x10[:0], k10[:0]),
    "N,C,H,W": lambda: plot.image_grid(x10[0]),
    "16 channels at most": lambda: plot.image_grid(x10.expand(-1, 17, -1, -1)),
    "Signals of 10 channels at most": lambda: plot.image_grid(torch.zeros(2, 11, 1, 9)),
    "one logit": lambda: plot.image_grid(x10, k10, judge=one_logit()),
    "one logit ": lambda: plot.confusion(one_logit(), x10, k10),
    "of one shape": lambda: plot.generators([x10, x10[..., 1:]], k10),
    "different ranges": lambda: plot.image_grid(
        x10, k10, classifier=Reader(input_range=(0, 1)), judge=Reader(input_range=(-1, 1))
    ),
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
    "3 classes are numbered from 0 to 2": lambda: plot.confusion(Reader(3), x10, k10),
}


@pytest.mark.parametrize("message", bad)
def test_wrong_input_is_a_clear_error(message):
    with pytest.raises(ValueError, match=message.strip()):
        bad[message]()


# ---- the range -------------------------------------------------------------------------------


def drawn_pixels(fig):
    """What the figure's tiles hold, in [0,1]."""
    return np.asarray(fig.axes[0].get_images()[0].get_array())


UNIT = (x10 + 1) / 2
RANGES = {
    "grid": lambda x, **given: plot.image_grid(x, k10, **given),
    "unlabelled grid": lambda x, **given: plot.image_grid(x, **given),
    "compare": lambda x, **given: plot.compare({"a": x, "b": x}, k10, judge=Reader(), **given),
    "generators": lambda x, **given: plot.generators([x, x], k10, **given),
}


@pytest.mark.parametrize("name", RANGES)
def test_images_from_0_to_1_are_drawn_from_black_to_white_as_are_those_from_minus_1(name):
    draw = RANGES[name]
    unit, both, wide = draw(UNIT), draw(x10), draw(4 * x10, input_range=(-4, 4))
    np.testing.assert_allclose(drawn_pixels(unit), drawn_pixels(both), atol=1e-6)
    np.testing.assert_allclose(drawn_pixels(wide), drawn_pixels(both), atol=1e-6)
    dark = draw(UNIT / 8 + 0.5, input_range=(0.5, 1))  # nothing above a quarter of the range
    inside = drawn_pixels(dark)
    assert (inside[inside.max(2) < 0.2] >= 0).all() and drawn_pixels(dark).min() < 0.05
    with pytest.raises(ValueError, match=r"neither in \(0, 1\) nor in \(-1, 1\).*input_range="):
        draw(4 * x10)


@pytest.mark.parametrize("wrap", [lambda m: m, torch.nn.DataParallel, torch.compile])
def test_the_range_and_the_names_are_those_of_the_network_inside_a_wrapper(wrap):
    names = tuple("abcdefghij")
    judge = wrap(Reader(input_range=(-1, 3), classes=names))
    x = x10.clamp_min(0)  # looks like (0, 1), and is not
    fig = plot.image_grid(x, k10, judge=judge)
    assert "classes a, b, c" in fig.alt
    black = drawn_pixels(plot.compare({"a": x}, k10, judge=judge))
    inside = black[2:18, 2:18]  # within a frame: 0 is a quarter of the way
    assert 0.24 < np.median(inside) < 0.26


def test_a_judge_of_another_range_sees_the_images_in_its_own():
    class Bright(Reader):  # reads the class of the one pixel in the upper half of its range
        def forward(self, x):
            return super().forward((x > 0).to(x.dtype))

    judge = Bright(input_range=(-1, 1))
    assert "24 of 40" in plot.image_grid(x10, k10, judge=judge).alt
    assert "24 of 40" in plot.image_grid(UNIT, k10, judge=judge, input_range=(0, 1)).alt
    assert "24 of 40" in plot.image_grid(8 * UNIT, k10, judge=judge, input_range=(0, 8)).alt
    told = plot.compare({"a": UNIT}, k10, judge=judge, input_range=(0, 1)).alt
    assert (
        "a, 60 %" in told
        and "60 %" in plot.generators([UNIT], k10, judge=judge, input_range=(0, 1)).alt
    )


def test_one_function_knows_the_range():
    unit, both = torch.tensor([0.0, 1.0]), torch.tensor([-0.5, 1.0])
    far, slack = torch.tensor([0.0, 255.0]), torch.tensor([-1e-4, 1.0001])
    net, other = Reader(input_range=(0, 2)), Reader(input_range=(-3, 3))
    assert range_of(unit) == range_of(slack) == range_of(unit[:0]) == (0, 1)
    assert range_of(both) == (-1, 1) and range_of(far, given=(0, 255)) == (0, 255)
    assert range_of(both, net) == range_of(both, Reader(), net, net) == (0, 2)
    assert range_of(unit, net, other, given=(0, 1)) == (0, 1)
    assert range_of(unit, Reader()) == (0, 1), "a network that says nothing changes nothing"
    with pytest.raises(ValueError, match=r"different ranges, \(0.0, 2.0\) and \(-3.0, 3.0\)"):
        range_of(unit, net, other)
    with pytest.raises(ValueError, match=r"say what their input range is, input_range="):
        range_of(far)
    with pytest.raises(ValueError, match="NaN"):
        range_of(unit / 0)
    for wrong in ((1, 0), (0, 1, 2), (0, float("nan")), (0, float("inf"))):
        with pytest.raises(ValueError, match=r"say \(low, high\), finite and rising"):
            range_of(unit, given=wrong)


class Plain(nn.Module):
    """A network of a user's own, from [0, 1], that says nothing about itself."""

    def __init__(self, K=3):
        super().__init__()
        self.net = nn.Sequential(nn.Conv2d(1, 4, 3, stride=2), nn.ReLU(), nn.Flatten())
        self.head = nn.Linear(4 * 5 * 5, K)

    def forward(self, x):
        return self.head(self.net(x))


@pytest.fixture(scope="module")
def inversion():
    """The README's first line, three steps of it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return nil.invert(
            Plain(),
            image_shape=(1, 12, 12),
            num_classes=3,
            config=SHORT,
            progress=False,
            device="cpu",
        )


SHORT = nil.InversionConfig(steps=3, batch_size=8, width=8, latent_dim=20)


def test_the_readmes_five_lines_draw_black_as_black(inversion):
    images, labels = inversion.sample(per_class=4, seed=1)
    fig = plot.image_grid(images, labels)
    canvas = drawn_pixels(fig)
    x = images[0, 0].numpy()
    tile = canvas[: 2 * 12 : 2, : 2 * 12 : 2, 0]  # small images are enlarged
    np.testing.assert_allclose(tile, x, atol=1e-6)
    np.testing.assert_allclose(drawn_pixels(inversion.plot(4, seed=1)).shape[2], 3)


def test_an_inversion_draws_itself_with_its_range_its_names_and_a_title(inversion):
    fig = inversion.plot(per_class=4, seed=1)
    assert isinstance(fig, look.Figure) and "| Plain, inverted |" in words(fig)
    assert "The classifier reads" in fig.alt and "classes 0, 1, 2." in fig.alt
    images, labels = inversion.sample(4, seed=1)
    same = plot.image_grid(images, labels, classifier=inversion.classifier, input_range=(0, 1))
    np.testing.assert_array_equal(drawn_pixels(fig), drawn_pixels(same))
    judged = inversion.plot(2, judge=Plain(), title="Mine", classes=[2, 0])
    assert judged.alt.startswith("Mine. 2 images a row, the rows being the classes 0, 2.")
    assert "The judge reads" in judged.alt and "of 4 as the target class" in judged.alt


def test_the_range_and_names_of_a_plot_are_the_inversions_not_the_pixels():
    model = Plain()
    model.input_range, model.classes = (-2, 6), ("one", "two", "three")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = nil.invert(model, image_shape=(1, 12, 12), config=SHORT, progress=False)
    fig = found.plot(3)
    x = (found.sample(3)[0] + 2) / 8
    inside = drawn_pixels(fig)[2:26:2, 2:26:2, 0]  # within a frame
    np.testing.assert_allclose(inside[:8, :8], x[0, 0, :8, :8], atol=0.2)
    assert "classes one, two, three." in fig.alt


def test_a_hundred_classes_are_sampled_only_where_they_are_drawn():
    drawn = []

    class Sampler:
        conditioning, num_classes, input_range = nil.Label(100), 100, (-1, 1)
        classifier = Reader(100)

        def sample(self, per_class, *, classes, **settings):
            drawn.extend(classes)
            k = torch.tensor(classes).repeat_interleave(per_class)
            return images_read_as(k), k

    fig = plot.gallery(Sampler(), 2)
    assert len(drawn) == 20 and drawn[0] == 0 and drawn[-1] == 99 and "40 of 40" in fig.alt
    assert fig.alt.startswith("Reader, inverted: 20 of 100 classes.")


def test_soft_targets_are_rows_that_say_what_was_asked():
    v = torch.tensor([[0.5, 0.5, 0], [0, 0.25, 0.75], [1, 0, 0]])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = nil.invert(
            Plain(),
            image_shape=(1, 12, 12),
            conditioning=nil.SoftTargets(3, v),
            config=SHORT,
            progress=False,
        )
    fig = found.plot(4, judge=Plain())
    assert "asking for 50 % 0 and 50 % 1, 75 % 2 and 25 % 1, 0." in fig.alt
    assert "4 images a row" in fig.alt and "75 % 2\n25 % 1" in words(fig)
    assert "asking for 75 % 2 and 25 % 1." in found.plot(2, classes=[1]).alt


def test_a_soft_target_is_met_by_any_class_that_it_asks_for_most():
    v = torch.tensor([[0.5, 0.5, 0], [0, 0.25, 0.75]]).repeat_interleave(2, 0)
    x = images_read_as([0, 1, 1, 2])  # the third is read as the smaller share
    fig = plot.image_grid(x, v, judge=Reader(3))
    assert "The judge reads 3 of 4 as the target class, 75 %." in fig.alt
    both = plot.compare({"a": x, "b": x}, v, judge=Reader(3))
    assert "a, 75 %; b, 75 %" in both.alt and "asking for" in both.alt
    assert "asking for" in plot.generators([x, x], v, judge=Reader(3)).alt
    for wrong, said in ((v[:3], "one an image"), (2 * v, "sum to 1")):
        with pytest.raises(ValueError, match=said):
            plot.image_grid(x, wrong)
    with pytest.raises(ValueError, match="3 classes do not fit a network of 4"):
        plot.image_grid(x, v, judge=Reader(4))


# ---- images that are none --------------------------------------------------------------------


@pytest.mark.parametrize("C", [2, 4, 5, 16])
def test_other_channels_stand_side_by_side(C):
    x = torch.rand(2, C, 5, 6)
    x = torch.stack([channel + 10 * c for c, channel in enumerate(x.unbind(1))], 1) / (10 * C)
    apart = tiles.to_rgb(x, (0, 1))[0, :, :, 0]
    across = int(np.ceil(np.sqrt(C)))
    for c in range(C):
        i, j = divmod(c, across)
        panel = apart[6 * i : 6 * i + 5, 7 * j : 7 * j + 6]
        np.testing.assert_allclose(panel, x[0, c], atol=1e-6)
    assert apart.shape == (6 * -(-C // across) - 1, 7 * across - 1)
    k = class_major(2, 3)
    x = images_read_as(k, C)
    fig = plot.image_grid(x, k, judge=Reader(2))
    assert f"A tile holds the {C} channels of an image" in words(fig)
    assert "6 of 6 as the target class" in fig.alt and pixels(fig).std() > 10


@pytest.mark.parametrize("shape", [(1, 1, 128), (1, 128, 1), (2, 1, 128), (1, 1, 9), (3, 1, 5000)])
def test_a_signal_is_a_line(shape):
    C, L = shape[0], max(shape)
    level = torch.linspace(-0.5, 0.5, L).expand(4, C, L)
    rising, falling = (tiles.to_rgb((s * level).reshape(4, *shape), (-1, 1))[0] for s in (1, -1))
    H, W = rising.shape[:2]
    np.testing.assert_allclose(rising[:, ::-1], falling, atol=0.35)
    dark = rising.min(2)
    rows = dark.argmin(0) / (H - 1)  # where the line is, from the top
    np.testing.assert_allclose(rows, np.linspace(0.75, 0.25, W), atol=0.05)
    k = class_major(2, 2)
    x = images_read_as(k, C, 64).flatten(1)[:, : C * L].clone()
    x[:, :2] = -1
    x[torch.arange(4), k] = 0.9
    x = torch.nn.functional.pad(x, (0, C * L - x.shape[1])).reshape(4, *shape)
    fig = plot.image_grid(x, k, judge=Reader(2))
    assert "A signal is drawn as a line" in words(fig) and "4 of 4 as the target class" in fig.alt
    assert ("channels in a colour each" in fig.alt) == (C > 1)


def test_a_single_peak_of_a_long_signal_is_seen():
    x = torch.full((1, 1, 1, 16_000), -1.0)
    x[..., 7_000] = 1
    line = tiles.to_rgb(x, (-1, 1))[0]
    assert line[:5].min() < 0.8 and line[len(line) // 2].min() < 0.8


@pytest.mark.parametrize("judged", [True, False])
@pytest.mark.parametrize("size", [(224, 224), (20, 100), (100, 20), (3, 3), (1, 1)], ids=str)
def test_galleries_of_any_size_can_be_read(size, judged):
    k = class_major(3, 6)
    x = torch.rand(18, 1, *size, generator=torch.Generator().manual_seed(0))
    judge = Reader(3) if judged and size != (1, 1) else None
    fig = plot.image_grid(x, k, judge=judge)
    assert fig.get_figwidth() <= look.WIDTH and pixels(fig).std() > 5
    for text in fig.axes[0].texts:
        assert text.get_size() >= 5.5
    if judge is not None:  # the image, not its frame, is what one sees
        assert pixels(plot.compare({"a": x, "b": x}, k, judge=judge)).std() > 5


def test_long_names_leave_room_for_the_tiles():
    names = ["great white shark, white shark, man-eater, man-eating shark, Carcharodon", "tench"]
    fig = plot.image_grid(images_read_as(class_major(2, 3)), class_major(2, 3), classes=names)
    assert "great white shark, whit…" in words(fig) and names[0] in fig.alt
    left = fig.axes[0].get_position().x0 * fig.get_figwidth()
    assert left < 0.5 * look.WIDTH


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_judges_of_every_type_read_what_they_read_in_single_precision(dtype):
    k = class_major(3, 4)
    x = images_read_as([0, 1, 2, 0] * 3)
    expected = plot.image_grid(x, k, judge=Reader(3))
    assert plot.image_grid(x, k, judge=Reader(3).to(dtype)).alt == expected.alt
    assert plot.image_grid(x.to(dtype), k, judge=Reader(3)).alt == expected.alt
    assert plot.confusion(Reader(3).to(dtype), x, k).alt == plot.confusion(Reader(3), x, k).alt


def test_a_compiled_judge_reads_as_the_plain_one():
    judge = torch.compile(Reader(10, input_range=(-1, 1)), backend="eager")
    assert plot.image_grid(x10, k10, judge=judge).alt == figures["grid"][0]().alt[8:]
    assert "60 %" in plot.confusion(judge, x10, k10).alt
    assert "60 %" in plot.generators([x10], k10, judge=judge).alt


# ---- what a reader has in hand ---------------------------------------------------------------


def test_without_a_window_a_figure_is_written_and_its_place_told(capsys):
    import matplotlib.pyplot as plt

    fig = plot.image_grid(x10, k10)
    fig.show()
    said = capsys.readouterr().out
    path = Path(re.search(r"the figure is in (\S+\.png)\.", said)[1])
    try:
        with Image.open(path) as image:
            assert image.info["Description"] == fig.alt
    finally:
        path.unlink()
    assert "netinv_lite.plot.save(figure" in said and not plt.get_fignums()


def test_with_a_window_it_is_shown_in_it(monkeypatch, capsys):
    import matplotlib.pyplot as plt

    shown = []
    canvas = type(plt.figure().canvas)
    plt.close()
    monkeypatch.setattr(canvas, "required_interactive_framework", "a toolkit")
    monkeypatch.setattr(plt, "show", lambda: shown.append(plt.gcf()))
    fig = plot.image_grid(x10, k10)
    fig.show()
    (window,) = shown
    picture = window.axes[0].get_images()[0].get_array()
    np.testing.assert_allclose(picture[..., :3] * 255, pixels(fig), atol=0.6)
    plt.close(window)
    assert not capsys.readouterr().out


def test_in_a_notebook_it_is_displayed(monkeypatch):
    display = pytest.importorskip("IPython.display")
    shown = []
    monkeypatch.setattr(display, "display", shown.append)
    monkeypatch.setattr(look, "_in_notebook", lambda: True)
    plot.image_grid(x10[:4]).show()
    assert len(shown) == 1


def test_a_figure_is_told_in_a_sentence():
    said = repr(plot.image_grid(x10, k10, title="Ascent"))
    assert re.fullmatch(r"<Figure of 3\.\d x \d\.\d inches: Ascent\. 4 images a row, .*\.>", said)
    assert str(look.Figure(figsize=(2, 1))) == "<Figure of 2.0 x 1.0 inches: no text yet.>"


def test_no_figure_needs_seaborn(monkeypatch):
    monkeypatch.setitem(sys.modules, "seaborn", None)
    for draw, said in figures.values():
        assert said in draw().alt


def test_a_heat_map_writes_its_numbers_where_they_can_be_read():
    fig = plot.confusion(Reader(), x10, k10)
    ax = fig.axes[0]
    squares = np.asarray(ax.collections[0].get_array()).reshape(10, 10)
    for text in ax.texts:
        x, y = (int(v) for v in text.get_position())
        assert text.get_text() == f"{100 * squares[y, x]:.0f}"
    assert ax.yaxis_inverted() and ax.get_aspect() == 1
    many = plot.confusion(Reader(30), images_read_as(class_major(30, 2)), class_major(30, 2))
    assert len(many.axes) == 2 and not many.axes[0].texts  # a bar instead
