"""The privacy test on cases whose answer is known."""

import re

import pytest
import torch

from netinv_lite.applications.privacy import PrivacyTest, matched, privacy_test, similarity


def images(n, seed):
    return torch.rand(n, 1, 16, 16, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def test_a_copy_of_the_training_set_leaks_and_swapped_it_does_the_opposite():
    train, unseen = images(40, 0), images(40, 1)
    copy = (train + 0.1 * images(40, 2)).clamp(-1, 1)
    test, swapped = privacy_test(copy, train, unseen), privacy_test(copy, unseen, train)
    assert test.auc == 1 and test.leaks and test.low > 0.99
    assert swapped.auc == 0 and not swapped.leaks


def test_images_that_know_neither_set_do_not_leak():
    verdicts = []
    for s in range(20):
        found, train, unseen = (images(n, 3 * s + i) for i, n in enumerate((20, 60, 60)))
        verdicts.append(privacy_test(found, train, unseen, seed=s))
    assert sum(v.low <= 0.5 <= v.high for v in verdicts) >= 17, "95 % cover, give or take"
    for v in verdicts:
        assert v.low < v.auc < v.high and 0.1 < v.high - v.low < 0.3


def test_ties_count_half():
    one = images(1, 0)
    test = privacy_test(one, one.expand(5, -1, -1, -1), one.expand(5, -1, -1, -1))
    assert test.auc == 0.5 and test.low == test.high == 0.5 and not test.leaks


def test_the_assignment_undoes_a_permutation():
    real = images(9, 0)
    order = torch.randperm(9, generator=torch.Generator().manual_seed(4))
    noisy = real[order] + 0.05 * images(9, 1)
    found = matched(noisy.clamp(-1, 1), real)
    assert torch.equal(found.columns, order[found.rows])
    assert (found.ssim[:-1] >= found.ssim[1:]).all() and found.share_above(0.4) == 1
    assert (found.psnr > 25).all()
    clear = matched(real[:3], real)
    assert len(clear.rows) == 3 and torch.allclose(clear.ssim, torch.ones(3))


def test_a_mean_does_not_match_them_all():
    real = images(6, 0)
    mean = real.mean(0, keepdim=True).expand(6, -1, -1, -1)
    assert matched(mean, real).columns.sort().values.tolist() == list(range(6))
    assert matched(mean, real).share_above(0.9) == 0


def test_ssim_of_even_sheets_is_the_closed_form():
    levels = torch.tensor([-0.5, 0.25, 1.0])
    sheets = levels[:, None, None, None].expand(3, 1, 16, 16)
    c = (0.01 * 2) ** 2  # torchmetrics' k1, times the range, squared
    a, b = levels[:, None], levels[None]
    expected = (2 * a * b + c) / (a.square() + b.square() + c)
    torch.testing.assert_close(similarity(sheets, sheets, batch=4), expected, atol=1e-4, rtol=0)
    both = similarity(images(3, 0), images(2, 1))
    torch.testing.assert_close(both, similarity(images(2, 1), images(3, 0)).T)
    assert both.shape == (3, 2) and both.abs().max() < 0.3


def test_bad_sets():
    with pytest.raises(ValueError, match="equally many"):
        privacy_test(images(3, 0), images(4, 1), images(5, 2))
    with pytest.raises(ValueError, match="at least two of each"):
        privacy_test(images(3, 0), images(1, 1), images(1, 2))
    with pytest.raises(ValueError, match="one shape"):
        similarity(images(3, 0), images(3, 0)[..., :8])
    with pytest.raises(ValueError, match="NaN"):
        matched(images(3, 0) * float("nan"), images(3, 0))


def test_the_range_is_that_of_both_sets_together():
    """From 0 to 1 differences are half of those from −1 to 1, and so is the range: one PSNR."""

    def by_row(pairs):
        return pairs.psnr[pairs.rows.argsort()], pairs.columns[pairs.rows.argsort()]

    real = images(6, 0)
    found = (real + 0.2 * images(6, 1)).clamp(-1, 1)
    wide, unit = matched(found, real), matched((found + 1) / 2, (real + 1) / 2)
    torch.testing.assert_close(by_row(wide), by_row(unit), atol=1e-3, rtol=0)
    assert not torch.allclose(
        unit.psnr, matched((found + 1) / 2, (real + 1) / 2, data_range=2).psnr
    )
    # No range is known of (0, 1) and (-1, 1) together but the wider one.
    torch.testing.assert_close(
        similarity((found + 1) / 2, real), similarity((found + 1) / 2, real, data_range=2.0)
    )
    for far in (4 * found, 255 * (found + 1)):
        with pytest.raises(ValueError, match=r"say what their input range is, input_range="):
            matched(far, real)
    shifted = matched(40 * found, 40 * real, input_range=(-40, 40))
    torch.testing.assert_close(by_row(shifted), by_row(wide), atol=1e-3, rtol=0)
    torch.testing.assert_close(
        similarity(40 * found, 40 * real, input_range=(-40, 40)),
        similarity(40 * found, 40 * real, data_range=80.0),
    )


DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


@pytest.mark.parametrize("device", DEVICES)
def test_images_on_any_device_and_with_a_gradient(device):
    real = images(5, 0)
    found = real.flip(0).clone().requires_grad_()  # as they come from an optimiser
    pairs = matched(found.to(device), real)
    assert pairs.columns.cpu().tolist() == [4 - r for r in pairs.rows.tolist()]
    assert {t.device.type for t in (pairs.rows, pairs.columns, pairs.ssim, pairs.psnr)} == {device}
    assert not pairs.ssim.requires_grad and pairs.share_above(0.99) == 1
    test = privacy_test(found.to(device), real, images(5, 1))
    assert test.auc == 1 and test.leaks


def test_the_auc_and_its_interval_are_those_of_a_loop():
    train, unseen = images(12, 0), images(12, 1)
    found = train[:6] + 0.5 * images(6, 2)
    test = privacy_test(found, train, unseen, seed=3)
    near, far = (torch.cdist(x.flatten(1), found.flatten(1)).amin(1) for x in (train, unseen))
    pairs = [(a < b) + 0.5 * (a == b) for a in near.tolist() for b in far.tolist()]
    assert test.auc == pytest.approx(sum(pairs) / len(pairs))
    random = torch.Generator().manual_seed(0)
    again = []
    for _ in range(2000):
        a, b = (d[torch.randint(12, (12,), generator=random)] for d in (near, far))
        again.append((a[:, None] < b).double().mean())
    low, high = torch.stack(again).quantile(torch.tensor([0.025, 0.975]).double()).tolist()
    assert test.low == pytest.approx(low, abs=0.02) and test.high == pytest.approx(high, abs=0.02)
    assert privacy_test(found, train, unseen, seed=3) == test


def test_what_came_back_is_told_in_a_sentence():
    pairs = matched(images(3, 0), images(9, 0))
    said = r"Matching\(3 pairs: SSIM 1\.00 to [\d.]+, [\d.]+ on average; the best pair .* dB\)"
    assert re.fullmatch(said, repr(pairs))
    assert repr(PrivacyTest(0.931, 0.88, 0.97)) == (
        "PrivacyTest(AUC 0.931, 0.880 to 0.970: the training images are nearer)"
    )
    assert repr(PrivacyTest(0.6, 0.4, 0.8)).endswith("no sign of a leak)")
