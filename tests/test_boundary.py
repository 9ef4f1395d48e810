"""Looking into a network leaves it as it was; features are what they are said to be."""

import pytest
import torch
from torch import nn

import netinv_lite as nil
from helpers import Own, assert_same, seeded, snapshot, tiny_cnn
from netinv_lite._core.device import device_of, on_device, pick_device
from netinv_lite._core.validation import check_images


def mixed_cnn():
    """A network in train mode with one part in eval mode and one parameter frozen."""
    model = tiny_cnn().train()
    model.hidden.eval()
    model.head.bias.requires_grad_(False)
    return model


@pytest.mark.parametrize("error", [None, ValueError, KeyboardInterrupt])
def test_frozen_restores_every_flag(error):
    model = mixed_cnn()
    before = snapshot(model)
    try:
        with nil.frozen(model):
            assert not any(m.training for m in model.modules())
            assert not any(p.requires_grad for p in model.parameters())
            if error:
                raise error
    except (ValueError, KeyboardInterrupt):
        pass
    assert_same(before, snapshot(model))


def test_tap_gives_the_input_of_the_last_linear_layer():
    model, x = tiny_cnn(), torch.rand(3, 1, 12, 12)
    before = snapshot(model)
    with torch.no_grad(), nil.Tap(model, (1, 12, 12)) as tap:
        logits, f = tap(x)
        torch.testing.assert_close(logits, model(x))  # in another memory order
        torch.testing.assert_close(f, model.hidden(model.convolutions(x)))
        torch.testing.assert_close(model.head(f), logits)
    assert_same(before, snapshot(model))


def test_the_last_linear_layer_is_the_last_that_is_reached():
    class Backwards(nn.Module):
        def __init__(self):
            super().__init__()
            self.second, self.first = nn.Linear(5, 3), nn.Linear(4, 5)
            self.never = nn.Linear(9, 9)

        def forward(self, x):
            return self.second(self.first(x.flatten(1)))

    model = Backwards()
    assert nil.final_linear(model, (1, 2, 2)) is model.second
    assert nil.final_linear(Own(), (3, 9, 9)).out_features == 3


def test_a_named_layer_is_kept_before_a_relu_that_works_in_place():
    model, x = Own().eval(), torch.rand(4, 3, 9, 9)
    with torch.no_grad(), nil.Tap(model, (3, 9, 9), "body.0") as tap:
        _, f = tap(x)
        assert torch.equal(f, model.body[0](x).flatten(1))
        assert f.min() < 0


def test_tap_passes_gradients_to_the_image():
    model, x = tiny_cnn(), torch.rand(3, 1, 12, 12, requires_grad=True)
    for layer in (None, "convolutions"):
        with nil.Tap(model, (1, 12, 12), layer) as tap, nil.frozen(model):
            tap(x)[1].sum().backward()
        assert x.grad.norm() > 0 and model.head.weight.grad is None
        x.grad = None


@pytest.mark.parametrize("make", [nil.CNN, nil.MLP, nil.ResNet], ids=lambda cls: cls.__name__)
def test_features_of_each_architecture(make):
    model = seeded(make, (1, 12, 12), 4).eval()
    with torch.no_grad(), nil.Tap(model, (1, 12, 12)) as tap:
        logits, f = tap(torch.rand(2, 1, 12, 12))
    last = nil.final_linear(model, (1, 12, 12))
    assert torch.equal(last(f), logits) and last.out_features == 4


def test_features_of_a_transformer():
    model = seeded(nil.ViT, (1, 12, 12), 4, patch=4, dim=16, heads=2).eval()
    with torch.no_grad(), nil.Tap(model, (1, 12, 12)) as tap:
        logits, f = tap(torch.rand(2, 1, 12, 12))
    assert f.shape == (2, 16) and torch.equal(model.head(f), logits)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_tap_follows_the_classifiers_dtype_and_returns_the_images(dtype):
    model = tiny_cnn().to(dtype)
    with torch.no_grad(), nil.Tap(model, (1, 12, 12)) as tap:
        logits, f = tap(torch.rand(2, 1, 12, 12))
    assert logits.dtype == f.dtype == torch.float32


def test_a_copy_goes_to_another_device_and_the_callers_stays():
    model = tiny_cnn()
    assert on_device(model, "cpu") is model
    elsewhere = on_device(model, "meta")
    assert elsewhere is not model
    assert device_of(elsewhere).type == "meta" and device_of(model).type == "cpu"


def test_auto_is_cuda_where_there_is_one(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert pick_device("auto") == torch.device("cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert pick_device("auto") == pick_device("cuda") == torch.device("cuda:0")
    assert pick_device("cuda:1") == torch.device("cuda:1")


def test_images_are_checked_against_shape_and_range():
    x = torch.linspace(-1, 1, 2 * 16).view(2, 1, 4, 4)
    assert check_images(x, (1, 4, 4), (-1, 1)) is x
    assert len(check_images(x[:0], (1, 4, 4), (-1, 1))) == 0
    for images, message in [
        (x[0], r"\(B, 1, 4, 4\) are expected, not \(1, 4, 4\)"),
        (x[..., :3], r"not \(2, 1, 4, 3\)"),
        (x / 0, "NaN or infinity"),
        (x + 0.01, r"lie in \[-0.99, 1.01\], outside the input range \[-1, 1\]: rescale"),
        (127.5 * (x + 1), "rescale"),
    ]:
        with pytest.raises(ValueError, match=message):
            check_images(images, (1, 4, 4), (-1, 1))
