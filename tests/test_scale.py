"""Large networks: what they will take is counted rightly, and every stage runs at 224 pixels."""

import gc
import subprocess
import sys
import weakref

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from helpers import SHAPE, assert_same, snapshot, tiny_cnn
from netinv_lite.direct.cost import estimate, told
from netinv_lite.direct.partition import split
from netinv_lite.direct.training import DirectConfig, LayerwiseInverse, invert_layers
from netinv_lite.models.external import torchvision_network

CONFIG = DirectConfig(steps=3, joint=2, batch_size=4, width=8)

AT_224 = """
import resource, sys, tempfile, torch, torchvision
from netinv_lite.direct import DirectConfig, LayerwiseInverse, invert_layers
torch.set_num_threads(2)
torch.manual_seed(0)
name, cut, convolutions = sys.argv[1], sys.argv[2], int(sys.argv[3])
model = torchvision.models.get_model(name).eval()
config = DirectConfig(steps=1, joint=1, batch_size=2, width=16, keep_best=False)
inverse = invert_layers(model, cut, image_shape=(3, 224, 224), config=config, progress=False,
                        device="cpu")
assert len(inverse.history) == len(inverse.blocks) + 1
before = [m for b in inverse.blocks for m in b.module.modules() if type(m) is torch.nn.Conv2d]
assert len(before) >= convolutions, len(before)
x = torch.rand(2, 3, 224, 224)
with torch.no_grad(), tempfile.TemporaryDirectory() as folder:
    a = inverse.representations(x)[-1]
    path = inverse.save(folder + "/inverse.safetensors")
    again = LayerwiseInverse.load(path, model, device="cpu")
    assert torch.equal(again(a), inverse(a)) and inverse(a).shape == x.shape
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "cut", "convolutions"),
    [
        ("resnet50", "layer3.1", 30),
        ("regnet_y_400mf", "trunk_output.block3", 30),
    ],
)
def test_every_stage_runs_at_224_pixels_within_4_gb(name, cut, convolutions):
    done = subprocess.run(
        [sys.executable, "-c", AT_224, name, cut, str(convolutions)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 4


def test_what_is_counted_is_what_a_run_takes():
    model = tiny_cnn()
    before = snapshot(model)
    table = estimate(model, image_shape=SHAPE, config=CONFIG)
    assert_same(snapshot(model), before)
    assert list(table["stage"]) == ["block 1", "block 2", "block 3", "joint"]
    with FlopCounterMode(display=False) as counter:
        invert_layers(model, config=CONFIG, device="cpu", progress=False)
    with FlopCounterMode(display=False) as setup:  # some passes show what shapes there are
        LayerwiseInverse(model, None, SHAPE, (-1, 1), CONFIG, 0)
    blocks = table["total_tflop"][:-1].sum() * 1e12
    joint = counter.get_total_flops() - setup.get_total_flops() - blocks
    assert 0 < joint <= table["total_tflop"].iloc[-1] * 1e12
    assert joint > table["gflop"].iloc[-1] * 1e9, "at least the step from the deepest"


def test_counting_gives_back_what_it_held():
    model, seen = tiny_cnn(), []
    for module in model.modules():
        module.register_forward_hook(lambda _m, _x, y: seen.append(weakref.ref(y)))
    estimate(model, image_shape=SHAPE, config=CONFIG)
    gc.collect()
    assert seen and not any(ref() is not None for ref in seen)


def test_work_and_memory_grow_with_the_batch():
    configs = [DirectConfig(batch_size=n, width=8) for n in (8, 80)]
    small, large = (estimate(tiny_cnn(), image_shape=SHAPE, config=config) for config in configs)
    assert large["gflop"].tolist() == pytest.approx([10 * flop for flop in small["gflop"]])
    assert (large["memory_gb"] > 3 * small["memory_gb"]).all()
    assert "counted, not measured" in told(small)


def test_a_network_of_torchvision_takes_pixels_from_0_to_1():
    model = torchvision_network("resnet18", trained=False)
    assert model.image_shape == (3, 224, 224) and model.input_range == (0.0, 1.0)
    grey = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1).expand(2, 3, 64, 64)
    with torch.no_grad():
        assert torch.allclose(model(grey), model.network(torch.zeros(2, 3, 64, 64)), atol=1e-6)
    assert split(model, (3, 64, 64), "network.layer1.1")[-1].shape == (64, 16, 16)
    with pytest.raises(ValueError, match="mean 'resnet18'"):
        torchvision_network("resnet19")


def test_without_a_network_the_weights_are_named_as_what_is_missing(monkeypatch):
    def refused(*args, **kwargs):
        raise OSError("no route")

    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", refused)
    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", refused)
    with pytest.raises(OSError, match=r"weights of resnet18 cannot be fetched .* network"):
        torchvision_network("resnet18")
