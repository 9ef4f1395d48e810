"""Each thing that a user may get wrong, and the one clear error that says what to do."""

import pytest
import torch
from torch import nn

import netinv_lite as nil
from helpers import QUICK, SHAPE, Own, assert_same, invert, seeded, snapshot, tiny_cnn
from netinv_lite.models.recipes import fit_shipped
from netinv_lite.models.zoo import build

# After so few steps the images of a class may be alike.
pytestmark = pytest.mark.filterwarnings("ignore:The generator has collapsed")
SOFT = torch.tensor([[0.5, 0.5, 0, 0]])


class Wrapped(nn.Module):
    """A network whose answer is changed on the way out."""

    def __init__(self, change):
        super().__init__()
        self.net, self.change = tiny_cnn(), change
        self.image_shape, self.input_range = SHAPE, (-1, 1)

    def forward(self, x):
        return self.change(self.net(x))


def poisoned(value, name="hidden.0.weight"):
    model = tiny_cnn()
    model.get_parameter(name).data.view(-1)[0] = value
    return model


class Picky(Own):
    def forward(self, x):
        assert x.shape[-1] == 32, "only 32 pixels"
        return super().forward(x)


faults = {
    # the network and its images
    "say (C, H, W), such as image_shape=(3, 32, 32)": lambda: invert(Own()),
    "image_shape=(28, 28): say (C, H, W)": lambda: invert(Own(), image_shape=(28, 28)),
    "image_shape=(3, 0, 8): say (C, H, W)": lambda: invert(Own(), image_shape=(3, 0, 8)),
    "does not accept images of shape (1, 8, 8) (C,H,W): ": lambda: invert(
        Own(), image_shape=(1, 8, 8)
    ),
    "does not accept images of shape (3, 8, 8) (C,H,W): only 32": lambda: invert(
        Picky(), image_shape=(3, 8, 8)
    ),
    "num_classes=7, but the classifier returns 4 logits; leave": lambda: invert(num_classes=7),
    "conditioning is for K=9 classes, the classifier returns 4": lambda: invert(
        conditioning=nil.Vector(9)
    ),
    "it returned whole numbers, (2,). Leave argmax out": lambda: invert(
        Wrapped(lambda logits: logits.argmax(1))
    ),
    "it returned (2, 4, 1). Wrap it": lambda: invert(Wrapped(lambda logits: logits[..., None])),
    "it returned (8, 1)": lambda: invert(Wrapped(lambda logits: logits.view(-1, 1))),
    "it returned tuple. Wrap it in a module that returns the tensor": lambda: invert(
        Wrapped(lambda logits: (logits, logits))
    ),
    "returns one logit; two classes are the least": lambda: invert(
        Wrapped(lambda logits: logits[:, :1])
    ),
    "carry no gradient to the image. Leave no_grad, detach": lambda: invert(
        Wrapped(lambda logits: logits.detach())
    ),
    "no linear layer and no convolution whose input could serve as features. Name": lambda: invert(
        nn.Sequential(nn.MaxPool2d(4), nn.Flatten()), image_shape=(1, 8, 8)
    ),
    "no module 'penultimate'. It has: convolutions": lambda: invert(features="penultimate"),
    "module 'unused' holds no tensor of one row an image": lambda: invert(
        seeded(Own), image_shape=(3, 8, 8), features="unused"
    ),
    "logits are not finite on a random image: load it again; not finite: hidden.0.weight": (
        lambda: invert(poisoned(torch.nan))
    ),
    "not finite on a random image: load it again; not finite: head.bias": lambda: invert(
        poisoned(torch.inf, "head.bias")
    ),
    "input_range=(1, -1): say (low, high), finite and rising": lambda: invert(input_range=(1, -1)),
    "input_range=(0, 1, 2): say (low, high)": lambda: invert(input_range=(0, 1, 2)),
    "input_range=(0, nan): say": lambda: invert(input_range=(0, float("nan"))),
    "input_range=(0, inf): say": lambda: invert(input_range=(0, float("inf"))),
    # names
    "Unknown classifier 'minst'. Did you mean 'mnist'?": lambda: nil.load_classifier("minst"),
    "Unknown classifier 'digits-judge'": lambda: nil.load_classifier("digits-judge"),
    "Unknown classifier 'zzz'. Known: ": lambda: nil.load_classifier("zzz"),
    "Unknown judge 'digit'. Did you mean 'digits'?": lambda: nil.load_judge("digit"),
    "Unknown preset 'readible'. Did you mean 'readable'?": lambda: invert(preset="readible"),
    "Unknown conditioning 'vector_matrix'. Did you mean 'vector-matrix'?": lambda: invert(
        conditioning="vector_matrix"
    ),
    "Unknown data set 'fashion'. Did you mean 'fashion_mnist'?": lambda: nil.load_data("fashion"),
    "Unknown architecture 'CNNs'. Did you mean 'CNN'?": lambda: build({"architecture": "CNNs"}),
    "Unknown recipe 'mnist-robst'. Did you mean 'mnist-robust'?": lambda: fit_shipped(
        "mnist-robst", "nowhere"
    ),
    "only .safetensors files are read, no pickles": lambda: nil.load_classifier("resnet.pt"),
    # conditioning
    "conditioning=3: a name or an object such as SoftTargets": lambda: invert(conditioning=3),
    "conditioning=tensor([[0.5000": lambda: invert(conditioning=SOFT),
    "non-negative and sum to 1; smallest entry 0, first sums [2.0]. Divide": (
        lambda: nil.SoftTargets(4, 2 * SOFT)
    ),
    "smallest entry -0.5": lambda: nil.SoftTargets(4, torch.tensor([[-0.5, 1.5, 0, 0]])),
    "Soft targets of shape (T, 4) are expected, not (1, 3)": lambda: nil.SoftTargets(
        4, torch.ones(1, 3) / 3
    ),
    "Soft targets of shape (T, 4) are expected, not (4,)": lambda: nil.SoftTargets(4, SOFT[0]),
    "margin needs one class an image; use InversionLoss(margin=0)": lambda: invert(
        conditioning=nil.SoftTargets(4, SOFT), loss=nil.InversionLoss(margin=1)
    ),
    "margin needs one class an image": lambda: invert(
        conditioning=nil.SoftTargets(4, SOFT), preset="readable"
    ),
    # settings
    "steps=0: a whole number of at least 1": lambda: nil.InversionConfig(steps=0),
    "steps=-5: a whole number of at least 1": lambda: nil.InversionConfig(steps=-5),
    "steps='': a whole number of at least 1": lambda: nil.InversionConfig(steps=""),
    "steps=None: a whole number of at least 1": lambda: nil.InversionConfig(steps=None),
    "steps=2.5: a whole number of at least 1": lambda: nil.InversionConfig(steps=2.5),
    "batch_size=1: a whole number of at least 2": lambda: nil.InversionConfig(batch_size=1),
    "width=1: a whole number of at least 2": lambda: nil.InversionConfig(width=1),
    "latent_dim=0: a whole number": lambda: nil.InversionConfig(latent_dim=0),
    "lr=0 must be positive": lambda: nil.InversionConfig(lr=0, scale=2),
    "lr=nan must be positive": lambda: nil.InversionConfig(lr=float("nan"), scale=2),
    "scale=-1 must be positive": lambda: nil.InversionConfig(scale=-1),
    "modulation=-1 must be finite": lambda: nil.InversionConfig(modulation=-1),
    "deformation=2 must lie in [0, 1]": lambda: nil.InversionConfig(deformation=2),
    "shading=-1 must be finite and not negative": lambda: nil.InversionConfig(shading=-1),
    "a latent_dim of at least 18": lambda: nil.InversionConfig(deformation=0.1, latent_dim=8),
    "dropout=1 must lie in [0, 1)": lambda: nil.InversionConfig(dropout=1),
    "start=1.5: a fraction of the input range": lambda: nil.InversionConfig(start=1.5),
    "patch=5 does not divide the image, 12x12": lambda: nil.ViT((1, 12, 12), 4, patch=5),
}


@pytest.mark.parametrize("message", faults)
def test_a_wrong_call_is_one_clear_error(message):
    with pytest.raises(ValueError) as error:
        faults[message]()
    assert message in str(error.value)


@pytest.fixture(scope="module")
def inversion():
    return invert()


afterwards = {
    "per_class=0: a whole number of at least 1": lambda i: i.sample(per_class=0),
    "per_class=-2: a whole number of at least 1": lambda i: i.sample(-2),
    "Classes lie in 0..3, not 4..4": lambda i: i.sample(2, classes=[4]),
    "Classes lie in 0..3, not -1..2": lambda i: i.sample(2, classes=[-1, 2]),
    "name at least one class": lambda i: i.sample(2, classes=[]),
    "n=0: at least 1": lambda i: i.accuracy(0),
    "z of shape (1, 8) is expected, not (1, 9)": lambda i: i.images(SOFT, torch.zeros(1, 9)),
    "z of shape (1, 8) is expected, not (2, 8)": lambda i: i.images(SOFT, torch.zeros(2, 8)),
    "Soft targets of shape (T, 4)": lambda i: i.images(torch.ones(1, 3) / 3),
    "Divide each row by its sum": lambda i: i.images(3 * SOFT),
    "outside the input range [-1, 1]: rescale them": lambda i: nil.metrics.inversion_accuracy(
        i.classifier, 255 * i.sample(1)[0], i.sample(1)[1]
    ),
    "Images of shape (B, 1, 12, 12) are expected": lambda i: nil.metrics.inversion_accuracy(
        i.classifier, i.sample(1)[0][..., :8], i.sample(1)[1]
    ),
}


@pytest.mark.parametrize("message", afterwards)
def test_a_wrong_question_to_an_inversion(message, inversion):
    with pytest.raises(ValueError) as error:
        afterwards[message](inversion)
    assert message in str(error.value)


def test_a_saved_inversion_goes_with_its_own_kind_of_network(inversion, tmp_path):
    file = inversion.save(tmp_path / "g.safetensors")
    load = nil.Inversion.load
    with pytest.raises(ValueError, match="network of 4 classes, this one has 3"):
        load(file, tiny_cnn(3))
    with pytest.raises(ValueError, match=r"does not accept images of shape \(1, 12, 12\)"):
        load(file, seeded(Own))
    with pytest.raises(FileNotFoundError, match="There is no file"):
        load(tmp_path / "h.safetensors", inversion.classifier)
    file.write_bytes(file.read_bytes()[:-10])
    with pytest.raises(ValueError, match="truncated, altered"):
        load(file, inversion.classifier)
    weights = nil.load_classifier("digits")
    shipped = nil.models.SHIPPED / "weights" / "digits.safetensors"
    with pytest.raises(ValueError, match="no saved inversion"):
        load(shipped, weights)


def test_a_diverging_run_says_what_to_lower():
    model = tiny_cnn()
    before = snapshot(model)
    config = nil.InversionConfig(steps=20, batch_size=8, latent_dim=4, width=4, lr=1e38)
    with pytest.raises(FloatingPointError, match=r"not finite at step \d+: .*Lower lr=1e\+38"):
        invert(model, config)
    assert_same(before, snapshot(model))


def test_a_run_that_diverges_in_its_last_step_is_noticed():
    config = nil.InversionConfig(steps=1, batch_size=8, latent_dim=4, width=4, lr=1e38)
    model = tiny_cnn()
    with pytest.raises(FloatingPointError, match=r"lower lr=1e\+38"):
        invert(model, config)


def test_weights_that_turn_nan_in_the_middle_are_noticed():
    model = tiny_cnn()

    def poison(step, *_):
        if step == 2:
            model.head.weight.data[0, 0] = torch.nan

    with pytest.raises(FloatingPointError, match="at step 2: .*the classifier's weights"):
        invert(model, on_step=poison)


@pytest.mark.parametrize(
    "call",
    [
        lambda model: nil.invert(model, config=QUICK, device="cuda"),
        lambda model: nil.invert(model, config=QUICK, device=torch.device("cuda", 1)),
        lambda _: nil.load_classifier("digits", device="cuda"),
        lambda _: nil.load_judge("digits", device="cuda"),
    ],
)
def test_cuda_where_there_is_none(call, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    model = tiny_cnn()
    before = snapshot(model)
    with pytest.raises(RuntimeError, match="no CUDA device here: use device='auto' or 'cpu'"):
        call(model)
    assert_same(before, snapshot(model))


def test_a_module_attribute_that_does_not_exist():
    with pytest.raises(AttributeError, match="metricks"):
        nil.metricks  # noqa: B018
