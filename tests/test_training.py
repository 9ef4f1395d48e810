"""Training: it learns, resumes to the last bit, attacks inside its ball, refuses what is wrong."""

import random
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

import netinv_lite as nil
from helpers import assert_same, quadrants, raising, seeded, snapshot, tiny_cnn, tiny_mlp
from netinv_lite.models.training import FitConfig, accuracy, augment, fit, one_cycle, pgd

DATA = quadrants()
BRIEF = FitConfig(epochs=4, batch_size=16, lr=0.05)


def cnn(seed=0):
    """Batch normalisation, dropout and weights in channels-last order, as the shipped ones."""
    return tiny_cnn(3, (1, 8, 8), seed=seed).to(memory_format=torch.channels_last)


def run(model, config=BRIEF, data=DATA, **settings):
    return fit(model, data, config=config, progress=False, **settings)


@pytest.mark.parametrize("make", [cnn, tiny_mlp])
def test_fit_lowers_the_loss_and_learns(make):
    model = make()
    before = accuracy(model, DATA.x_test, DATA.y_test)
    history = run(model, replace(BRIEF, epochs=10))
    assert len(history["loss"]) == len(history["accuracy"]) == 10
    assert history["loss"][-1] < 0.8 * history["loss"][0]
    assert accuracy(model, DATA.x_test, DATA.y_test) > before + 0.2
    assert not model.training and model.input_range == (-1, 1)


def test_in_sixteen_bits_it_learns_too_and_its_weights_stay_in_thirty_two():
    model, other = cnn(), cnn()
    history = run(model, replace(BRIEF, epochs=10, bfloat16=True))
    assert history != run(other, replace(BRIEF, epochs=10))
    assert accuracy(model, DATA.x_test, DATA.y_test) > 0.9
    assert all(p.dtype == torch.float32 for p in model.parameters())


def test_the_same_seed_gives_the_same_weights():
    models = [cnn() for _ in range(3)]
    histories = [run(m, seed=s) for m, s in zip(models, (1, 1, 2), strict=True)]
    assert_same(models[0].state_dict(), models[1].state_dict())
    assert histories[0] == histories[1] != histories[2]
    in_train_mode = cnn().train()  # the checks before the first step leave nothing behind
    run(in_train_mode, seed=1)
    assert_same(in_train_mode.state_dict(), models[0].state_dict())


def test_the_global_random_state_is_left_alone():
    def states():
        return torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002

    model, before = cnn().train(), states()
    run(model, replace(BRIEF, epochs=1, shift=1, eps=0.5))
    accuracy(model, DATA.x_test, DATA.y_test, eps=1.0, steps=2)
    assert_same(before, states())


@pytest.mark.parametrize(
    "config", [replace(BRIEF, shift=1, rotate=10, flip=True), replace(BRIEF, epochs=3, eps=0.5)]
)
@pytest.mark.parametrize("stop_at", [4, 8])  # in the second epoch, and in the third
def test_resumed_is_uninterrupted_to_the_last_bit(config, stop_at, tmp_path):
    whole, model, file = cnn(), cnn(), tmp_path / "runs" / "c.safetensors"
    history = run(whole, config)
    at = 1 + stop_at * (3 if config.eps else 1)  # an attack reads the batch twice more
    with pytest.raises(KeyboardInterrupt), raising(model, KeyboardInterrupt, at=at):
        run(model, config, checkpoint=file)
    fresh = cnn(seed=5)  # another process, other first weights
    assert run(fresh, config, checkpoint=file) == history
    assert_same(fresh.state_dict(), whole.state_dict())
    finished = cnn(seed=6)
    assert run(finished, config, checkpoint=file) == history
    assert_same(finished.state_dict(), whole.state_dict())
    assert [p.name for p in file.parent.iterdir()] == ["c.safetensors"]


def test_an_interrupted_run_goes_on_and_does_not_start_again(tmp_path):
    model, file = cnn(), tmp_path / "c.safetensors"
    with pytest.raises(KeyboardInterrupt), raising(model, KeyboardInterrupt, at=8):
        run(model, checkpoint=file)
    calls = []
    fresh = cnn()
    fresh.register_forward_pre_hook(lambda _m, inputs: calls.append(len(inputs[0])))
    run(fresh, checkpoint=file)
    assert calls.count(16) == 3 * 2  # two of the four epochs were there; three batches each


def test_a_network_with_tied_and_with_frozen_weights_resumes(tmp_path):
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Linear(64, 64), nn.Linear(64, 64)
            self.second.weight = self.first.weight
            self.second.bias.requires_grad_(False)
            self.head = nn.Linear(64, 3)

        def forward(self, x):
            return self.head(self.second(self.first(x.flatten(1)).relu()).relu())

    whole, model, file = seeded(Tied), seeded(Tied), tmp_path / "c.safetensors"
    frozen_bias = whole.second.bias.clone()
    history = run(whole)
    with pytest.raises(KeyboardInterrupt), raising(model, KeyboardInterrupt, at=5):
        run(model, checkpoint=file)
    resumed = seeded(Tied)
    assert run(resumed, checkpoint=file) == history
    assert_same(resumed.state_dict(), whole.state_dict())
    assert torch.equal(whole.second.bias, frozen_bias)


# ---- attacks ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained():
    model = cnn()
    run(model, replace(BRIEF, epochs=8))
    return model.requires_grad_(False)


@pytest.mark.parametrize("eps", [0.5, 3.0])
@pytest.mark.parametrize("steps", [1, 5])
def test_an_attack_stays_in_its_ball_and_in_the_range(trained, eps, steps):
    x, y = DATA.x_test, DATA.y_test
    attacked = pgd(trained, x, y, eps=eps, steps=steps, input_range=(-1, 1))
    assert attacked.min() >= -1 and attacked.max() <= 1 and not attacked.requires_grad
    distance = (attacked - x).flatten(1).norm(dim=1)
    assert distance.max() <= eps + 1e-4 and distance.min() > eps / 10
    cross_entropy = nn.functional.cross_entropy
    assert cross_entropy(trained(attacked), y) > cross_entropy(trained(x), y)


def test_an_attack_lowers_accuracy_and_adversarial_training_resists(trained):
    x, y = DATA.x_test, DATA.y_test
    plain = accuracy(trained, x, y)
    attacked = accuracy(trained, x, y, eps=2.0)
    assert attacked < plain - 0.3
    assert accuracy(trained, x, y, eps=2.0) == attacked  # the attack is seeded
    robust = cnn()
    run(robust, replace(BRIEF, epochs=8, eps=2.0, attack_steps=2))
    assert accuracy(robust, x, y, eps=2.0) > attacked + 0.1


@pytest.mark.parametrize("eps", [0, 0.5])
def test_accuracy_leaves_the_network_as_it_was(eps):
    model = cnn().train()
    model.hidden.eval()
    model.head.bias.requires_grad_(False)
    before = snapshot(model)
    value = accuracy(model, DATA.x_test, DATA.y_test, eps=eps, steps=2)
    assert 0 <= value <= 1
    assert_same(before, snapshot(model))
    with pytest.raises(ValueError, match=r"does not accept images of shape \(1, 8, 1\)"):
        accuracy(model, DATA.x_test[..., :1], DATA.y_test)
    assert_same(before, snapshot(model))


def test_accuracy_counts_in_closed_form():
    model = tiny_mlp(3)
    nn.init.zeros_(model.layers[-1].weight)
    model.layers[-1].bias.data = torch.tensor([0.0, 0, 1])
    x = torch.rand(600, 1, 8, 8)  # more than two batches
    assert accuracy(model, x, torch.full((600,), 2)) == 1
    assert accuracy(model, x, torch.arange(600) % 3) == pytest.approx(1 / 3)


# ---- augmentation and schedule ----------------------------------------------------------------


def test_a_shift_moves_by_whole_pixels_and_a_flip_mirrors():
    x = torch.zeros(200, 1, 9, 9)
    x[:, :, 4, 4] = 1
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        moved = augment(x, FitConfig(shift=2))
        mirrored = augment(torch.arange(9.0).expand(200, 1, 9, 9), FitConfig(flip=True))
    brightest = moved.flatten(1).amax(1)
    assert torch.allclose(brightest, torch.ones(200), atol=1e-4)  # nothing is blurred
    places = moved.flatten(1).argmax(1)
    rows, columns = places // 9 - 4, places % 9 - 4
    assert set(rows.tolist()) == set(columns.tolist()) == {-2, -1, 0, 1, 2}
    ways = {tuple(image[0, 0].round().tolist()) for image in mirrored}
    assert ways == {tuple(map(float, range(9))), tuple(map(float, range(8, -1, -1)))}
    assert augment(x, FitConfig()) is x


def test_rotation_and_zoom_stay_within_what_was_asked():
    x = torch.zeros(100, 1, 33, 33)
    x[:, :, 16, 26] = 1  # ten pixels right of the centre
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        turned = augment(x, FitConfig(rotate=30))
    place = turned.flatten(1).argmax(1)
    dy, dx = (place // 33 - 16).double(), (place % 33 - 16).double()
    angle = torch.atan2(dy, dx).rad2deg()
    assert angle.abs().max() < 34 and angle.max() > 20 and angle.min() < -20
    assert ((dx**2 + dy**2).sqrt() - 10).abs().max() < 1.5


def testone_cycle_rises_and_falls_to_zero():
    assert (one_cycle(0), one_cycle(0.2), one_cycle(1)) == pytest.approx((0, 1, 0))
    values = [one_cycle(i / 100) for i in range(101)]
    assert values[:21] == sorted(values[:21]) and values[20:] == sorted(values[20:], reverse=True)


# ---- bad input --------------------------------------------------------------------------------


def replaced(**fields):
    return replace(DATA, **fields)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (dict(y_train=DATA.y_train + 1), r"reach from 1 to 3; 3 classes .*Take labels - 1"),
        (dict(y_train=DATA.y_train - 1), r"reach from -1 to 1"),
        (dict(y_train=DATA.y_train[:-1]), "48 images and 47 labels"),
        (dict(x_train=DATA.x_train[:0], y_train=DATA.y_train[:0]), "0 images and 0 labels"),
        (dict(x_train=DATA.x_train / 0), "NaN or infinity"),
        (dict(x_train=DATA.x_train * 127.5), "outside the input range .*rescale"),
        (
            dict(
                x_train=DATA.x_train.expand(-1, 3, -1, -1),
                x_test=DATA.x_test[:0],
                y_test=DATA.y_test[:0],
            ),
            r"images of shape \(3, 8, 8\)",
        ),
        (dict(y_train=DATA.y_train + 1, classes=tuple("abcd")), r"reach from 1 to 3; 3 classes"),
    ],
)
def test_data_that_do_not_fit_are_refused_before_the_first_step(fields, message):
    model = cnn()
    before = snapshot(model)
    with pytest.raises(ValueError, match=message):
        run(model, data=replaced(**fields))
    assert_same(before, snapshot(model))


def test_a_diverging_run_says_to_lower_the_learning_rate():
    with pytest.raises(FloatingPointError, match=r"The loss is (nan|inf) .*lower lr=1e\+30"):
        run(tiny_mlp(), replace(BRIEF, lr=1e30))


def test_nan_in_the_weights_is_named():
    model = tiny_mlp()
    model.layers[4].weight.data[0, 0] = torch.nan
    with pytest.raises(ValueError, match=r"not finite.*layers\.4\.weight"):
        run(model)


def test_a_frozen_network_is_refused():
    with pytest.raises(ValueError, match=r"frozen: call model.requires_grad_\(True\) first"):
        run(cnn().requires_grad_(False))


def test_a_checkpoint_of_another_run_is_refused(tmp_path):
    file = tmp_path / "c.safetensors"
    run(cnn(), replace(BRIEF, epochs=1), checkpoint=file)
    kept = file.read_bytes()
    config = replace(BRIEF, epochs=1)
    for settings in (
        dict(config=BRIEF),
        dict(config=config, seed=1),
        dict(config=config, data=replaced(name="other")),
    ):
        with pytest.raises(ValueError, match="belongs to another run .*remove it or name"):
            run(cnn(), checkpoint=file, **settings)
    with pytest.raises(ValueError, match="holds another network .*remove it or name"):
        run(tiny_mlp(), config, checkpoint=file)
    file.write_bytes(kept[:-50])
    with pytest.raises(ValueError, match="truncated"):
        run(cnn(), config, checkpoint=file)


def test_accuracy_of_nothing_or_of_unequal_lengths_is_refused():
    for x, y in ((DATA.x_test[:0], DATA.y_test[:0]), (DATA.x_test, DATA.y_test[:5])):
        with pytest.raises(ValueError, match="as many of both"):
            accuracy(cnn(), x, y)


@pytest.mark.parametrize(
    "wrong",
    [
        dict(epochs=0),
        dict(batch_size=1),
        dict(lr=0),
        dict(lr=-1),
        dict(lr=float("nan")),
        dict(eps=-1),
        dict(attack_steps=0),
    ],
    ids=str,
)
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(ValueError, match=f"{next(iter(wrong))}="):
        FitConfig(**wrong)


def test_a_last_batch_of_one_image_is_left_out():
    x, y = DATA.x_train[:33], DATA.y_train[:33]
    model = seeded(nil.CNN, (1, 8, 8), 3)  # its last batch normalisation sees one pixel an image
    history = run(model, replace(BRIEF, epochs=1), replaced(x_train=x, y_train=y))
    assert np.isfinite(history["loss"][0])
    assert model.convolutions[0][1].num_batches_tracked == 2
