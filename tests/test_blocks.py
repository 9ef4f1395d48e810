"""Splitting a network: the chain of its blocks is the network, cut where one tensor carries all."""

import pytest
import torch
import torchvision
from torch import nn
from torchvision.models.shufflenetv2 import channel_shuffle

import netinv_lite as nil
from helpers import assert_same, seeded, snapshot
from netinv_lite.direct.partition import chain, split
from netinv_lite.studies import direct_resnet as deep

GREY, COLOUR = (1, 28, 28), (3, 32, 32)


def features(model, x):
    with torch.no_grad():
        return nil.metrics.features(model, x)


@pytest.mark.parametrize("architecture", [nil.CNN, nil.MLP, nil.ResNet, nil.ResNet20, nil.VGG])
def test_the_chain_ends_at_the_penultimate_features(architecture):
    model = seeded(architecture, GREY, 10).eval()
    before, x = snapshot(model), torch.rand(3, *GREY)
    a, blocks = x, split(model, GREY)
    with torch.no_grad():
        for block in blocks:
            a = block(a)
            assert tuple(a.shape[1:]) == block.shape
    assert torch.allclose(a, features(model, x), atol=1e-6)
    assert len(blocks) > 1 and len({b.name for b in blocks}) == len(blocks)
    assert_same(snapshot(model), before)


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "regnet_y_400mf"])
def test_residual_units_are_blocks_and_stay_whole(name):
    model = seeded(getattr(torchvision.models, name), weights=None).eval()
    x = torch.rand(2, 3, 64, 64)
    blocks = split(model, (3, 64, 64))
    with torch.no_grad():
        a = x
        for block in blocks:
            a = block(a)
    assert torch.allclose(a, features(model, x), atol=1e-4)
    deepest = max(sum(isinstance(m, nn.Conv2d) for m in b.module.modules()) for b in blocks)
    assert len(blocks) >= 10 and deepest <= 6  # one unit, with squeeze and excitation at most


def test_the_deep_network_has_nineteen_convolutions_in_ten_blocks():
    model = nil.ResNet20()
    blocks = split(model, COLOUR, "groups")
    on_the_way = [
        sum(isinstance(m, nn.Conv2d) and m.kernel_size == (3, 3) for m in b.module.modules())
        for b in blocks
    ]
    assert on_the_way == [1] + 9 * [2] and blocks[-1].shape == (64, 8, 8)
    *measured, flattening = split(model, COLOUR)
    assert len(measured) == deep.BLOCKS == 11 and measured[-1].shape == (64, 1, 1)
    assert flattening.shape == (64,), "the same numbers"
    assert sum(p.numel() for p in model.parameters()) < 300_000


def test_a_cut_by_name_ends_there():
    model = seeded(torchvision.models.resnet18, weights=None).eval()
    caught = []
    handle = model.layer3[0].register_forward_hook(lambda *args: caught.append(args[-1]))
    x = torch.rand(2, *COLOUR)
    with torch.no_grad():
        model(x)
        handle.remove()
        a = x
        for block in split(model, COLOUR, "layer3.0"):
            a = block(a)
    assert torch.allclose(a, caught[0], atol=1e-5)


@pytest.mark.parametrize(
    "cut, what",
    [
        ("layer3.7", "Did you mean 'layer3"),
        ("layer2.0.conv1", "another branch.*'layer2.0'"),
    ],
)
def test_a_cut_that_cannot_be_says_what_could(cut, what):
    with pytest.raises(ValueError, match=what):
        split(torchvision.models.resnet18(weights=None), COLOUR, cut)


class Moody(nn.Module):
    """What it does depends on what it sees."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Conv2d(1, 4, 3, 2), nn.Linear(4 * 13 * 13, 5)

    def forward(self, x):
        h = self.a(x)
        return self.b(h.flatten(1) if h.mean() > 0 else -h.flatten(1))


def test_a_model_that_cannot_be_traced_is_given_in_blocks():
    model = Moody()
    with pytest.raises(ValueError, match="Give the blocks yourself"):
        split(model, GREY)
    blocks = chain([model.a, nn.Flatten()], model, GREY)
    assert [(b.name, b.shape) for b in blocks] == [("a", (4, 13, 13)), ("block 2", (676,))]
    for cut in ([], ["a"]):
        with pytest.raises(ValueError, match="cut is the name of a module, or a list of one"):
            chain(cut, model, GREY)
    with pytest.raises(ValueError, match="does not accept what comes before it"):
        chain([model.a, nn.Linear(7, 2)], model, GREY)
    behind = nn.Sequential(nn.Flatten(), nn.ReLU(inplace=True))
    with pytest.raises(ValueError, match="'block 2' overwrites what .* set inplace=False"):
        chain([model.a, behind], model, GREY)


class Shuffled(nn.Module):
    """Each unit halves its channels, and mixes the halves again."""

    def __init__(self):
        super().__init__()
        self.stem, self.a, self.b = (nn.Conv2d(*c, 3, padding=1) for c in ((1, 8), (4, 4), (4, 4)))
        self.head = nn.Linear(8, 3)

    def forward(self, x):
        x = self.stem(x)
        for unit in (self.a, self.b):
            left, right = x.chunk(2, 1)
            x = channel_shuffle(torch.cat([left, unit(right)], 1), 2)
        return self.head(x.mean((2, 3)))


def test_no_block_ends_between_the_halves_of_a_channel_shuffle():
    model, x = Shuffled(), torch.rand(2, *GREY)
    blocks = split(model, GREY)
    assert [b.name for b in blocks] == ["stem", "a", "b"]
    assert [b.shape for b in blocks] == [(8, *GREY[1:]), (8, *GREY[1:]), (8,)]
    with torch.no_grad():
        a = x
        for block in blocks:
            a = block(a)
        assert torch.allclose(model.head(a), model(x), atol=1e-6)


class Forgetful(nn.Module):
    """Dropout as a function that is told the mode: a trace would keep it for good."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Conv2d(1, 4, 3, 2), nn.Linear(4 * 13 * 13, 5)

    def forward(self, x):
        return self.b(nn.functional.dropout(self.a(x), 0.5, self.training).flatten(1))


def test_a_model_in_training_is_split_as_it_answers():
    model, x = Forgetful().train(), torch.rand(2, *GREY)
    blocks = split(model, GREY)
    assert model.training and model.a.training
    a = x
    for block in blocks:
        a = block(a)
    assert torch.equal(a, model.a(x).flatten(1))
