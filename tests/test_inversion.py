"""Inversion on tiny networks: it learns, repeats itself, resumes, and leaves the network alone."""

import random
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

import netinv_lite as nil
from helpers import (
    QUICK,
    SCHEMES,
    K,
    Own,
    assert_same,
    invert,
    raising,
    reader,
    seeded,
    snapshot,
    tiny_cnn,
    tiny_mlp,
)
from netinv_lite._core import checkpoint
from netinv_lite._core.hooks import Tap, batch_statistics
from netinv_lite._core.serialization import read_tensors
from netinv_lite.losses import TERMS, log_odds

# So few steps leave the images of a class alike; the test of the warning itself asks for it.
pytestmark = pytest.mark.filterwarnings("ignore:The generator has collapsed")
LONG = replace(QUICK, steps=60, batch_size=8)  # a checkpoint at step 50, and one at the end
SOFT = torch.tensor([[0.5, 0.5, 0, 0], [0, 0, 0.25, 0.75], [1, 0, 0, 0]])


def mixed():
    """A network in train mode with one part in eval mode and one parameter frozen."""
    model = tiny_cnn().train()
    model.hidden.eval()
    model.head.bias.requires_grad_(False)
    model.convolutions.register_forward_hook(lambda *_: None)  # the caller's own hook
    return model


def result(inversion):
    return {**inversion.generator.state_dict(), "history": inversion.history}


# ---- it learns --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SCHEMES)
def test_five_steps_lower_the_loss(name):
    config = replace(QUICK, steps=6, batch_size=64, dropout=0.0)
    for seed in range(3):
        total = invert(config=config, conditioning=name, seed=seed).history["total"]
        assert total[5] < total[0] - 0.02


@pytest.mark.parametrize("name", SCHEMES)
def test_a_network_that_knows_three_classes_is_inverted(name):
    model = reader()
    inversion = invert(model, replace(QUICK, steps=120, batch_size=32), conditioning=name)
    assert inversion.history["accuracy"][0] < 0.7
    assert inversion.accuracy(300) > 0.95
    images, labels = inversion.sample(20, seed=7)
    assert nil.metrics.inversion_accuracy(model, images, labels) > 0.95


def test_history_is_of_equally_long_lists():
    loss = nil.InversionLoss(margin=0.5, background=1, orthogonality=0)
    history = invert(loss=loss).history
    terms = ["kl", "cross_entropy", "margin", "cosine", "background"]
    assert list(history) == [*terms, "total", "accuracy"]
    assert {len(values) for values in history.values()} == {5}
    for i, total in enumerate(history["total"]):
        parts = {name: history[name][i] * getattr(loss, name) for name in terms}
        assert total == pytest.approx(sum(parts.values()), rel=1e-5)
    assert all(0 <= a <= 1 for a in history["accuracy"])


def test_the_same_seed_gives_the_same_tensors():
    one, two = invert(seed=3), invert(seed=3)
    assert_same(result(one), result(two))
    assert_same(one.sample(2, seed=5), two.sample(2, seed=5))
    other = invert(seed=4)
    assert not torch.equal(one.generator.lift.weight, other.generator.lift.weight)


def test_many_generators_are_the_single_ones_side_by_side(tmp_path):
    many = nil.invert_many(
        tiny_cnn(),
        [0, 5],
        config=QUICK,
        progress=False,
        device="cpu",
        checkpoint=tmp_path / "g.safetensors",
    )
    assert [inversion.seed for inversion in many] == [0, 5]
    for inversion in many:
        assert_same(result(inversion), result(invert(seed=inversion.seed)))
    names = sorted(file.name for file in tmp_path.iterdir())
    assert names == ["g-0.safetensors", "g-5.safetensors"]


def test_a_readers_own_module():
    model = seeded(Own)
    inversion = invert(model, image_shape=(3, 9, 11), num_classes=3, input_range=(0, 1))
    images, labels = inversion.sample(4)
    assert images.shape == (12, 3, 9, 11) and 0 <= images.min() and images.max() <= 1
    assert inversion.num_classes == 3 and labels.max() == 2
    default = invert(model, image_shape=[3, 9, 11])  # nothing said: (0, 1), and K is measured
    assert_same(result(default), result(inversion))


@pytest.mark.parametrize(
    ("cls", "settings"),
    [
        (nil.ViT, dict(patch=4, dim=16, heads=2, depth=1)),
        (nil.MLP, dict(widths=(16,))),
        (nil.ResNet, dict(widths=(4, 8, 8))),
    ],
    ids=["ViT", "MLP", "ResNet"],
)
def test_other_architectures(cls, settings):
    model = seeded(cls, (1, 12, 12), 4, **settings).eval()
    before = snapshot(model)
    inversion = invert(model, replace(QUICK, steps=20, batch_size=32, lr=1e-2))
    total = inversion.history["total"]
    assert sum(total[-3:]) < sum(total[:3])
    assert_same(before, snapshot(model))


def test_features_may_be_named():
    model = seeded(nil.ResNet, (1, 12, 12), 4, widths=(4, 8)).eval()
    by_default, by_name = invert(model), invert(model, features="layers")  # the same tensor
    assert_same(result(by_default), result(by_name))
    deeper = invert(model, features="layers.0")
    assert deeper.history["cosine"][0] != by_default.history["cosine"][0]
    assert deeper.history["kl"][0] == by_default.history["kl"][0]


def test_a_network_without_linear_layers_has_the_input_of_its_last_convolution():
    model = seeded(
        lambda: nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 3, 10), nn.Flatten())
    )
    named = invert(model, image_shape=(1, 12, 12), features="1")
    assert invert(model, image_shape=(1, 12, 12)).history == named.history


def test_a_network_without_any_layer_is_told_to_name_features():
    class Free(nn.Module):
        def __init__(self):
            super().__init__()
            self.w, self.act = nn.Parameter(torch.randn(144, 3)), nn.ReLU()

        def forward(self, x):
            return self.act(x).flatten(1) @ self.w

    with pytest.raises(ValueError, match="no linear layer .* features='...', of: act"):
        invert(Free(), image_shape=(1, 12, 12))
    assert invert(Free(), image_shape=(1, 12, 12), features="act").history["cosine"]


def test_a_network_in_double_precision():
    inversion = invert(tiny_cnn().double())
    assert inversion.sample(2)[0].dtype == torch.float32
    assert 0 <= inversion.accuracy(50) <= 1


# ---- what comes of it -------------------------------------------------------------------------


def test_samples_are_class_major_and_inside_the_range():
    inversion = invert()
    images, labels = inversion.sample(per_class=3, seed=1)
    assert images.shape == (12, 1, 12, 12) and images.device.type == "cpu"
    assert labels.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3] and labels.dtype == torch.int64
    assert -1 <= images.min() and images.max() <= 1
    assert_same(images, inversion.sample(3, seed=1)[0])
    assert not torch.equal(images, inversion.sample(3, seed=2)[0])
    some, labels = inversion.sample(2, classes=[2, 0])
    assert labels.tolist() == [2, 2, 0, 0] and len(some) == 4


def test_images_of_chosen_vectors_and_latents():
    inversion = invert()
    v, z = SOFT, torch.randn(3, 8)
    images = inversion.images(v, z)
    assert images.shape == (3, 1, 12, 12)
    assert_same(images, inversion.images(v, z))
    assert not torch.equal(images, inversion.images(v, -z))
    assert not torch.equal(images, inversion.images(v.roll(1, 0), z))
    assert_same(inversion.images(v, seed=4), inversion.images(v, seed=4))


def test_accuracy_of_a_network_that_always_says_one_class():
    model = tiny_mlp(num_classes=4, shape=(1, 12, 12))
    nn.init.zeros_(model.layers[-1].weight)
    model.layers[-1].bias.data = torch.tensor([0.0, 9, 0, 0])
    loss = nil.InversionLoss(kl=1, background=1)
    inversion = invert(model, loss=loss)
    assert inversion.accuracy(400) == 0.25
    images, labels = inversion.sample(5)
    assert nil.metrics.inversion_accuracy(model, images, labels) == 0.25


def test_soft_targets_of_the_callers():
    model, loss = reader(4), nil.InversionLoss(kl=1, cross_entropy=1, cosine=0)
    config = replace(QUICK, steps=240, batch_size=48)
    inversion = invert(model, config, loss=loss, conditioning=nil.SoftTargets(4, SOFT))
    images, labels = inversion.sample(per_class=10)
    assert len(images) == 30 and labels.tolist() == [0] * 10 + [3] * 10 + [0] * 10
    with torch.no_grad():
        read = model(images).softmax(1).unflatten(0, (3, 10)).mean(1)
    assert (read - SOFT).abs().max() < 0.15
    assert inversion.accuracy(120) > 0.6
    assert_same(inversion.images(SOFT[:1]).shape, torch.Size([1, 1, 8, 8]))


@pytest.mark.parametrize("preset", nil.PRESETS)
def test_presets_are_a_loss_and_a_config(preset):
    loss, config = nil.PRESETS[preset]
    short = replace(config, steps=3, batch_size=16, latent_dim=22, width=8)
    inversion = invert(preset=preset, config=short)
    assert inversion.loss == loss
    weighed = {name for name in TERMS if getattr(loss, name)}
    assert inversion.history.keys() == weighed | {"total", "accuracy"}
    own = invert(preset=preset, config=short, loss=nil.InversionLoss(cosine=5))
    assert own.loss.cosine == 5 and own.config == short


def test_a_preset_brings_its_config(monkeypatch):
    short = replace(QUICK, steps=2, start=0.1)
    monkeypatch.setitem(nil.PRESETS, "readable", (nil.InversionLoss(), short))
    assert nil.invert(tiny_cnn(), preset="readable", progress=False, device="cpu").config is short


@pytest.mark.parametrize(
    "conditioning", [*SCHEMES, nil.SoftTargets(4, SOFT), nil.Vector(4, scale=0.5)], ids=str
)
def test_save_and_load_give_the_same_images(conditioning, tmp_path):
    model = tiny_cnn()
    inversion = invert(model, replace(QUICK, start=0.1), conditioning=conditioning, seed=2)
    inversion.save(tmp_path / "new folder" / "g.safetensors")
    loaded = nil.Inversion.load(tmp_path / "new folder" / "g.safetensors", model, device="cpu")
    assert_same(inversion.sample(4, seed=9), loaded.sample(4, seed=9))
    assert_same(inversion.images(SOFT), loaded.images(SOFT))
    assert inversion.accuracy(40) == loaded.accuracy(40)
    assert_same(result(inversion), result(loaded))
    assert (loaded.loss, loaded.config, loaded.seed) == (inversion.loss, inversion.config, 2)
    assert repr(loaded) == repr(inversion) and "5 of 5 steps" in repr(loaded)


def test_half_of_the_size_gives_nearly_the_same_images(tmp_path):
    model = tiny_cnn()
    inversion = invert(model, replace(QUICK, start=0.1), seed=2)
    whole, half = (inversion.save(tmp_path / f"{h}.safetensors", half=h) for h in (False, True))
    weights = [sum(t.nbytes for t in read_tensors(path)[0].values()) for path in (whole, half)]
    assert weights[1] < 0.6 * weights[0]
    loaded = nil.Inversion.load(half, model, device="cpu")
    (x, _), (nearly, _) = inversion.sample(4, seed=9), loaded.sample(4, seed=9)
    assert x.dtype == nearly.dtype
    assert 0 < (x - nearly).abs().max() < 0.02, "rounded, and no more"


def test_batch_norm_statistics_can_be_asked_for():
    model, config = nil.load_classifier("digits"), replace(QUICK, steps=60, batch_size=64, width=8)
    before, asked = snapshot(model), nil.InversionLoss(batch_norm=1.0)
    runs = [invert(model, config, loss=loss) for loss in (asked, None)]
    assert "batch_norm" in runs[0].history and "batch_norm" not in runs[1].history
    assert_same(before, snapshot(model))
    far = []
    for run in runs:
        with batch_statistics(model) as distances, torch.no_grad():
            model(run.sample(20)[0])
        far.append(torch.stack(distances).mean().item())
    assert far[0] < 0.6 * far[1], "nearer to the statistics for having been asked"
    with Tap(model, model.image_shape, statistics=True) as tap, torch.no_grad():
        for _ in range(2):
            tap(run.sample(1)[0])
            assert len(tap.distances) == len(distances), "of the last pass alone"
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
    with pytest.raises(ValueError, match="batch_norm is for models with batch-norm layers"):
        invert(Own(), image_shape=(3, 8, 8), loss=asked)
    with pytest.raises(ValueError, match="train them one by one"):
        nil.ensemble.invert_together(model, [{"loss": asked}, {"loss": asked, "seed": 1}])


def test_on_step_sees_every_step_and_disturbs_none():
    seen = []

    def watch(step, row, inversion):
        inversion.sample(1)  # a look in between does not count
        inversion.accuracy(8)
        inversion.generator.eval()
        assert row == {name: values[-1] for name, values in inversion.history.items()}
        seen.append(step)

    watched = invert(on_step=watch)
    assert seen == [1, 2, 3, 4, 5]
    assert_same(result(watched), result(invert()))


def test_a_collapse_is_a_warning_with_its_number():
    black = nil.InversionLoss(kl=0, cross_entropy=0, cosine=0, background=1)
    with pytest.warns(UserWarning, match=r"collapsed: .* differ by 0\.0\d+ of the input range"):
        invert(config=replace(QUICK, steps=60, lr=0.05, start=0.0), loss=black)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        invert(reader(), replace(QUICK, steps=60, batch_size=32, lr=1e-2))


# ---- what it leaves alone ---------------------------------------------------------------------


class Halt(Exception):
    pass


@pytest.mark.parametrize("error", [None, Halt, KeyboardInterrupt, FloatingPointError])
@pytest.mark.parametrize("where", ["forward pass", "on_step"])
def test_the_classifier_comes_back_untouched(error, where):
    model = mixed()
    before = snapshot(model)

    def stop(step, *_):
        if error and step == 3 and where == "on_step":
            raise error

    if error is None:
        inversion = invert(model, on_step=stop)
        inversion.accuracy(20)
        inversion.sample(2)
    elif where == "on_step":
        with pytest.raises(error):
            invert(model, on_step=stop)
    else:
        with pytest.raises(error), raising(model.convolutions, error, at=3):
            invert(model, on_step=stop)
    assert_same(before, snapshot(model))


@pytest.mark.parametrize(
    "settings",
    [
        dict(image_shape=(3, 12, 12)),
        dict(num_classes=7),
        dict(features="nowhere"),
        dict(loss=nil.InversionLoss(), conditioning=nil.Label(9)),
        dict(input_range=(1, 0)),
    ],
    ids=str,
)
def test_a_refused_call_leaves_the_classifier_untouched(settings):
    model = mixed()
    before = snapshot(model)
    with pytest.raises(ValueError):
        invert(model, **settings)
    assert_same(before, snapshot(model))


def test_the_global_random_state_is_left_alone(tmp_path):
    def states():
        return torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002

    model, before = mixed(), states()
    inversion = invert(model, checkpoint=tmp_path / "g.safetensors")
    inversion.sample(2, seed=1)
    inversion.images(SOFT, seed=1)
    inversion.accuracy(30)
    inversion.save(tmp_path / "h.safetensors")
    nil.Inversion.load(tmp_path / "h.safetensors", model, device="cpu").sample(1)
    with pytest.raises(Halt), raising(model.convolutions, Halt, at=2):
        invert(model)
    for a, b in zip(before, states(), strict=True):
        assert_same(a, b)


# ---- interrupted and resumed ------------------------------------------------------------------


@pytest.fixture(scope="module")
def uninterrupted():
    return result(invert(config=LONG))


@pytest.mark.parametrize(
    ("where", "stop_at"), [("forward pass", 50), ("on_step", 53), ("forward pass", 59)]
)
def test_resumed_is_uninterrupted_to_the_last_bit(where, stop_at, tmp_path, uninterrupted):
    file, model, steps = tmp_path / "g.safetensors", tiny_cnn(), []

    def stop(step, *_):
        if where == "on_step" and step == stop_at + 1:
            raise KeyboardInterrupt

    with pytest.raises(nil.Interrupted, match=r"of 60; .*g.safetensors resumes it") as stopped:
        if where == "on_step":
            invert(model, LONG, checkpoint=file, on_step=stop)
        else:
            with raising(model.convolutions, KeyboardInterrupt, at=stop_at + 1):
                invert(model, LONG, checkpoint=file)
    done = stop_at + (where == "on_step")
    so_far = stopped.value.inversion
    assert {len(values) for values in so_far.history.values()} == {done}
    assert len(so_far.sample(1)[0]) == 4  # what was computed can be used

    resumed = invert(model, LONG, checkpoint=file, on_step=lambda step, *_: steps.append(step))
    assert steps == list(range(51, 61))
    assert_same(result(resumed), uninterrupted)
    again = invert(model, LONG, checkpoint=file, on_step=lambda *_: pytest.fail("it was finished"))
    assert_same(result(again), uninterrupted)


def test_a_stop_before_the_first_checkpoint_promises_nothing(tmp_path, uninterrupted):
    file, model = tmp_path / "g.safetensors", tiny_cnn()
    with pytest.raises(nil.Interrupted, match="Stopped at step 9 of 60; the generator so far"):
        with raising(model.convolutions, KeyboardInterrupt, at=10):
            invert(model, LONG, checkpoint=file)
    assert not list(tmp_path.iterdir())
    assert_same(result(invert(model, LONG, checkpoint=file)), uninterrupted)


def test_ctrl_c_while_the_checkpoint_is_written_keeps_the_one_before(
    tmp_path, monkeypatch, uninterrupted
):
    file, model, calls, write = tmp_path / "g.safetensors", tiny_cnn(), [], checkpoint.write_tensors

    def interrupted(*args, **kwargs):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return write(*args, **kwargs)

    monkeypatch.setattr(checkpoint, "write_tensors", interrupted)
    with pytest.raises(nil.Interrupted, match="step 60 of 60; .* resumes it"):
        invert(model, LONG, checkpoint=file)
    steps = []
    resumed = invert(model, LONG, checkpoint=file, on_step=lambda step, *_: steps.append(step))
    assert steps[0] == 51
    assert_same(result(resumed), uninterrupted)


@pytest.mark.parametrize(
    ("other", "named"),
    [
        (dict(seed=1), "seed"),
        (dict(config=replace(LONG, lr=1e-3)), "config"),
        (dict(loss=nil.InversionLoss(cosine=2)), "loss"),
        (dict(conditioning="label"), "conditioning"),
        (dict(conditioning=nil.VectorMatrix(4, scale=1.0)), "scale"),
        (dict(conditioning=nil.SoftTargets(4, SOFT)), "targets"),
        (dict(input_range=(-2, 2)), "input_range"),
        (dict(model=tiny_cnn(seed=1)), "classifier"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_checkpoint_of_another_run_is_refused(other, named, tmp_path):
    file = tmp_path / "g.safetensors"
    same = {"model": tiny_cnn(), "config": QUICK, "checkpoint": file}
    invert(**same)
    kept = file.read_bytes()
    with pytest.raises(ValueError, match=rf"another run \(other .*{named}.*remove it or name"):
        invert(**{**same, **other})
    assert file.read_bytes() == kept


def test_a_saved_inversion_is_no_checkpoint(tmp_path):
    file = tmp_path / "g.safetensors"
    invert().save(file)
    with pytest.raises(ValueError, match="another run"):
        invert(checkpoint=file)


def test_other_soft_targets_are_another_run(tmp_path):
    file = tmp_path / "g.safetensors"
    invert(conditioning=nil.SoftTargets(4, SOFT), checkpoint=file)
    with pytest.raises(ValueError, match="other targets"):
        invert(conditioning=nil.SoftTargets(4, SOFT.roll(1, 0)), checkpoint=file)


def test_the_surest_of_many_are_kept_in_the_order_they_were_drawn():
    inversion = invert(tiny_cnn(), replace(QUICK, steps=30))
    many, k_many = inversion.sample(12, seed=3)
    few, k = inversion.sample(4, seed=3, choose_from=3)
    assert k.tolist() == [c for c in range(K) for _ in range(4)]
    odds = log_odds(nil.metrics.logits(inversion.classifier, many), k_many).view(K, 12)
    for c in range(K):
        best = odds[c].topk(4).indices.sort().values
        assert torch.allclose(few[k == c], many[k_many == c][best])
    one = inversion.sample(4, seed=3, choose_from=1)[0]
    assert torch.equal(one, inversion.sample(4, seed=3)[0])
    with pytest.raises(ValueError, match="choose_from=0: a whole number of at least 1"):
        inversion.sample(4, choose_from=0)


def test_soft_targets_have_no_class_to_choose_by():
    halves = nil.SoftTargets(K, torch.tensor([[0.5, 0.5, 0.0, 0.0]]))
    with pytest.raises(ValueError, match="no class to choose by"):
        invert(tiny_cnn(), QUICK, conditioning=halves).sample(2, choose_from=2)


@pytest.mark.parametrize("preset", ["paper", "typical"])
def test_sixteen_bits_are_asked_for_and_come_near(preset):
    whole, half = (
        invert(preset=preset, config=replace(QUICK, latent_dim=64, bfloat16=sixteen))
        for sixteen in (False, True)
    )
    assert half.history["total"] != whole.history["total"]
    assert half.history["total"] == pytest.approx(whole.history["total"], rel=0.05, abs=0.05)
    assert half.sample(2)[0].dtype == torch.float32
    assert next(half.generator.parameters()).dtype == torch.float32
