"""A network as a program for a page: the same numbers as in torch, clear errors, one whole file."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import live_cases
import netinv_lite as nil
from helpers import assert_same, reader, snapshot, tiny_cnn, tiny_mlp
from netinv_lite.live.page import HERE, SCRIPTS, source
from netinv_lite.live.program import program_of, safe


def program(model, **settings):
    return program_of(nil.Target.of(model, device="cpu", **settings))


def nodes(model, **settings):
    return json.loads(program(model, **settings).text)["nodes"]


# ---- the same numbers ---------------------------------------------------------------------------


def run(made, x):
    """The logits (N,K) of a program, in torch: what its nodes mean, in a line each."""
    values = [x]
    for n in json.loads(made.text)["nodes"]:
        a, *rest = (values[i] for i in n["inputs"])
        values.append(OPERATIONS[n["op"]](Tensors(n, made.weights), a, *rest))
        assert list(values[-1].shape[1:]) == n["shape"], n
    return values[-1]


class Tensors(dict):
    """A node whose tensors are read from the weights."""

    def __init__(self, node, weights):
        super().__init__(node)
        self.weights = weights

    def numbers(self, name):
        if name not in self:
            return None
        place, kind = self[name], np.dtype(self[name]["type"])
        data = np.frombuffer(self.weights, kind, place["length"], place["at"])
        return torch.from_numpy(data.astype("float32"))

    def channels(self, name, like):
        return self.numbers(name).view(1, -1, *[1] * (like.ndim - 2))

    def finished(self, out):
        """With the scale of batch norm, which the page puts into the weight, and the bias."""
        if "scale" in self:
            out = out * self.channels("scale", out)
        return out if "bias" not in self else out + self.channels("bias", out)


def convolution(n, x):
    weight = n.numbers("weight").view(n["shape"][0], x.shape[1] // n["groups"], *n["kernel"])
    keys = ("stride", "padding", "dilation", "groups")
    return n.finished(F.conv2d(x, weight, None, **{key: n[key] for key in keys}))


def transposed(n, x):
    weight = n.numbers("weight").view(x.shape[1], n["shape"][0] // n["groups"], *n["kernel"])
    keys = ("stride", "padding", "dilation", "groups")
    settings = {key: n[key] for key in keys}
    small = F.conv_transpose2d(x, weight, None, **settings).shape[2:]
    more = [a - b for a, b in zip(n["shape"][1:], small, strict=True)]
    return n.finished(F.conv_transpose2d(x, weight, None, **settings, output_padding=more))


def interpolated(n, x):
    if n["mode"] == "mean":
        return F.adaptive_avg_pool2d(x, n["shape"][1:])
    corners = None if n["mode"] == "nearest" else n["corners"]
    return F.interpolate(x, n["shape"][1:], mode=n["mode"], align_corners=corners)


def averaged(n, x):
    place = n["kernel"], n["stride"], n["padding"]
    out = F.avg_pool2d(x, *place, count_include_pad=n["outside"])
    if list(out.shape[2:]) == n["shape"][1:]:
        return out
    return F.avg_pool2d(x, *place, ceil_mode=True, count_include_pad=n["outside"])


OPERATIONS = {
    "conv2d": convolution,
    "conv_transpose2d": transposed,
    "linear": lambda n, x: n.finished(x @ n.numbers("weight").view(n["shape"][0], -1).T),
    "affine": lambda n, x: n.channels("scale", x) * x + n.channels("shift", x),
    "leaky_relu": lambda n, x: F.leaky_relu(x, n["slope"]),
    "clamp": lambda n, x: x.clamp(n["low"], n["high"]),
    "sigmoid": lambda n, x: x.sigmoid(),
    "tanh": lambda n, x: x.tanh(),
    "max_pool2d": lambda n, x: F.max_pool2d(x, n["kernel"], n["stride"], n["padding"]),
    "avg_pool2d": averaged,
    "interpolate": interpolated,
    "pixel_shuffle": lambda n, x: F.pixel_shuffle(x, n["factor"]),
    "reshape": lambda n, x: x.reshape(len(x), *n["shape"]),
    "add": lambda n, x, y: x + y,
}


@pytest.mark.parametrize("name", live_cases.SHIPPED)
def test_a_program_of_a_shipped_network_has_its_logits(name):
    model = live_cases.shipped(name)
    x = live_cases.images(model, 8)
    made = program(model)
    with torch.no_grad():
        assert (run(made, x) - model(x)).abs().max() < 1e-3
    affine = [n for n in json.loads(made.text)["nodes"] if n["op"] == "affine"]
    assert not affine, "batch norm is folded into the convolution before it"


def test_layers_written_in_many_ways_have_their_values():
    model = live_cases.zoo()
    x = live_cases.images(model, 8)
    with torch.no_grad():
        assert torch.allclose(run(program(model), x), model(x), atol=1e-4)
    ops = {n["op"] for n in nodes(model)}
    assert ops == {*OPERATIONS}


def test_every_operation_is_one_of_the_script():
    found = re.findall(r"^  (?:function|const) (\w+)", source("layers.js"), re.MULTILINE)
    found += re.findall(r"^  function (\w+)", source("convolutions.js"), re.MULTILINE)
    assert {*OPERATIONS} <= {*found}


class InPlace(nn.Module):
    """What is written into a value is read by whoever reads it later."""

    def __init__(self):
        super().__init__()
        self.a, self.head = nn.Linear(4, 6), nn.Linear(6, 3)

    def forward(self, x):
        h = self.a(x.flatten(1))
        low = F.relu(h, inplace=True)
        h.sub_(0.25)
        return self.head(h + low.mul_(2))


def test_what_is_written_in_place_is_seen_by_later_layers():
    model, x = InPlace().eval(), torch.randn(5, 1, 2, 2).clamp(-1, 1)
    with torch.no_grad():
        expected = model(x)
        made = program(model, image_shape=(1, 2, 2), input_range=(-1, 1))
        assert torch.allclose(run(made, x), expected, atol=1e-2)


def test_a_network_is_left_as_it_was():
    model = tiny_cnn().train()
    before = snapshot(model)
    program(model)
    assert_same(before, snapshot(model))


def test_weights_that_do_not_fit_into_16_bits_keep_32():
    model = reader()
    model[1].weight.data *= 1e6
    (_, linear) = nodes(model)
    assert linear["weight"]["type"] == "float32"
    assert nodes(tiny_mlp())[1]["weight"]["type"] == "float16"


# ---- errors -------------------------------------------------------------------------------------


def of(*layers):
    return nn.Sequential(nn.Flatten(), *layers, nn.Linear(64, 3)).eval()


class Branch(nn.Module):
    def forward(self, x):
        x = x.flatten(1)[:, :3]
        return x if x.sum() > 0 else -x


class Squared(nn.Module):
    def forward(self, x):
        return (x * x).flatten(1)[:, :3]


class Mean(nn.Module):
    def forward(self, x):
        return x.mean(1).flatten(1)[:, :3]


class Stale(nn.Sequential):
    """A view is changed in place, and then what it was a view of is read."""

    def __init__(self):
        super().__init__(nn.Identity(), nn.Flatten(), nn.ReLU(inplace=True), nn.Linear(64, 3))

    def forward(self, x):
        h = x * 2
        view = self[1](h)
        self[2](view)
        return self[3](h.reshape(h.size(0), 64))


class Traced(nn.Module):
    """torch.fx takes `h -= 1` for a new value, and does not see that `view` changes, too."""

    def forward(self, x):
        view = h = x.clone()
        h -= 1
        return view.flatten(1)


UNKNOWN = {
    r"The layer 1 \(GELU\) .*GELU is not among them\. Take another layer": of(nn.GELU()),
    r"The layer 1 \(LayerNorm\)": of(nn.LayerNorm(64)),
    r"The layer 1 \(Softmax\)": of(nn.Softmax(1)),
    r"\(mul\) .*two values meet in it": Squared(),
    r"Branch cannot run in a page": Branch(),
    r"Traced cannot run in a page: .*computes something else": Traced(),
    r"The layer 1.0 \(Linear\) .*not that of one vector": nn.Sequential(
        nn.Identity(), nn.Sequential(nn.Linear(8, 8)), nn.Flatten(), nn.Linear(64, 3)
    ),
    r"The layer 0 \(Conv2d\) .*padding_mode='reflect'": nn.Sequential(
        nn.Conv2d(1, 1, 3, padding=1, padding_mode="reflect"), nn.Flatten(), nn.Linear(64, 3)
    ),
    r"BatchNorm1d.* keeps no running statistics": of(nn.BatchNorm1d(64, track_running_stats=False)),
    r"\(mean\) .*a mean over \(1,\), not over rows and columns": Mean(),
    r"The layer reshape \(reshape\) .*written in place through another view": Stale(),
}


@pytest.mark.parametrize("message", UNKNOWN)
def test_what_a_page_does_not_know_is_one_error_and_no_file(message, tmp_path):
    path = tmp_path / "page.html"
    with pytest.raises(ValueError, match=message):
        nil.to_page(UNKNOWN[message].eval(), path, image_shape=(1, 8, 8))
    assert not path.exists()


def test_names_and_judges_of_other_classes_are_refused(tmp_path):
    path = tmp_path / "page.html"
    with pytest.raises(ValueError, match="classes: 2 names for 3 classes. Give one a class"):
        nil.to_page(reader(), path, classes=("a", "b"))
    with pytest.raises(ValueError, match="The judge knows 4 classes, the classifier 3"):
        nil.to_page(reader(), path, judge=reader(num_classes=4))
    assert not path.exists()


# ---- the page -----------------------------------------------------------------------------------


def test_a_page_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    path = nil.to_page(reader(), tmp_path / "new" / "page.html")
    assert path == tmp_path / "new" / "page.html"
    whole = path.read_text(encoding="utf-8")

    def full(self, text, **_):
        with open(self, "w") as file:
            file.write(text[:100])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OSError, match="nothing was overwritten"):
        nil.to_page(tiny_mlp(), path)
    assert path.read_text(encoding="utf-8") == whole and [*path.parent.iterdir()] == [path]


def test_a_page_asks_for_nothing_and_no_name_is_markup(tmp_path):
    model = live_cases.zoo()
    text = nil.to_page(model, tmp_path / "page.html").read_text(encoding="utf-8")
    assert "http" not in text.replace("http-equiv", "") and "src=" not in text
    assert "<b>" not in text and text.count("</script>") == text.count("<script>")
    assert json.loads(safe(model.classes)) == [*model.classes]


def test_scripts_are_plain_and_safe():
    for path in sorted(HERE.glob("*.js")):
        text = path.read_text(encoding="utf-8")
        for banned in (
            "innerHTML",
            "eval(",
            "document.write",
            "import ",
            "require(",
            "</",
            "http:",
        ):
            assert banned not in text, (path.name, banned)
        assert len(text.splitlines()) < 250 and max(map(len, text.splitlines())) <= 100, path.name
    assert {*SCRIPTS} < {path.name for path in HERE.glob("*.js")}
