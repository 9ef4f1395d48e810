"""Direct inversion: it learns the way back, resumes, reports, and leaves the model alone."""

from contextlib import nullcontext
from dataclasses import replace
from functools import cache

import pytest
import torch
import torchvision
from torch import nn

from helpers import SHAPE, assert_same, seeded, snapshot, tiny_cnn
from netinv_lite import direct
from netinv_lite.direct import identified, stages
from netinv_lite.direct.refinement import corrected
from netinv_lite.direct.stages import Training
from netinv_lite.direct.training import DirectConfig, LayerwiseInverse, inverse_of, invert_layers

pytestmark = pytest.mark.filterwarnings("ignore:The stage .* brought nothing")
QUICK = DirectConfig(steps=4, joint=4, batch_size=8, width=8, answer=0.0)


def train(model=None, config=QUICK, **settings):
    return invert_layers(
        model or tiny_cnn(), config=config, device="cpu", progress=False, **settings
    )


@cache
def trained(span=(-1.0, 1.0)):
    """An inverse that knows something of its model; for tests that leave both as they are."""
    model = tiny_cnn()
    model.input_range = span
    return train(model, DirectConfig(steps=120, joint=60, batch_size=32, width=16))


def representation(inverse, x):
    with torch.no_grad():
        return inverse.representations(x)[-1]


@pytest.mark.slow
def test_it_learns_the_way_back():
    inverse = trained()
    before, after = train().report(n=64), inverse.report(n=64)
    assert list(after["depth"]) == [1, 2, 3]
    assert (after["psnr"] > before["psnr"] + 1).all() and after["psnr"][0] > before["psnr"][0] + 2
    for stage, rows in inverse.history.items():
        first, last = rows[0], rows[-1]
        assert stage == "joint" or all(last[term] < first[term] for term in first)


def test_images_come_back_in_range_and_shape():
    inverse = train()
    x = torch.rand(5, *SHAPE) * 2 - 1
    with torch.no_grad():
        made = inverse(representation(inverse, x))
    assert made.shape == x.shape and -1 <= made.min() and made.max() <= 1
    assert inverse.shape == tuple(representation(inverse, x).shape[1:])


def test_what_leaves_the_range_is_cut_and_can_only_come_back():
    inverse = train()
    list(inverse.inverses[0].parameters())[-1].data.fill_(-50.0)
    a = representation(inverse, torch.rand(2, *SHAPE)).requires_grad_()
    made = inverse(a)
    assert (made == -1).all(), "far below the range everywhere"
    (back,) = torch.autograd.grad(-made.sum(), a)
    assert (back != 0).any(), "as by a tanh, nothing would be learned any more"
    (out,) = torch.autograd.grad(inverse(a).sum(), a)
    assert (out == 0).all(), "it would drift ever farther out"


def test_into_range_in_closed_form():
    x = torch.tensor([-2.0, -1.0, 0.5, 3.0], requires_grad=True)
    assert direct.into_range(x, -1, 1).tolist() == [-1, -1, 0.5, 1]
    for sign, passes in ((1, [0, 1, 1, 1]), (-1, [-1, -1, -1, 0])):  # a step goes against it
        (g,) = torch.autograd.grad((sign * direct.into_range(x, -1, 1)).sum(), x)
        assert g.tolist() == passes


def test_the_model_is_left_alone_and_shared_not_copied():
    model = tiny_cnn()
    model.train()
    before = snapshot(model)
    inverse = train(model)
    assert_same(snapshot(model), before)
    assert inverse.model is model and not any("model" in name for name in inverse.state_dict())


@pytest.mark.parametrize(
    "terms",
    [
        {"image": 0.0, "cycle": 0.0},
        {"block": 0.0},
        {"cycle": 0.0},
        {"image": 0.0},
    ],
)
def test_terms_of_weight_zero_are_not_computed(terms):
    joint = 0 if terms == {"image": 0.0, "cycle": 0.0} else 4
    inverse = train(config=replace(QUICK, joint=joint, **terms))
    assert set(inverse.history["block 2"][0]) == {"block", "image", "cycle"} - set(terms)


@pytest.mark.slow
def test_in_sixteen_bits_it_learns_nearly_the_same():
    config, reports = replace(QUICK, steps=60, joint=30, batch_size=16, answer=0.1), []
    for bits in (False, True):
        inverse = train(config=replace(config, bfloat16=bits))
        assert all(p.dtype == torch.float32 for p in inverse.parameters())
        reports.append(inverse.report(n=64)["psnr"])
    assert (reports[0] - reports[1]).abs().max() < 1.5 and not (reports[0] == reports[1]).any()


def test_answers_are_asked_for_where_they_weigh():
    model, config, differ = tiny_cnn(), replace(QUICK, steps=40, joint=40, lr=5e-3), {}
    last = [m for m in model.modules() if isinstance(m, torch.nn.Linear)][-1]
    last.weight.data.mul_(50)  # an untrained network answers nothing in particular
    x = torch.rand(64, *SHAPE, generator=torch.Generator().manual_seed(0)) * 2 - 1
    for weight in (0.0, 3.0):
        inverse = train(model, config=replace(config, answer=weight), seed=1)
        with torch.no_grad():
            made = inverse(representation(inverse, x))
            p, q = (model(images).log_softmax(1) for images in (x, made))
        differ[weight] = torch.nn.functional.kl_div(q, p, reduction="batchmean", log_target=True)
        assert ("answer" in inverse.history["joint"][0]) == (weight > 0)
    assert differ[3.0] < 0.8 * differ[0.0], differ


@pytest.mark.parametrize("stop", [2, 6, 14])
def test_a_stopped_run_goes_on_to_the_same_inverse(tmp_path, monkeypatch, stop):
    whole, file, taken = train(seed=3), tmp_path / "state.safetensors", 0
    advance = Training.advance

    def stopping(self):
        nonlocal taken
        if taken == stop:
            self._save()
            raise KeyboardInterrupt
        taken += 1
        advance(self)

    monkeypatch.setattr(Training, "advance", stopping)
    with pytest.raises(KeyboardInterrupt):
        train(seed=3, checkpoint=file)
    monkeypatch.undo()
    resumed = train(seed=3, checkpoint=file)
    assert_same(resumed.inverses.state_dict(), whole.inverses.state_dict())
    assert resumed.history == whole.history
    with pytest.raises(ValueError, match="another run"):
        train(seed=4, checkpoint=file)


def test_saved_and_loaded_for_the_same_model_only(tmp_path):
    model = tiny_cnn()
    inverse = train(model)
    path = inverse.save(tmp_path / "inverse.safetensors")
    again = LayerwiseInverse.load(path, model, device="cpu")
    a = representation(inverse, torch.rand(3, *SHAPE))
    with torch.no_grad():
        assert torch.equal(again(a), inverse(a))
        half = inverse.save(tmp_path / "half.safetensors", half=True)
        near = LayerwiseInverse.load(half, model, device="cpu")
        assert (near(a) - inverse(a)).abs().max() < 1e-2
    assert half.stat().st_size < path.stat().st_size
    with pytest.raises(ValueError, match="another model"):
        LayerwiseInverse.load(path, tiny_cnn(seed=1))
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(ValueError):
        LayerwiseInverse.load(path, model)


class Averaged(nn.Module):
    """Its last representation comes of no module: a mean over all positions."""

    def __init__(self):
        super().__init__()
        self.image_shape, self.input_range = SHAPE, (0.0, 1.0)
        self.body = nn.Sequential(
            nn.Conv2d(SHAPE[0], 4, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(4, 4, 3, padding=1),
            nn.ReLU(),
        )
        self.head = nn.Linear(4, 3)

    def forward(self, x):
        return self.head(self.body(x).mean((2, 3)))


@pytest.mark.parametrize("cut", ["body.0", "body.1", "body.2", "body", None])
def test_what_is_loaded_ends_where_it_was_cut(cut, tmp_path):
    model, x = Averaged(), torch.rand(3, *SHAPE)
    inverse = train(model, cut=cut)
    again = LayerwiseInverse.load(inverse.save(tmp_path / "i.safetensors"), model, device="cpu")
    with torch.no_grad():
        a, b = (i.representations(x)[-1] for i in (inverse, again))
        assert torch.equal(a, b) and torch.equal(inverse(a), again(b))


def test_blocks_given_by_hand_are_given_again_to_load(tmp_path):
    model = Averaged()
    first, _, second, other = model.body
    inverse = train(model, cut=[first, second])
    path = inverse.save(tmp_path / "i.safetensors")
    with pytest.raises(ValueError, match="by hand: give them again, as blocks="):
        LayerwiseInverse.load(path, model)
    with pytest.raises(ValueError, match=r"the blocks body\.0, body\.2, not body\.0, body\.3"):
        LayerwiseInverse.load(path, model, blocks=[first, other])
    again = LayerwiseInverse.load(path, model, blocks=[first, second], device="cpu")
    assert_same(again.state_dict(), inverse.state_dict())
    path = train(model, cut="body.0").save(path)
    with pytest.raises(ValueError, match="leave blocks out"):
        LayerwiseInverse.load(path, model, blocks=[first])


def test_wrong_representations_are_refused():
    inverse = train()
    (D,) = inverse.shape
    with pytest.raises(ValueError, match=rf"shape \(B, {D}\) are expected"):
        inverse(torch.zeros(2, D + 1))
    with pytest.raises(ValueError, match="NaN"):
        inverse(torch.full((2, D), float("nan")))
    for depth in (0, -1, 99, 1.0):
        with pytest.raises(ValueError, match=rf"depth={depth}: a whole number from 1 to"):
            inverse(torch.zeros(2, D), depth)


def test_a_report_on_every_way_back():
    inverse, x = trained(), torch.rand(16, *SHAPE)
    once, told, searched = (
        inverse.report(x, way=way)["cycle"] for way in ("pass", "corrected", "refined")
    )
    assert once.equals(inverse.report(x)["cycle"])
    assert (told < once).all() and (searched < once).all()
    with pytest.raises(ValueError, match="mean 'refined'"):
        inverse.report(x, way="refine")


class Telephone(nn.Module):
    """What is said comes out `loud` times as strong, and is heard as it comes out."""

    def __init__(self, loud):
        super().__init__()
        self.loud, self.model = loud, nn.Identity()

    def forward(self, b, depth=None):
        return self.loud * b

    def through(self, x, depth=None):
        return [x]

    def held(self):
        return nullcontext()


@pytest.mark.parametrize("loud", [0.2, 0.8, 1.5, 3.0])
def test_corrections_in_closed_form(loud):
    a = torch.randn(5, 1, 2, 2)
    for steps in (1, 2, 6):
        left = (1 - loud) * (1 - loud / 2) ** steps
        made = corrected(Telephone(loud), a, steps=steps)
        assert torch.allclose(made, (1 - left) * a, atol=1e-5)


def test_a_correction_that_leads_farther_is_not_made_but_halved():
    a = torch.randn(5, 1, 2, 2)
    made = [corrected(Telephone(6.0), a, steps=n) for n in (1, 2, 3)]
    # It comes out as 6a, so 5a too much; less half of that, as -9a, which is 10a too little.
    for found, times in zip(made, (6.0, -1.5, 2.25), strict=True):
        assert torch.allclose(found, times * a)


@pytest.mark.slow
@pytest.mark.parametrize("span", [(-1.0, 1.0), (0.0, 1.0)])
def test_a_pass_is_told_what_was_wrong_and_errs_less(span):
    inverse = trained(span)
    before = snapshot(inverse.model)
    x = torch.rand(6, *SHAPE) * (span[1] - span[0]) + span[0]
    for depth, a in enumerate(inverse.representations(x), 1):
        made = [inverse(a, depth), *(inverse.corrected(a, depth, steps=n) for n in (1, 4, 16))]
        far = torch.stack(
            [(inverse.representations(y, depth)[-1] - a).flatten(1).abs().mean(1) for y in made]
        )
        assert (far.diff(dim=0) <= 0).all() and far[-1].sum() < 0.98 * far[0].sum()
        assert all(span[0] <= y.min() and y.max() <= span[1] for y in made)
        assert not made[-1].requires_grad
        one = inverse.corrected(a[:1], depth, steps=4)
        assert torch.allclose(one, made[2][:1], atol=1e-4), "each image for itself"
    assert_same(snapshot(inverse.model), before)


@pytest.mark.parametrize("span", [(-1.0, 1.0), (0.0, 1.0)])
def test_a_search_goes_on_from_where_the_corrections_ended(span):
    model = tiny_cnn()
    model.input_range = span
    inverse, before = train(model), snapshot(model)
    x = torch.rand(6, *SHAPE) * (span[1] - span[0]) + span[0]
    with torch.no_grad():
        for depth, a in enumerate(inverse.representations(x), 1):
            made = [inverse.corrected(a, depth)]
            made += [inverse.refined(a, depth, steps=n) for n in (1, 10, 60)]
            far = [(inverse.representations(y, depth)[-1] - a).norm() for y in made]
            assert far == sorted(far, reverse=True) and far[-1] < 0.7 * far[0]
            assert all(span[0] <= y.min() and y.max() <= span[1] for y in made)
            one = inverse.refined(a[:1], depth, steps=10)
            assert torch.allclose(one, made[2][:1], atol=2e-3), "each image for itself"
    assert_same(snapshot(model), before)


def test_a_search_takes_a_representation_with_a_graph_and_refuses_what_a_pass_refuses():
    inverse = train()
    a = inverse.representations(torch.rand(2, *SHAPE).requires_grad_())[-1]
    made = inverse.refined(a, steps=2)
    assert not made.requires_grad
    for way in (inverse.corrected, inverse.refined):
        for steps in (0, 2.5):
            with pytest.raises(ValueError, match=f"steps={steps}: a whole number"):
                way(a, steps=steps)
        with pytest.raises(ValueError, match="NaN"):
            way(a * torch.nan)
        with pytest.raises(ValueError, match="are expected after"):
            way(a[:, :1])


def test_given_images_are_learned_on():
    grey = torch.linspace(-0.8, 0.8, 32).view(-1, 1, 1, 1).repeat(1, *SHAPE)
    config, error = replace(QUICK, steps=60, joint=0, batch_size=16), {}
    for name, data in (("given", grey), ("synthesized", None)):
        inverse = train(config=config, data=data)
        with torch.no_grad():
            error[name] = (inverse(representation(inverse, grey)) - grey).abs().mean()
    assert error["given"] < 0.8 * error["synthesized"]


def test_together_what_was_learned_alone_is_kept():
    """An inverse then sees outputs of several depths, and must not take over their statistics."""
    alone, both = (train(config=replace(QUICK, joint=joint, lr=1e-12)) for joint in (0, 3))
    assert_same(dict(alone.named_buffers()), dict(both.named_buffers()))


def test_it_begins_where_an_inverse_of_a_shallower_cut_ended(tmp_path):
    model, names = tiny_cnn(), [block.name for block in train().blocks]
    first = train(model, cut=names[0])
    before = snapshot(first.inverses)
    still = replace(QUICK, lr=1e-12, joint_lr=1e-12)
    deeper = train(model, still, cut=names[1], start=first, checkpoint=tmp_path / "a.safetensors")
    assert list(deeper.history) == ["block 2", "joint"], "what start knows is not learned again"
    for mine, theirs in zip(
        deeper.inverses[0].parameters(), first.inverses[0].parameters(), strict=True
    ):
        assert torch.allclose(mine, theirs, atol=1e-6)
    train(model, cut=names[1], start=first)
    assert_same(snapshot(first.inverses), before)
    with pytest.raises(ValueError, match="other start"):
        train(model, still, cut=names[1], checkpoint=tmp_path / "a.safetensors")


@pytest.mark.parametrize(
    "cut, settings, words",
    [
        (0, {}, "not the first of"),
        (1, {"model": 1}, "another model"),
        (1, {"width": 4}, "a width"),
        (1, {"input_range": (-2.0, 2.0)}, "a range"),
    ],
)
def test_a_start_that_does_not_fit_is_refused(cut, settings, words):
    settings = dict(settings)
    names = [block.name for block in train().blocks]
    model = tiny_cnn(seed=settings.pop("model", 0))
    config = replace(QUICK, width=settings.pop("width", QUICK.width))
    with pytest.raises(ValueError, match=words):
        train(model, config, cut=names[cut], start=train(cut=names[0]), **settings)


def test_a_start_from_within_a_block_is_refused():
    """The blocks' names are the same, and what they do is not."""
    model = seeded(lambda: nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3)))
    within, whole = (train(model, cut=cut, image_shape=SHAPE) for cut in ("0", "1"))
    assert [b.name for b in within.blocks] == [b.name for b in whole.blocks] == ["0"]
    assert len(train(model, cut="2", image_shape=SHAPE, start=whole).blocks) == 2
    with pytest.raises(ValueError, match="not the first of"):
        train(model, cut="2", image_shape=SHAPE, start=within)


@pytest.mark.parametrize("every", [True, False])
def test_together_every_depth_or_the_last_alone_is_trained(monkeypatch, every):
    losses, depths = stages.losses, []

    def counted(inverse, x, a, y, block):
        if not block:  # the joint stage
            depths.append(len(a))
        return losses(inverse, x, a, y, block=block)

    monkeypatch.setattr(stages, "losses", counted)
    config = replace(QUICK, joint=40, every_depth=every, in_turn=True, keep_best=False)
    train(config=config)
    assert set(depths) == ({1, 2, 3} if every else {3})
    assert depths[::2] == [3] * 20
    depths.clear()
    train(config=replace(config, in_turn=False))
    assert depths == 40 * ([1, 2, 3] if every else [3])


@pytest.mark.parametrize(
    "data",
    [
        torch.full((4, *SHAPE), 255.0),
        torch.zeros(4, 1, 5, 5),
        lambda n: torch.full((n, *SHAPE), 9.0),
        torch.zeros(999, *SHAPE).index_fill(0, torch.tensor(500), torch.nan),
        torch.zeros(0, *SHAPE),
    ],
    ids=["range", "shape", "function", "one NaN", "none"],
)
def test_images_that_do_not_fit_are_refused(data):
    message = r"rescale them|are expected|hold NaN|no images"
    with pytest.raises(ValueError, match=message):
        train(data=data)
    if isinstance(data, torch.Tensor):
        with pytest.raises(ValueError, match=message):
            train().report(data)


def test_the_first_inverse_runs_once_a_step(monkeypatch):
    passes, forward = [], LayerwiseInverse.forward

    def counted(self, *args):
        passes.append(1)
        return forward(self, *args)

    monkeypatch.setattr(LayerwiseInverse, "forward", counted)
    inverse = train(config=replace(QUICK, joint=0, keep_best=False))
    assert len(passes) == len(inverse.blocks) * QUICK.steps
    passes.clear()
    train(config=replace(QUICK, joint=0, image=0.0, cycle=0.0, keep_best=False))
    assert len(passes) == QUICK.steps, "beyond the first, a block needs no image"


@pytest.mark.parametrize(
    "after, before",
    [
        ((8,), (5,)),
        ((8,), (4, 6, 6)),
        ((8, 1, 1), (4, 3, 3)),
        ((8, 4, 4), (3, 7, 9)),
        ((36,), (4, 3, 3)),
        ((3, 9, 9), (5, 4, 4)),
        ((6, 4, 4), (7, 1, 1)),
        ((3, 8, 8), (6, 4, 4)),
    ],
)
def test_an_inverse_has_the_shape_of_what_came_before(after, before):
    made = inverse_of(after, before, 8)(torch.rand(2, *after))
    assert tuple(made.shape[1:]) == before
    if after == (36,):
        assert not list(inverse_of(after, before, 8).parameters())  # exact: nothing to learn


def test_an_inverse_within_one_shape_starts_as_the_identity():
    a = torch.rand(2, 6, 5, 5)
    inverse = inverse_of((6, 5, 5), (6, 5, 5), 8)
    assert torch.equal(inverse(a), a) and len(list(inverse.parameters())) > 6


def test_every_stage_runs_on_a_deep_network():
    model = seeded(torchvision.models.resnet18, weights=None).eval()
    config = DirectConfig(steps=1, joint=1, batch_size=2, width=8)
    inverse = train(model, config, cut="layer2.1", image_shape=(3, 64, 64))
    assert len(inverse.history) == len(inverse.blocks) + 1
    assert len(inverse.report(n=2)) == len(inverse.blocks)


@pytest.mark.parametrize(
    "wrong",
    [
        {"steps": 0},
        {"lr": 0.0},
        {"image": -1.0},
        {"block": 0.0, "image": 0.0, "cycle": 0.0, "answer": 0.0},
    ],
)
def test_settings_are_checked(wrong):
    with pytest.raises(ValueError):
        DirectConfig(**wrong)


def test_identification_tells_images_apart_and_is_one_in_n_by_chance():
    x = torch.rand(20, 1, 6, 6, generator=torch.Generator().manual_seed(0))
    assert identified(x, x + 0.01 * torch.randn(x.shape)) == 1
    assert identified(x, x.flip(0)) == 0
    assert identified(x, x.mean(0, keepdim=True).expand_as(x)) == 1 / 20
    with pytest.raises(ValueError, match="give at least two images"):
        identified(x, x[:5])
