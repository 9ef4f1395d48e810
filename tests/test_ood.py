"""Train, invert, exclude: a detector that knows its data, and the scores it gives."""

from dataclasses import replace

import pytest
import torch
from torch import nn

import netinv_lite as nil
from helpers import assert_same, quadrants, snapshot, tiny_mlp
from netinv_lite.applications import ood
from netinv_lite.applications.ood import (
    GARBAGE,
    Detector,
    ExclusionConfig,
    score,
    train_with_exclusion,
)

SHORT = nil.InversionConfig(steps=3, batch_size=16, width=8, latent_dim=8)
QUICK = ExclusionConfig(epochs=3, settle=0, excluded=24, batch_size=32, lr=0.02, inversion=SHORT)
pytestmark = pytest.mark.filterwarnings("ignore:The generator has collapsed")


def network(n):
    return tiny_mlp(n + 1)


def train(data=None, config=QUICK, **settings):
    data = data or quadrants()
    model = settings.pop("network", network(len(data.classes)))
    return train_with_exclusion(
        data, model, config=config, device="cpu", progress=False, **settings
    )


@pytest.mark.parametrize("garbage", GARBAGE)
def test_it_keeps_its_classes_and_knows_noise(garbage):
    data = quadrants(480)
    outliers = -data.x_train if garbage == "outliers" else None
    config = replace(QUICK, garbage=garbage, epochs=8, lr=0.05)
    detector = train(data, config, outliers=outliers)
    assert (detector.predict(data.x_test) == data.y_test).float().mean() > 0.9
    with torch.random.fork_rng():
        torch.manual_seed(3)
        far = detector.score(ood.noise(60, data))
    assert far.mean() > detector.score(data.x_test).mean() + 0.3


def test_the_scores_are_their_equations():
    p = torch.tensor([[0.7, 0.2, 0.1], [0.05, 0.05, 0.9], [1 / 3, 1 / 3, 1 / 3]])
    logits = p.log()
    assert score(logits, "garbage").tolist() == pytest.approx([0.1, 0.9, 1 / 3])
    assert score(logits, "real").tolist() == pytest.approx([0.3, 0.95, 2 / 3])
    deviation = (p - 1 / 3).square().sum(1) / (2 / 3)  # of the papers: from uniform, by one-hot's
    assert score(logits, "ue").tolist() == pytest.approx((1 - deviation).tolist(), abs=1e-6)
    sure = torch.tensor([[0.0, 0.0, 40.0]])  # surely garbage: the papers' score calls it certain
    assert score(sure, "ue").item() < 1e-6 and score(sure, "garbage").item() > 0.999
    with pytest.raises(ValueError, match="Did you mean 'garbage'"):
        score(sure, "garbge")


def test_what_is_excluded_grows_by_as_many_images_each_epoch(monkeypatch):
    sizes = []
    whole = ood._Exclusion._epoch
    monkeypatch.setattr(
        ood._Exclusion, "_epoch", lambda run: (sizes.append(len(run.garbage)), whole(run))[1]
    )
    data = quadrants()
    first = len(data.x_train) // len(data.classes)
    for garbage in set(GARBAGE) - {"outliers"}:
        sizes.clear()
        train(data, replace(QUICK, garbage=garbage))
        assert sizes == [first, first + 24, first + 48]
    sizes.clear()
    train(data, replace(QUICK, garbage="noise", settle=1))
    assert sizes == [first, first + 24, first + 24], "the last epoch settles"


def test_a_forgetful_network_has_other_weights_and_yours_is_left_alone():
    mine = network(4)
    before = snapshot(mine)
    other = ood.forgetful(mine)
    assert_same(snapshot(mine), before)
    pairs = zip(mine.parameters(), other.parameters(), strict=True)
    assert not any(torch.equal(p, q) for p, q in pairs)


def test_history_says_how_many_of_the_excluded_had_fooled_the_detector(monkeypatch):
    read, whole = [], ood._Exclusion._found

    def found(run):
        images = whole(run)
        read.append((run.detector.predict(images) < run.n).float().mean().item())
        return images

    monkeypatch.setattr(ood._Exclusion, "_found", found)
    detector = train()
    history = detector.history
    assert history["fooled"] == [None, *read] and len(history["loss"]) == QUICK.epochs
    first = history["garbage"][0]
    assert history["garbage"] == [first, first + 24, first + 48]
    settled = train(config=replace(QUICK, garbage="noise", settle=2)).history
    assert settled["fooled"] == [None] * 3 and settled["garbage"] == [first] * 3


def test_after_every_epoch_its_row_of_the_history_is_handed_out():
    seen = []

    def keep(step, row, detector):
        assert not detector.training and len(detector.history["loss"]) == step
        seen.append((step, row))

    detector = train(on_step=keep)
    assert [step for step, _ in seen] == [1, 2, 3]
    for name, values in detector.history.items():
        assert values == [row[name] for _, row in seen]
    assert_same(train().state_dict(), detector.state_dict())


def test_a_stopped_run_goes_on_to_the_same_detector(tmp_path, monkeypatch):
    whole = train(seed=4)
    file, found = tmp_path / "state.safetensors", ood._Exclusion._found

    def stop(run):
        if run.epoch == 2:
            raise KeyboardInterrupt
        return found(run)

    monkeypatch.setattr(ood._Exclusion, "_found", stop)
    with pytest.raises(KeyboardInterrupt):
        train(seed=4, checkpoint=file)
    monkeypatch.undo()
    again = train(seed=4, checkpoint=file)
    assert_same(again.state_dict(), whole.state_dict())
    assert again.history == whole.history
    with pytest.raises(ValueError, match="another run"):
        train(seed=5, checkpoint=file)


def test_saved_and_loaded_it_is_the_same(tmp_path):
    data = quadrants()
    detector = train(data)
    path = detector.save(tmp_path / "detector.safetensors")
    again = Detector.load(path, network(len(data.classes)))
    assert torch.equal(again.score(data.x_test), detector.score(data.x_test))
    assert again.classes == detector.classes and again.input_range == detector.input_range
    assert again.history == detector.history
    with pytest.raises(ValueError, match="another network"):
        Detector.load(path, network(5))
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ValueError):
        Detector.load(path, network(len(data.classes)))


def test_the_default_network_is_saved_and_loaded_without_being_named(tmp_path):
    data = nil.load_data("digits")
    few = replace(data, x_train=data.x_train[:64], y_train=data.y_train[:64])
    detector = train(few, replace(QUICK, epochs=1), network=None)
    again = Detector.load(detector.save(tmp_path / "d.safetensors"))
    assert torch.equal(again.score(few.x_test[:8]), detector.score(few.x_test[:8]))


def test_images_of_another_kind_are_refused_by_name_of_the_shape():
    detector = train()
    for other in (torch.zeros(2, 3, 8, 8), torch.zeros(2, 1, 9, 8)):
        with pytest.raises(ValueError, match=r"shape \(B, 1, 8, 8\) are expected"):
            detector.score(other)
    with pytest.raises(ValueError, match="outside the input range"):
        detector.score(torch.full((2, 1, 8, 8), 7.0))


def test_a_network_that_does_not_fit_is_refused_and_yours_is_left_alone():
    data = quadrants()
    n = len(data.classes)
    with pytest.raises(ValueError, match=f"returns {n} logits; {n + 1} are needed"):
        train(data, network=tiny_mlp(n))
    with pytest.raises(ValueError, match="belong together"):
        train(data, outliers=data.x_test)
    mine = network(n)
    before = snapshot(mine)
    train(data, network=mine)
    assert_same(snapshot(mine), before)


@pytest.mark.parametrize(
    "wrong",
    [
        {"garbage": "noisy"},
        {"epochs": 0},
        {"settle": -1},
        {"excluded": 0},
        {"lr": 0.0},
        {"weight_decay": -1.0},
    ],
)
def test_settings_are_checked(wrong):
    with pytest.raises(ValueError):
        ExclusionConfig(**wrong)


def test_a_loss_that_is_not_finite_says_what_to_do():
    data, n = quadrants(), len(quadrants().x_train)
    for epochs, size in ((3, 32), (1, n)):  # also where it is the last step that goes astray
        config = replace(QUICK, lr=1e30, garbage="noise", epochs=epochs, batch_size=size)
        with pytest.raises(FloatingPointError, match="lower lr"):
            train(data, config)
    assert isinstance(train(), nn.Module)
