"""Data, paths and trainings as users bring them: each works, or is refused in one sentence."""

import copy
import importlib.util
import json
import os
import stat
import sys
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import netinv_lite as nil
from helpers import (
    QUICK,
    assert_same,
    invert,
    quadrants,
    raising,
    seeded,
    snapshot,
    tiny_cnn,
    tiny_mlp,
)
from netinv_lite import data as data_module
from netinv_lite.__main__ import main
from netinv_lite._core import serialization as weights
from netinv_lite._core.checkpoint import Checkpoint
from netinv_lite._core.device import unwrapped
from netinv_lite.applications.distillation import DistillConfig, teach
from netinv_lite.applications.ood import Detector, ExclusionConfig, train_with_exclusion
from netinv_lite.applications.ood_scores import Baselines, Pixels
from netinv_lite.direct import latent_search as codes
from netinv_lite.direct.latent_search import searched
from netinv_lite.models.architectures import DCGAN
from netinv_lite.models.external import load_strictly
from netinv_lite.models.gan import GANConfig, fit_gan
from netinv_lite.models.inventory import list_weights
from netinv_lite.models.training import FitConfig, accuracy, fit, pgd
from netinv_lite.models.zoo import load_classifier, save_classifier

DATA = quadrants()
BRIEF = FitConfig(epochs=2, batch_size=16, lr=0.05)
NOISE = ExclusionConfig(garbage="noise", epochs=3, settle=0, excluded=24, batch_size=32, lr=0.02)
FEW = DistillConfig(steps=3, batch_size=8)
SMALL = GANConfig(epochs=2, batch_size=16, average=0.5)
RECORD = {
    "architecture": "MLP",
    "input_range": [0, 1],
    "classes": list("abc"),
    "arguments": {"image_shape": [1, 8, 8], "num_classes": 3, "widths": [16, 8]},
}


def excluding(data=DATA, network=None, config=NOISE, **settings):
    network = tiny_mlp(4) if network is None else network
    return train_with_exclusion(
        data, network, config=config, device="cpu", progress=False, **settings
    )


def fitted(model, data=DATA, config=BRIEF, **settings):
    return fit(model, data, config=config, progress=False, **settings)


def small_gan(seed=0):
    return seeded(DCGAN, latent_dim=4, widths=(4, 4, 4), seed=seed)


def pictures(n=32):
    return torch.rand(n, 1, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1


# ---- labels and images (3, 17) ----------------------------------------------------------------

LABELS = {
    "column": lambda y: y[:, None],
    "whole floats": lambda y: y.float(),
    "a column of doubles": lambda y: y[:, None].double(),
    "int32": lambda y: y.int(),
    "uint8 array": lambda y: y.numpy().astype(np.uint8),
    "array that cannot be written": lambda y: np.broadcast_to(y.numpy()[None], (1, len(y)))[0],
    "list": lambda y: y.tolist(),
    "list of tensors": lambda y: list(y),
}


@pytest.mark.parametrize("form", LABELS)
def test_labels_of_any_form_that_is_clear_are_the_same_labels(form):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data = replace(DATA, y_train=LABELS[form](DATA.y_train), y_test=LABELS[form](DATA.y_test))
    assert data.y_train.dtype == torch.int64 and torch.equal(data.y_train, DATA.y_train)
    model = tiny_cnn(3, (1, 8, 8))
    assert accuracy(model, DATA.x_test, LABELS[form](DATA.y_test)) == accuracy(
        model, DATA.x_test, DATA.y_test
    )


WRONG = {
    "reach from 1 to 3; 3 classes are numbered from 0 to 2. Take labels - 1": lambda y: y + 1,
    "reach from 2 to 4; 3 classes are numbered from 0 to 2. Take labels - 2": lambda y: y + 2,
    "reach from -1 to 1": lambda y: y - 1,
    "whole numbers, the number of a class; these hold 0.5": lambda y: y + 0.5,
    "these hold nan": lambda y: y * float("nan"),
    "take labels.argmax(1)": lambda y: nn.functional.one_hot(y),
    "numpy.unique(names, return_inverse=True)": lambda y: np.array(list("abc"))[y],
    "48 images and 40 labels": lambda y: y[:40],
    "torch.stack([x for x, _ in dataset])": lambda y: TensorDataset(y),
}


@pytest.mark.parametrize("words", WRONG)
def test_labels_that_are_not_clear_are_one_sentence(words):
    with pytest.raises(ValueError) as error:
        replace(DATA, y_train=WRONG[words](DATA.y_train))
    assert words in str(error.value)
    if "[x for" not in words and "48" not in words:
        with pytest.raises(ValueError):
            accuracy(tiny_mlp(), DATA.x_train, WRONG[words](DATA.y_train))


def test_labels_from_one_are_seen_without_names_of_classes_too():
    x, y = DATA.x_train, DATA.y_train
    with pytest.raises(ValueError, match="reach from 1 to 3; .*Take labels - 1, or name all"):
        nil.ImageData(x, y + 1, x, y + 1)
    data = nil.ImageData(x, y, x, y)
    assert data.classes == ("0", "1", "2") and data.input_range == (-1, 1)
    assert nil.ImageData((x + 1) / 2, y, x[:0], y[:0]).input_range == (0, 1)
    with pytest.raises(ValueError, match="neither in"):
        nil.ImageData(255 * x, y, x, y)


def test_a_class_without_images_is_no_class_of_a_detector():
    named = replace(DATA, y_train=DATA.y_train + 1, y_test=DATA.y_test + 1, classes=tuple("_abc"))
    with pytest.raises(ValueError, match="Class 0 of 4 has no image"):
        excluding(named, tiny_mlp(5))


def test_arrays_and_lists_are_images():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        x = np.broadcast_to(DATA.x_train.double().numpy()[::-1][::-1], DATA.x_train.shape)
        data = nil.ImageData(x, DATA.y_train.numpy(), list(DATA.x_test), DATA.y_test.tolist())
    assert torch.equal(data.x_train, DATA.x_train) and torch.equal(data.x_test, DATA.x_test)
    assert data.x_train.dtype == torch.float32
    fitted(tiny_mlp(), data)


@pytest.mark.parametrize(
    ("x", "words"),
    [
        (np.zeros((6, 8, 8)), r"A channel is missing: x\[:, None\]"),
        (np.zeros((6, 28, 28, 3)), r"channels last.*permute\(0, 3, 1, 2\)"),
        (np.array(["a"] * 6), "must be numbers"),
        (TensorDataset(torch.zeros(6, 1, 8, 8)), "not TensorDataset. Stack them"),
        (torch.zeros(6, 1, 8, 8).to(torch.complex64), "complex64"),
    ],
)
def test_what_is_no_image_is_one_sentence(x, words):
    with pytest.raises(ValueError, match=words):
        nil.ImageData(x, [0, 1, 2] * 2, x, [0, 1, 2] * 2)
    with pytest.raises(ValueError, match=words):
        accuracy(tiny_mlp(), x, [0, 1, 2] * 2)
    with pytest.raises(ValueError, match=words):
        Pixels(x)


@pytest.mark.parametrize(
    "call",
    [
        lambda data: fitted(tiny_mlp(), data),
        lambda data: excluding(data),
    ],
    ids=["fit", "ood"],
)
def test_a_loader_in_place_of_data_is_one_sentence(call):
    dataset = TensorDataset(DATA.x_train, DATA.y_train)
    for given in (dataset, DataLoader(dataset), (DATA.x_train, DATA.y_train), None):
        with pytest.raises(ValueError, match=r"an ImageData is needed, not .*ImageData\(x_train"):
            call(given)


def test_other_wrong_sets():
    with pytest.raises(ValueError, match="one shape is needed"):
        replace(DATA, x_test=DATA.x_test[..., :7])
    with pytest.raises(ValueError, match="the names of the classes"):
        replace(DATA, classes=3)
    with pytest.raises(ValueError, match="say .low, high."):
        replace(DATA, input_range=(1, 0))
    with pytest.raises(ValueError, match="outliers of shape"):
        excluding(config=replace(NOISE, garbage="outliers"), outliers=DATA.x_test[0])
    with pytest.raises(ValueError, match="holds no image"):
        excluding(config=replace(NOISE, garbage="outliers"), outliers=DATA.x_test[:0])


class Bare(nn.Module):
    """A head without bias, after a feature layer of 6."""

    def __init__(self, K=3, bias=False):
        super().__init__()
        self.body, self.head = nn.Linear(64, 6), nn.Linear(6, K, bias=bias)
        self.input_range = (-1.0, 1.0)

    def forward(self, x):
        return self.head(torch.relu(self.body(x.view(len(x), -1))))


def test_baselines_of_a_head_without_bias_are_those_of_a_bias_of_zero():
    pytest.importorskip("pytorch_ood")
    data = quadrants(120)
    bare, zero = seeded(Bare), seeded(Bare, bias=True)
    zero.load_state_dict({**bare.state_dict(), "head.bias": torch.zeros(3)})
    assert_same(
        Baselines(bare, data.x_train, data.y_train)(data.x_test),
        Baselines(zero, data.x_train, data.y_train)(data.x_test),
    )


def test_baselines_say_what_they_lack():
    pytest.importorskip("pytorch_ood")
    model, x, y = seeded(Bare), DATA.x_train, DATA.y_train
    with pytest.raises(ValueError, match="48 images: at least 50"):
        Baselines(model, x, y)
    with pytest.raises(ValueError, match="Class 1 of 3 has no image"):
        Baselines(model, torch.cat([x, x]), torch.cat([y, y]) % 2 * 2)
    with pytest.raises(ValueError, match="reach from 1 to 3"):
        Baselines(model, torch.cat([x, x]), torch.cat([y, y]) + 1)
    wider = nn.Sequential(
        nn.Flatten(),
        nn.Linear(64, 6),
        nn.Unflatten(1, (3, 2, 1)),
        nn.Flatten(2),
        nn.AvgPool1d(2),
        nn.Flatten(),
    )
    wider.input_range = (-1.0, 1.0)
    with pytest.raises(ValueError, match="makes 6 numbers, not the 3 logits"):
        Baselines(wider, torch.cat([x, x]), torch.cat([y, y]))


def test_pixels_of_signals_and_of_too_few():
    x = torch.randn(20, 1, 1, 128, generator=torch.Generator().manual_seed(0))
    score = Pixels(x)(x)
    assert score.shape == (20,) and torch.isfinite(score).all()
    steps = x.diff(dim=3).abs().mean((1, 2, 3))
    torch.testing.assert_close(Pixels.numbers(x)[:, 2].float(), steps)
    with pytest.raises(ValueError, match="at least 4"):
        Pixels(x[:3])
    for wrong in (x / 0, torch.rand(5, 1, 1, 1)):
        with pytest.raises(ValueError, match="at least two pixels, all finite"):
            Pixels(wrong)


# ---- no home, and paths (9, 18, 19) -----------------------------------------------------------


@pytest.fixture
def homeless(monkeypatch):
    """As in a container with an unknown user id: no HOME, no entry in the list of users."""

    def unknown(*_):
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", unknown)
    monkeypatch.setattr(os.path, "expanduser", os.fspath)
    monkeypatch.delenv("NETINV_DATA", raising=False)


def test_without_a_home_everything_is_imported_and_works(homeless, tmp_path, monkeypatch):
    name = "netinv_lite._data_again"
    spec = importlib.util.spec_from_file_location(name, data_module.__file__)
    monkeypatch.setitem(sys.modules, name, module := importlib.util.module_from_spec(spec))
    spec.loader.exec_module(module)
    assert len(module.load_data("digits").x_test) == 450
    with pytest.raises(FileNotFoundError, match="no home folder to keep it in.*Three ways out"):
        nil.load_data("mnist")
    with pytest.raises(FileNotFoundError, match="download=False"):
        nil.load_data("mnist", download=False)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="no home folder here that ~"):
        weights.write_json("~/a.json", {})
    assert not list(tmp_path.iterdir())


@pytest.fixture
def home(tmp_path, monkeypatch):
    for variable in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(variable, str(tmp_path / "home"))
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    yield tmp_path / "home"
    assert not list((tmp_path / "work").iterdir()), "a folder named ~"


def test_a_tilde_is_the_home_folder_wherever_a_path_comes_in(home, capsys):
    model = tiny_mlp()
    save_classifier(model, "~/mine.safetensors", RECORD)
    assert {f.name for f in home.iterdir()} == {"mine.safetensors", "mine.json"}
    load_classifier("~/mine.safetensors")
    load_strictly(tiny_mlp(), "~/mine.safetensors")
    assert weights.sha256("~/mine.json") and list_weights(folder="~") == 0
    capsys.readouterr()
    detector = excluding(checkpoint="~/ood.safetensors")
    assert detector.save("~/d.safetensors") == home / "d.safetensors"
    Detector.load("~/d.safetensors", tiny_mlp(4))
    fitted(model, checkpoint="~/fit.safetensors")
    fit_gan(small_gan(), pictures(), config=SMALL, progress=False, checkpoint="~/gan.safetensors")
    names = {"ood.safetensors", "d.safetensors", "fit.safetensors", "gan.safetensors"}
    assert names < {f.name for f in home.iterdir()}


def test_the_command_line_expands_what_a_shell_leaves(home, capsys):
    save_classifier(tiny_mlp(), "~/mine.safetensors", RECORD)
    assert main(["weights", "--folder=~"]) == 0
    quick = ["--steps=1", "--batch-size=2", "--width=4", "--latent-dim=2", "--no-progress"]
    command = ["invert", "~/mine.safetensors", "--out=~/a.png", "--save=~/g.safetensors", *quick]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert main([*command, "--per-class=2"]) == 0, capsys.readouterr().err
    names = {"mine.safetensors", "mine.json", "a.png", "g.safetensors"}
    assert {f.name for f in home.iterdir()} == names


def test_a_name_that_begins_with_a_tilde_stays_a_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert weights.write_json("~nobody-of-this-name.json", {}).exists()
    assert [f.name for f in tmp_path.iterdir()] == ["~nobody-of-this-name.json"]


def test_netinv_data_is_expanded_and_one_that_names_no_folder_is_said(home, monkeypatch):
    (home / "data").mkdir(parents=True)
    x, y = np.zeros((4, 28, 28), np.uint8), np.array([[0], [1], [2], [3]])
    np.savez(home / "data" / "mnist.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    monkeypatch.setenv("NETINV_DATA", "~/data")
    assert nil.load_data("mnist", download=False).y_train.tolist() == [0, 1, 2, 3]
    for wrong in ("~/dta", str(home / "data" / "mnist.npz")):
        monkeypatch.setenv("NETINV_DATA", wrong)
        with pytest.raises(FileNotFoundError, match=f"NETINV_DATA='{wrong}' names no folder"):
            nil.load_data("mnist", download=False)
    assert len(nil.load_data("digits").x_test) == 450, "which needs no folder"


def test_labels_in_a_file_are_checked_like_all_others(tmp_path, monkeypatch):
    x = np.zeros((4, 28, 28), np.uint8)
    y = np.array([0, 1.5, 2, 3])
    np.savez(tmp_path / "mnist.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    monkeypatch.setenv("NETINV_DATA", str(tmp_path))
    with pytest.raises(ValueError, match="cannot be read .*these hold 1.5"):
        nil.load_data("mnist", download=False)


posix = pytest.mark.skipif(os.name != "posix", reason="permissions and links are POSIX's")


@pytest.fixture
def umask():
    old = os.umask(0o027)
    yield 0o640
    os.umask(old)


@posix
def test_files_have_the_permissions_of_the_umask_or_those_they_had(tmp_path, umask):
    def mode(path):
        return stat.S_IMODE(path.stat().st_mode)

    for i, write in enumerate(
        (
            lambda path: weights.write_tensors(path, {"w": torch.ones(2)}),
            lambda path: weights.write_json(path, {"a": 1}),
        )
    ):
        file = write(tmp_path / f"{i}")
        assert mode(file) == umask
        file.chmod(0o600)
        assert mode(write(file)) == 0o600, "as if it had been opened and written"


@posix
def test_a_link_stays_and_its_target_is_written(tmp_path):
    real, link = tmp_path / "store" / "real.safetensors", tmp_path / "link.safetensors"
    link.symlink_to(real)  # which is not there yet
    for value in (1.0, 2.0):
        weights.write_tensors(link, {"w": torch.full((2,), value)})
        assert link.is_symlink() and real.is_file() and not real.is_symlink()
        assert weights.read_tensors(real)[0]["w"][0] == value
    model = tiny_mlp()
    state = tmp_path / "state.safetensors"
    state.symlink_to(tmp_path / "elsewhere.safetensors")
    fitted(model, checkpoint=state)
    assert state.is_symlink() and (tmp_path / "elsewhere.safetensors").is_file()


@posix
def test_what_is_no_file_is_not_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe")  # as any other device, such as /dev/null
    with pytest.raises(OSError, match="no regular file"):
        weights.write_json(tmp_path / "pipe", {})
    assert (tmp_path / "pipe").is_fifo()


def test_a_folder_in_place_of_a_file_is_said(tmp_path):
    for write in (weights.check_writable, lambda path: weights.write_json(path, {})):
        with pytest.raises(OSError, match="it is a folder: name a file in it"):
            write(tmp_path)
    with pytest.raises(FileNotFoundError, match="There is no file .*: name a file in this folder"):
        weights.read_tensors(tmp_path)
    with pytest.raises(FileNotFoundError, match="There is no file .*: check the path"):
        weights.read_tensors(tmp_path / "nothing")


def test_tensors_that_were_read_own_their_memory(tmp_path):
    tensors = {name: torch.rand(64) for name in "abc"} | {"step": torch.tensor(3.0)}
    file = weights.write_tensors(tmp_path / "t.safetensors", tensors)
    read, _ = weights.read_tensors(file)
    for name, t in read.items():
        assert t.untyped_storage().nbytes() == tensors[name].nbytes, name
    maps = Path("/proc/self/maps")
    if maps.exists():
        assert str(file) not in maps.read_text(), "Windows replaces no file that is mapped"


# ---- what a state dict may hold (12) ----------------------------------------------------------


class Counting(nn.Module):
    """An MLP with a state of its own beside its tensors, and a buffer that counts its passes."""

    def __init__(self, K=3, extra=None):
        super().__init__()
        self.net, self.extra = tiny_mlp(K), extra or {"scales": [1.0, 2.5], "name": "mine"}
        self.register_buffer("passes", torch.tensor(0))

    def forward(self, x):
        self.passes += 1
        return self.net(x)

    def get_extra_state(self):
        return self.extra

    def set_extra_state(self, state):
        self.extra = state


@pytest.mark.parametrize("how", ["fit", "ood"])
def test_a_state_that_is_no_tensor_is_kept_and_resumed(how, tmp_path, monkeypatch):
    file = tmp_path / "state.safetensors"

    def train(model, **settings):
        if how == "fit":
            return fitted(model, config=replace(BRIEF, epochs=3), **settings), model
        detector = excluding(network=model, **settings)
        return detector.history, detector.network

    K = 3 if how == "fit" else 4
    wanted, whole = train(Counting(K))
    saved, save = [], Checkpoint.save

    def stopping(self, *args, **about):
        save(self, *args, **about)
        saved.append(1)
        if len(saved) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(Checkpoint, "save", stopping)
    with pytest.raises(nil.Interrupted, match=r"after 2 of 3 epochs; .*state.safetensors resumes"):
        train(Counting(K), checkpoint=file)
    monkeypatch.undo()
    history, again = train(Counting(K, {"scales": [], "name": "other"}), checkpoint=file)
    assert history == wanted and again.extra == {"scales": [1.0, 2.5], "name": "mine"}
    assert_same(again.state_dict(), whole.state_dict())


def test_it_is_saved_and_loaded_everywhere_else(tmp_path):
    data, file = DATA, tmp_path / "x.safetensors"
    detector = Detector(Counting(4).eval(), data.image_shape, data.input_range, data.classes)
    again = Detector.load(detector.save(file), Counting(4, {"scales": [0]}))
    assert again.network.extra == detector.network.extra
    assert torch.equal(again.score(data.x_test), detector.score(data.x_test))
    model = Counting()
    weights.write_tensors(file, model.state_dict())
    twin = Counting(extra={"name": "twin"})
    load_strictly(twin, file)
    assert twin.extra == model.extra
    save_classifier(model, file, RECORD)
    assert weights.read_tensors(file)[0]["_extra_state"] == model.extra
    with pytest.raises(ValueError, match="holds another network"):
        load_classifier(file)
    known = weights.fingerprint(model.state_dict())
    model.extra = {"passes": 7}
    assert weights.fingerprint(model.state_dict()) == known, "the weights are the same"


def test_inversion_and_checkpoint_of_such_a_network(tmp_path):
    model = Counting()
    config = replace(QUICK, steps=2)
    settings = dict(config=config, image_shape=(1, 8, 8), checkpoint=tmp_path / "c.safetensors")
    first = invert(model, **settings)
    assert_same(invert(model, **settings).generator.state_dict(), first.generator.state_dict())


@pytest.mark.parametrize("extra", [{"a": {1, 2}}, {"a": {3: "b"}}, {"a": [torch.ones(2)]}], ids=str)
def test_what_json_cannot_hold_is_refused_before_the_work(extra, tmp_path):
    model, file = Counting(3, extra), tmp_path / "c.safetensors"
    before = snapshot(model.net)
    with pytest.raises(ValueError, match="entry 'model._extra_state' .* holds a .*get_extra_state"):
        fitted(model, checkpoint=file)
    assert_same(snapshot(model.net), before)
    with pytest.raises(ValueError, match="get_extra_state"):
        excluding(network=Counting(4, extra), checkpoint=file)
    with pytest.raises(ValueError, match="get_extra_state"):
        save_classifier(model, file, RECORD)
    assert not file.exists()
    fitted(model)  # without a file nothing has to be saved


@pytest.mark.parametrize(
    ("kind", "t"),
    [
        ("torch.complex128", torch.ones(2, dtype=torch.complex128)),
        ("meta", torch.ones(2).to("meta")),
        ("torch.sparse_coo", torch.ones(2, 2).to_sparse()),
    ],
)
def test_a_tensor_that_the_format_cannot_hold_is_refused_before_the_work(kind, t, tmp_path):
    model = tiny_mlp()
    model.register_buffer("odd", t)
    with pytest.raises(ValueError, match=f"entry 'model.odd' .* tensor of kind {kind}"):
        Checkpoint(tmp_path / "c.safetensors", {}, {"model": model}, {})


def test_a_checkpoint_that_cannot_be_written_is_said_before_the_work(tmp_path):
    (tmp_path / "file").write_text("no folder")
    for place in (tmp_path / "file" / "c.safetensors", tmp_path):
        model = tiny_mlp()
        before = snapshot(model)
        with pytest.raises(OSError, match="Cannot write"):
            fitted(model, checkpoint=place)
        assert_same(snapshot(model), before)


def test_a_checkpoint_of_another_network_changes_nothing(tmp_path):
    file, model = tmp_path / "c.safetensors", Bare()
    fitted(Bare(), checkpoint=file)
    model.head = nn.Linear(6, 4)
    before = snapshot(model)
    with pytest.raises(ValueError, match="holds another network"):
        fitted(model, checkpoint=file)
    assert_same(snapshot(model), before)


@pytest.mark.parametrize("how", ["fit", "ood", "gan"])
def test_a_checkpoint_of_other_images_is_refused(how, tmp_path):
    file, x = tmp_path / "c.safetensors", DATA.x_train

    def train(shift):
        data = replace(DATA, x_train=(x + shift).clamp(-1, 1))
        if how == "fit":
            return fitted(tiny_mlp(), data, checkpoint=file)
        if how == "ood":
            return excluding(data, checkpoint=file)
        images = (pictures() + shift).clamp(-1, 1)
        return fit_gan(small_gan(), images, config=SMALL, progress=False, checkpoint=file)

    train(0.0)
    with pytest.raises(ValueError, match=r"belongs to another run \(other [a-z ]+\); remove"):
        train(0.1)


def test_a_weight_that_float16_cannot_hold_is_kept_as_it_is(tmp_path):
    model = tiny_mlp()
    model.layers[-1].bias.data[0] = 1e6
    save_classifier(model, tmp_path / "m.safetensors", RECORD)
    assert load_classifier(tmp_path / "m.safetensors").layers[-1].bias[0] == 1e6


@pytest.mark.parametrize(
    ("path", "record"),
    [
        ("m.json", RECORD),
        ("m.v2", RECORD),
        ("m.safetensors", {"architecture": "MLP"}),
    ],
)
def test_a_classifier_that_could_not_be_loaded_is_not_saved(path, record, tmp_path):
    with pytest.raises(ValueError, match="must end in .safetensors, and the record name"):
        save_classifier(tiny_mlp(), tmp_path / path, record)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "change",
    [
        {"arguments": {"depth": 3}},
        {"classes": None},
        {"arguments": RECORD["arguments"] | {"widths": [8]}},
    ],
)
def test_a_record_that_describes_another_network_is_one_sentence(change, tmp_path):
    file = tmp_path / "m.safetensors"
    record = save_classifier(tiny_mlp(), file, RECORD)
    file.with_suffix(".json").write_text(json.dumps(record | change))
    with pytest.raises(ValueError, match="describes no network|holds another network"):
        load_classifier(file)


# ---- networks in other forms (6, 7, 8, 14, 20) ------------------------------------------------


class Form(nn.Module):
    """A network whose answer is changed on the way out."""

    def __init__(self, change, K=3):
        super().__init__()
        self.net, self.change = tiny_mlp(K), change
        self.image_shape, self.input_range = (1, 8, 8), (-1.0, 1.0)

    def forward(self, x):
        return self.change(self.net(x))


FORMS = {
    "Wrap it in a module": lambda logits: (logits, logits),
    'return outputs["logits"]': lambda logits: {"logits": logits},
    "returns one logit": lambda logits: logits[:, :1],
}
PLACES = {
    "fit": lambda model: fitted(model),
    "accuracy": lambda model: accuracy(model, DATA.x_test, DATA.y_test),
    "pgd": lambda model: pgd(model, DATA.x_test, DATA.y_test, eps=1, steps=1, input_range=(-1, 1)),
    "ood": lambda model: excluding(network=model),
    "detector": lambda model: Detector(model, (1, 8, 8), (-1, 1), "ab").predict(DATA.x_test),
    "baselines": lambda model: Baselines(model, quadrants(120).x_train, quadrants(120).y_train),
    "student": lambda model: teach(tiny_mlp(), noise, model, config=FEW, progress=False),
    "teacher": lambda model: teach(model, noise, tiny_mlp(), config=FEW, progress=False),
}


def noise(n):
    return torch.rand(n, 1, 8, 8)


@pytest.mark.parametrize("words", FORMS)
@pytest.mark.parametrize("place", PLACES)
def test_an_answer_that_is_no_logits_is_said_everywhere(place, words):
    with pytest.raises(ValueError) as error:
        PLACES[place](Form(FORMS[words], 4))
    assert words in str(error.value)


class Viewing(nn.Module):
    def __init__(self, K=3):
        super().__init__()
        self.fc = nn.Linear(64, K)
        self.input_range = (-1.0, 1.0)

    def forward(self, x):
        return self.fc(x.view(x.size(0), -1))


BROUGHT = {
    "double": lambda K: seeded(Viewing, K).double(),
    "bfloat16": lambda K: seeded(Viewing, K).bfloat16(),
    "compiled": lambda K: torch.compile(seeded(Viewing, K), backend="eager"),
    "parallel": lambda K: nn.DataParallel(seeded(Viewing, K)),
    "plain": lambda K: seeded(Viewing, K),
}


@pytest.mark.parametrize("kind", BROUGHT)
def test_networks_as_users_bring_them_are_trained_and_measured(kind, tmp_path):
    make, last = BROUGHT[kind], replace(DATA, x_train=DATA.x_train.mT, x_test=DATA.x_test.mT)
    model = make(3)
    assert accuracy(model, last.x_test, last.y_test, eps=0.1, steps=1) <= 1
    history = fitted(model, last, replace(BRIEF, epochs=6, lr=0.02), checkpoint=tmp_path / "c")
    assert history["loss"][-1] < history["loss"][0]
    assert accuracy(model, last.x_test, last.y_test) > 0.8 and not model.training
    detector = excluding(last, make(4), checkpoint=tmp_path / "o")
    file = detector.save(tmp_path / "d.safetensors")
    again = Detector.load(file, make(4))
    assert torch.equal(again.score(last.x_test), detector.score(last.x_test))
    student = teach(model, noise, make(3), config=FEW, progress=False)
    assert not student.training
    twin = make(3)
    weights.write_tensors(tmp_path / "w", unwrapped(model).state_dict())
    load_strictly(twin, tmp_path / "w")
    assert accuracy(twin, last.x_test, last.y_test) == accuracy(model, last.x_test, last.y_test)


@pytest.mark.parametrize("kind", BROUGHT)
def test_baselines_of_networks_as_users_bring_them(kind):
    pytest.importorskip("pytorch_ood")
    data = quadrants(400)
    plain = Baselines(BROUGHT["plain"](3), data.x_train, data.y_train)(data.x_test)
    given = Baselines(BROUGHT[kind](3), data.x_train.numpy(), data.y_train.tolist())(data.x_test)
    for name, score in given.items():
        assert torch.corrcoef(torch.stack([score, plain[name]]))[0, 1] > 0.99, name


OFF = {"no_grad": torch.no_grad, "inference": torch.inference_mode}


def everything(mode):
    """All that learns or asks for a slope, run under `mode`, on networks made outside of it."""
    model, student, network, gan = tiny_mlp(), tiny_mlp(seed=2), tiny_mlp(4), small_gan()
    with mode():
        images = pictures()  # in inference mode, a tensor that takes part in no gradient
        history = fitted(model, config=replace(BRIEF, eps=0.3))
        taught = teach(model, noise, student, config=FEW, progress=False)
        detector = excluding(network=network)
        losses = fit_gan(gan, images, config=SMALL, progress=False)
        made = [
            accuracy(model, DATA.x_test.clone(), DATA.y_test, eps=1.0, steps=2),
            searched(gan, images[:2]),
        ]
        torch.manual_seed(0)
        made.append(
            pgd(
                model,
                images[:3, :, :8, :8],
                torch.tensor([0, 1, 2]),
                eps=1,
                steps=2,
                input_range=(-1, 1),
            )
        )
    states = [m.state_dict() for m in (model, taught, detector, gan)]
    return [history, losses, *made, *states]


@pytest.mark.parametrize("off", [torch.no_grad, torch.inference_mode])
def test_gradients_that_are_switched_off_are_switched_on(off, monkeypatch):
    monkeypatch.setattr(codes, "STEPS", 3)
    assert_same(everything(off), everything(torch.enable_grad))


def test_all_of_it_works_where_double_is_the_default(monkeypatch):
    monkeypatch.setattr(codes, "STEPS", 2)
    torch.set_default_dtype(torch.float64)
    try:
        everything(torch.enable_grad)
        fitted(tiny_mlp(), config=replace(BRIEF, shift=1, rotate=5, eps=0.3))
        excluding(config=replace(NOISE, garbage="inverted", inversion=QUICK))
        data = quadrants(120)
        Pixels(data.x_train)(data.x_test)
    finally:
        torch.set_default_dtype(torch.float32)


def test_networks_that_cannot_learn_are_said_before_the_first_step():
    with torch.inference_mode():
        inside, gan = tiny_mlp(), small_gan()
    for call in (lambda: fitted(inside), lambda: fit_gan(gan, pictures(), config=SMALL)):
        with pytest.raises(ValueError, match="was made in torch.inference_mode"):
            call()
    excluding(network=_four_logits_made_in_inference_mode())  # copies learn
    teach(tiny_mlp(), noise, inside, config=FEW, progress=False)
    still = tiny_mlp().requires_grad_(False)
    with pytest.raises(ValueError, match="Every parameter is frozen"):
        teach(tiny_mlp(), noise, still, config=FEW, progress=False)
    deaf = Form(lambda logits: logits.detach(), 4)
    for place in ("fit", "ood", "student"):
        teacher = {"student": lambda: teach(tiny_mlp(4), noise, deaf, config=FEW, progress=False)}
        with pytest.raises(ValueError, match="carry no gradient to its weights"):
            teacher.get(place, lambda place=place: PLACES[place](deaf))()


def _four_logits_made_in_inference_mode():
    with torch.inference_mode():
        return tiny_mlp(4)


@pytest.mark.parametrize(
    "made",
    [
        lambda n: (torch.rand(n, 1, 8, 8), torch.zeros(n)),
        lambda n: torch.rand(n, 64),
        lambda n: torch.rand(n - 1, 1, 8, 8),
        lambda n: torch.zeros(n, 1, 8, 8, dtype=torch.uint8),
    ],
)
def test_a_source_of_something_else_is_said(made):
    with pytest.raises(ValueError, match=r"source\(8\) must return 8 images .*it returned "):
        teach(tiny_mlp(), made, tiny_mlp(), config=FEW, progress=False)


def test_a_gan_of_fewer_images_than_a_batch():
    with pytest.raises(ValueError, match="8 images are less than one batch of batch_size=16"):
        fit_gan(small_gan(), pictures(8), config=SMALL, progress=False)


def test_the_range_of_a_network_is_set_where_it_has_none_and_never_changed():
    model = tiny_mlp()
    assert not hasattr(model, "input_range")
    fitted(model)
    assert model.input_range == (-1, 1)
    model.input_range = (0, 1)
    with pytest.raises(ValueError, match=r"takes images in \(0, 1\).*the data lie in \(-1.0, 1.0"):
        fitted(model)
    assert model.input_range == (0, 1)


# ---- stopped runs -----------------------------------------------------------------------------


def test_what_ctrl_c_stops_is_not_lost(tmp_path):
    model = tiny_mlp()
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(nil.Interrupted, match="after 1 of 2 epochs; the model keeps") as stop:
        with raising(model, KeyboardInterrupt, at=5):
            fitted(model)
    assert stop.value.inversion is model and not model.training
    assert not torch.equal(model.layers[1].weight, before["layers.1.weight"])

    network = tiny_mlp(4)
    network.register_forward_pre_hook(stopping_at(7))
    with pytest.raises(
        nil.Interrupted, match="after [12] of 3 epochs; the detector so far"
    ) as stop:
        excluding(network=network)
    detector = stop.value.inversion
    assert isinstance(detector, Detector) and len(detector.history["loss"]) in (1, 2)
    detector.save(tmp_path / "d.safetensors")

    student = tiny_mlp(seed=3)
    student.register_forward_pre_hook(stopping_at(3))
    with pytest.raises(nil.Interrupted, match="at step 2 of 3; the student so far") as stop:
        teach(tiny_mlp(), noise, student, config=FEW, progress=False)
    assert not stop.value.inversion.training and stop.value.inversion is not student
    assert not torch.equal(stop.value.inversion.layers[1].weight, student.layers[1].weight)

    gan = small_gan()
    gan.discriminator.register_forward_pre_hook(stopping_at(8))
    with pytest.raises(nil.Interrupted, match="after 1 of 2 epochs; the GAN keeps") as stop:
        fit_gan(gan, pictures(), config=SMALL, progress=False)
    assert stop.value.inversion is gan and not gan.training


def stopping_at(n):
    """A hook that stops the n-th pass of more than two images."""
    calls = []

    def hook(_module, inputs):
        calls.extend([1] if len(inputs[0]) > 2 else [])
        if len(calls) == n:
            raise KeyboardInterrupt

    return hook


def test_a_full_disk_leaves_the_last_state_and_the_model(tmp_path, monkeypatch):
    file, model, written = tmp_path / "c.safetensors", tiny_mlp(), []
    save = weights.save_file

    def full(tensors, path, metadata=None):
        written.append(1)
        if len(written) == 2:
            Path(path).write_bytes(b"half")
            raise OSError(28, "No space left on device")
        return save(tensors, path, metadata=metadata)

    monkeypatch.setattr(weights, "save_file", full)
    with pytest.raises(OSError, match="No space left.*nothing was overwritten"):
        fitted(model, checkpoint=file)
    assert not model.training and [f.name for f in tmp_path.iterdir()] == [file.name]
    monkeypatch.undo()
    again, whole = tiny_mlp(seed=4), tiny_mlp()
    assert fitted(again, checkpoint=file) == fitted(whole)
    assert_same(again.state_dict(), whole.state_dict())


# ---- what is shown of a result ----------------------------------------------------------------


def test_a_result_is_a_sentence_and_no_page():
    pytest.importorskip("pytorch_ood")
    data = quadrants(120)
    shown = {
        repr(DATA): "ImageData('quadrants': 48 training and 48 test images of shape (1, 8, 8) "
        "from -1 to 1, 3 classes)",
        repr(excluding()): "Detector(MLP, 3 classes and the garbage, images of shape (1, 8, 8), "
        "scored by 'garbage', 3 epochs)",
        repr(
            Baselines(seeded(Viewing), data.x_train, data.y_train)
        ): "Baselines(Viewing, fitted to 60 images)",
        repr(Pixels(data.x_train)): "Pixels(fitted to 60 images)",
    }
    assert list(shown) == list(shown.values())
