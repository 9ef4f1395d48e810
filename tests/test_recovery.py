"""Codes behind a generator's samples: found in one pass and by a search, and what that repairs."""

from dataclasses import replace
from itertools import pairwise

import pytest
import torch

from helpers import seeded
from netinv_lite.direct import latent_search as codes
from netinv_lite.models.architectures import DCGAN
from netinv_lite.studies import gan_inversion as recovery
from netinv_lite.studies import runner as experiments
from netinv_lite.studies.registry import EXPERIMENTS
from netinv_lite.studies.runner import attempt

BASE = {"dataset": "fashion_mnist", "seed": 0, "code": 16}


def lively():
    """A small generator whose images differ plainly, as those of an untrained DCGAN do not."""
    gan = seeded(DCGAN, latent_dim=6, widths=(8, 8, 8))
    for m in gan.modules():
        if isinstance(m, torch.nn.modules.conv._ConvNd):
            seeded(torch.nn.init.kaiming_normal_, m.weight)
    return gan.eval().requires_grad_(False)


@pytest.fixture
def gan(monkeypatch):
    one = lively()
    monkeypatch.setattr(recovery, "load_gan", lambda name: one)
    monkeypatch.setattr(recovery, "SAMPLES", 20)
    monkeypatch.setattr(codes, "STEPS", 60)
    few = torch.rand(10, 1, 28, 28, generator=torch.Generator().manual_seed(0)) * 2 - 1
    monkeypatch.setattr(recovery, "real_images", lambda *_: (few, None))
    for method, config in recovery.TRAININGS.items():
        small = replace(config, steps=40, joint=40 * (config.joint > 0), batch_size=16, width=8)
        monkeypatch.setitem(recovery.TRAININGS, method, small)
    recovery.trained.cache_clear()
    yield one
    recovery.trained.cache_clear()


@pytest.mark.parametrize("method", recovery.METHODS)
def test_codes_are_found(gan, method):
    study = EXPERIMENTS["recovery"]
    (row,) = attempt(study, [{**BASE, "method": method}])
    assert not row.get("error"), row["error"]
    assert row["cosine"] > (0.3 if method in recovery.TRAININGS else 0.9)
    assert row["psnr"] > row["psnr_worst_tenth"] and row["image_ms"] > 0
    assert row["psnr_real"] < row["psnr"], "of such noise it has never drawn anything"
    assert (row["train_seconds"] > 0) == recovery.learns(method)


def test_second_order_solves_what_is_near(gan):
    z, x = recovery.sampled(gan, 0, 10)
    near = z + 0.1 * torch.randn(z.shape, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(codes.refined(gan, x, near), z, atol=1e-3)
    assert torch.equal(codes.refined(gan, x, near, steps=0), near)
    one, two = (codes.refined(gan, x, near, steps=n) for n in (1, 2))
    off = [recovery.by_image(gan(c), x).mean() for c in (near, one, two)]
    assert off[0] + 3 < off[1] and off[1] + 3 < off[2], "each step leads nearer"


def test_no_step_leads_farther(gan):
    _, x = recovery.sampled(gan, 0, 10)
    far = 3 * gan.latents(10, torch.Generator().manual_seed(1))
    by_step = [
        codes._distance(codes._drawn(gan, codes.refined(gan, x, far, n).flatten(1)), x.flatten(1))
        for n in range(5)
    ]
    assert all((b <= a).all() for a, b in pairwise(by_step))


def test_second_order_minds_a_hole_less_than_squares_would(gan, monkeypatch):
    z, x = recovery.sampled(gan, 0, 10)
    harmed = recovery.damaged(x, "hole")
    found = codes.refined(gan, harmed, z)
    monkeypatch.setattr(codes, "HUBER", 1e6)
    squares = codes.refined(gan, harmed, z)
    assert (found - z).square().mean() < (squares - z).square().mean()


def test_of_several_starts_the_best_is_kept(gan):
    _, x = recovery.sampled(gan, 0, 10)
    one, four = (recovery.by_image(gan(recovery.searched(gan, x, starts=n)), x) for n in (1, 4))
    assert four.mean() >= one.mean() and four.shape == (10,)


def test_psnr_is_of_each_pair():
    a, b = torch.zeros(2, 1, 12, 12), torch.zeros(2, 1, 12, 12)
    b[0] += 0.2
    b[1] += 0.02
    assert recovery.by_image(a, b).tolist() == pytest.approx([20, 40], abs=1e-3)


def test_damages_are_where_they_should_be():
    x = torch.ones(3, 1, 32, 32)
    hole = recovery.damaged(x, "hole")
    assert ((hole == -1).sum((1, 2, 3)) == 100).all() and (x == 1).all()
    assert abs(float((recovery.damaged(0 * x, "noise")).std()) - 0.3) < 0.01
    assert torch.equal(recovery.damaged(x, "none"), x)


@pytest.mark.parametrize("damage", recovery.DAMAGES)
def test_a_repair_is_measured_before_and_after(gan, damage):
    row = recovery.repair(**BASE, damage=damage, method="descent")
    alone = recovery.repair(**BASE, damage=damage, method="shrunk")
    assert row["believed_before"] == alone["believed_before"]
    if damage in ("none", "rejected"):
        assert row["psnr"] > alone["psnr"], "the search draws it again, the control another"
    else:
        assert (
            row["believed_before"]
            != recovery.repair(**BASE, damage="none", method="shrunk")["believed_before"]
        )
    assert row["sure_before"] == alone["sure_before"]


def test_the_rejected_are_those_believed_least(gan):
    all_ = recovery.repair(**BASE, damage="none", method="shrunk")["believed_before"]
    assert recovery.repair(**BASE, damage="rejected", method="shrunk")["believed_before"] < all_


def test_unknown_words_are_named():
    with pytest.raises(ValueError, match="mean 'descent'"):
        recovery.recovery(**BASE, method="decent")
    with pytest.raises(ValueError, match="mean 'hole'"):
        recovery.repair(**BASE, damage="hol", method="long")


def test_a_row_is_of_the_generator_that_it_names():
    of = experiments._weights
    alone = of({"dataset": "fashion_mnist"})
    assert len({alone, of(BASE), of({**BASE, "code": 64})}) == 3
    assert of({"dataset": "fashion_mnist", "code": 17}) == alone, "there is none such"


def test_what_is_said_of_the_steps_is_so():
    steps = {m: 4 * c.steps + c.joint for m, c in recovery.TRAININGS.items()}  # of four blocks
    assert steps["joint"] == steps["block"] and steps["long"] == 5 * steps["block"]


def test_the_design_compares_both_codes():
    rows = EXPERIMENTS["recovery"].settings(("fashion_mnist",), (0, 1))
    of = {code: {r["method"] for r in rows if r["code"] == code} for code in recovery.CODES}
    assert of[16] == set(recovery.METHODS) and of[64] == {"long", "refined", "descent", "restarts"}
    assert len(rows) == 2 * (len(of[16]) + len(of[64]))
    long, refined = ({**BASE, "method": m} for m in ("long", "refined"))
    assert EXPERIMENTS["recovery"].shared(long) == EXPERIMENTS["recovery"].shared(refined)
