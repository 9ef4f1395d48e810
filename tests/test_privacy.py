"""The privacy test on cases whose answer is known."""

import pytest
import torch

from netinv_lite.privacy import matched, privacy_test, similarity


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
    with pytest.raises(ValueError, match="one shape"):
        similarity(images(3, 0), images(3, 0)[..., :8])
    with pytest.raises(ValueError, match="NaN"):
        matched(images(3, 0) * float("nan"), images(3, 0))
