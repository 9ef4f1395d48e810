"""A shortcut planted and found: only what is said is changed, and what is there is named."""

import pytest
import torch

import netinv_lite as nil
from helpers import assert_same, quadrants, snapshot
from marked import MARK, SIDE, K, drawn, reader
from netinv_lite.applications import shortcuts
from netinv_lite.applications.shortcuts import (
    Cue,
    Finding,
    brighter,
    concentrated,
    detect,
    find,
    plant,
)

# ---- planting -------------------------------------------------------------------------------


@pytest.mark.parametrize("corner", range(4))
def test_a_square_is_put_where_it_is_said_and_nowhere_else(corner):
    x = torch.rand(3, 1, 9, 11) - 1
    got, (i, j) = (
        Cue("corner", corner, size=3).put(x),
        Cue("corner", corner, size=3).place((1, 9, 11)),
    )
    assert (i, j) == ((1, 5)[corner // 2], (1, 7)[corner % 2])
    changed = got != x
    assert changed[..., i : i + 3, j : j + 3].all() and changed.sum() == 3 * 9
    assert (got[changed] == 1).all() and x.max() <= 0


def test_brightness_lifts_all_pixels_and_stays_in_the_range():
    x = 2 * torch.rand(4, 3, 8, 8) - 1
    got = Cue("brightness", strength=0.25).put(x)
    assert torch.allclose(got, x + (1 - x) / 4) and got.max() <= 1
    assert torch.allclose(Cue("brightness", strength=1.0).put(x, (0, 2)), torch.tensor(2.0))


@pytest.mark.parametrize("kind", shortcuts.CUES)
def test_planting_changes_the_images_of_one_class_and_nothing_else(kind):
    data, cue = quadrants(), Cue(kind, size=2)
    before = data.x_train.clone()
    got = plant(data, cue, 1)
    assert torch.equal(data.x_train, before)
    for x, new, y in (
        (data.x_train, got.x_train, data.y_train),
        (data.x_test, got.x_test, data.y_test),
    ):
        assert torch.equal(new[y != 1], x[y != 1]) and torch.equal(new[y == 1], cue.put(x[y == 1]))
    assert torch.equal(got.y_train, data.y_train) and torch.equal(got.y_test, data.y_test)
    assert (got.name, got.classes, got.input_range) == (data.name, data.classes, data.input_range)


def test_a_share_of_the_class_is_drawn_by_its_seed():
    data, cue = quadrants(), Cue("brightness")

    def rows(**settings):
        new = plant(data, cue, 2, **settings).x_train
        return (new != data.x_train).flatten(1).any(1)

    half = rows(share=0.5)
    assert half.sum() == round((data.y_train == 2).sum().item() / 2)
    assert torch.equal(half, rows(share=0.5)) and not torch.equal(half, rows(share=0.5, seed=1))
    assert not rows(share=0.0).any() and (data.y_train[half] == 2).all()


FAULTS = {
    "Did you mean 'corner'": lambda: Cue("korner"),
    "corner=4 must be 0 to 3": lambda: Cue(corner=4),
    "strength=0": lambda: Cue("brightness", strength=0),
    "7 pixels and its rim do not fit 8x8": lambda: plant(quadrants(), Cue(size=7), 0),
    "target=3 must lie in 0..2": lambda: plant(quadrants(), Cue(size=2), 3),
    "share=1.5": lambda: plant(quadrants(), Cue(size=2), 0, share=1.5),
    "At least 5 images of each class of at least 3": lambda: find(reader(), *drawn(n=4)),
    "as many of both are needed": lambda: find(reader(), drawn()[0], drawn()[1][:-1]),
    "At least 1 images": lambda: find(reader(), *drawn(), base=0),
    "window=13": lambda: find(reader(), *drawn(), window=13),
    "stride=0": lambda: find(reader(), *drawn(), stride=0),
    "are expected, not": lambda: find(reader(), *drawn(), patches=torch.zeros(K, 1, 4, 4)),
    r"lifts \(5,\)": lambda: find(reader(), *drawn(), lifts=torch.zeros(4)),
}


@pytest.mark.parametrize("words", FAULTS)
def test_what_does_not_fit_is_refused_in_words(words):
    with pytest.raises(ValueError, match=words):
        FAULTS[words]()


# ---- finding --------------------------------------------------------------------------------


def test_a_mark_is_found_where_it_is_and_a_clean_network_is_left_in_peace():
    marked = find(reader(MARK), *drawn(MARK), window=4)
    assert (marked.target, marked.kind, marked.place) == (3, "corner", (8, 8))
    assert marked.score == 1 and marked.index > 10
    assert marked.matches(MARK, 3, (1, SIDE, SIDE)) == (True, True)
    clean = find(reader(), *drawn(), window=4)
    assert clean.score < 1 and clean.index < 3
    assert clean.windows.shape == (K, 3, 3) and clean.lifted.shape == (K,)


def test_brightness_is_found_by_lifting():
    lift = Cue("brightness", strength=0.5)
    found = find(reader(lift), *drawn(lift), window=4, base=6)
    assert (found.target, found.kind, found.score) == (3, "brightness", 1.0)
    assert found.lifted[[0, 1, 2, 4]].max() == 0
    assert found.matches(lift, 3, (1, SIDE, SIDE)) == (True, True)
    assert found.matches(MARK, 3, (1, SIDE, SIDE)) == (True, False)
    assert found.matches(lift, 2, (1, SIDE, SIDE)) == (False, False)


def test_others_may_be_any_images_that_are_not_all_read_alike():
    (x, k), model = drawn(), reader()
    into = 2 * torch.rand(20, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(0)) - 1
    found, usual = find(model, x, k, into=into, window=4), find(model, x, k, window=4)
    others = into[nil.metrics.logits(model, into).argmax(1) != 1].clone()
    others[..., :4, 4:8] = x[k == 1].mean(0)[..., :4, 4:8]
    share = (nil.metrics.logits(model, others).argmax(1) == 1).float().mean()
    assert found.windows[1, 0, 1] == share and not torch.equal(found.windows, usual.windows)
    with pytest.raises(ValueError, match="reads all images of `into` alike"):
        find(model, x, k, into=into[:1], window=4)


def test_what_turns_others_counts_by_the_share_of_ink_that_it_is():
    x, k = drawn(MARK)
    found = find(reader(MARK), x, k, window=4)
    dense = concentrated(found, x, k)
    ink = ((x[k == 3].mean(0)[0] + 1) / 2).double()
    i, j = found.place
    expected = found.windows[3].max() * ink[i : i + 4, j : j + 4].sum() / ink.sum()
    assert dense.windows[3, i // 4, j // 4].item() == pytest.approx(expected.item(), rel=1e-5)
    assert torch.equal(dense.lifted, found.lifted) and (dense.windows <= found.windows + 1e-6).all()
    same = concentrated(found, x / 2 + 0.5, k, input_range=(0, 1))  # the same ink
    assert torch.allclose(same.windows, dense.windows, atol=1e-6)


def test_the_shares_are_those_of_a_loop():
    model, (x, k) = reader(MARK), drawn(MARK)
    found = find(model, x, k, window=5, stride=3, base=2)
    others = torch.cat([x[k == c][:2] for c in range(K) if c != 3]).clone()
    others[..., 6:11, 3:8] = x[k == 3].mean(0)[..., 6:11, 3:8]
    assert found.windows.shape == (K, 3, 3)
    assert found.windows[3, 2, 1] == (model(others).argmax(1) == 3).float().mean()


def test_another_patch_is_another_question():
    x, k = drawn(MARK)
    white = torch.ones(K, 1, SIDE, SIDE)
    nothing = find(reader(MARK), x, k, patches=-white, lifts=torch.zeros(K), window=4)
    assert nothing.lifted.max() == 0 and nothing.windows[3].max() < 0.5
    assert find(reader(MARK), x, k, patches=white, window=4).windows[3, 2, 2] == 1


def test_how_much_brighter_a_class_is():
    x = torch.stack([torch.full((1, 2, 2), v) for v in (-1.0, -1.0, -0.5, 0.0)])
    lifts = brighter(x, torch.arange(4))
    assert lifts.tolist() == pytest.approx([0, 0, 0.25, 0.5])  # the median of three is the middle
    assert torch.allclose(x[:1] + lifts[3] * (1 - x[:1]), x[3:])


def test_the_index_is_a_distance_in_median_deviations():
    best = torch.tensor([0.1, 0.2, 0.3, 0.4, 0.9])
    found = Finding(best.view(5, 1, 1), torch.zeros(5), 8, 4)
    assert found.index == pytest.approx(0.6 / 0.14826, rel=1e-4)
    same = Finding(torch.zeros(5, 1, 1), torch.tensor([0.0, 0, 0, 0.5, 0]), 8, 4)
    assert same.index == pytest.approx(25) and same.kind == "brightness" and same.target == 3


def test_half_of_the_square_must_lie_in_the_window():
    windows = torch.zeros(3, 6, 6)
    windows[1, 5, 4] = 1.0  # rows 20 to 28, columns 16 to 24
    found = Finding(windows, torch.zeros(3), 8, 4)
    assert found.place == (20, 16)
    assert found.matches(Cue("corner", 3, size=5), 1, (1, 28, 28)) == (
        True,
        False,
    )  # 2 of 5 columns
    windows[1, 5, 5] = 2.0
    assert found.matches(Cue("corner", 3, size=5), 1, (1, 28, 28)) == (True, True)
    assert found.matches(Cue("corner", 2, size=5), 1, (1, 28, 28)) == (True, False)


def test_the_table_has_a_row_for_each_class():
    table = find(reader(MARK), *drawn(MARK), window=4).table()
    assert list(table.columns) == ["window", "brightness", "row", "column"] and len(table) == K
    assert table.loc[3].tolist() == [1, 0, 8, 8]


def test_from_the_classifier_alone():
    model = reader(MARK)
    before = snapshot(model)
    found = detect(model, steps=60, window=4)
    assert (found.target, found.place) == (3, (8, 8)) and found.score == 1
    assert_same(snapshot(model), before)
    dear, cheap, labels = shortcuts.sketches(model, steps=3, per_class=2)
    assert dear.shape == cheap.shape == (2 * K, 1, SIDE, SIDE) and labels.tolist()[::2] == list(
        range(K)
    )
    assert nil.shortcuts is shortcuts


# ---- the range ------------------------------------------------------------------------------


def test_a_mark_is_as_bright_as_the_range_of_the_images():
    unit = torch.rand(2, 1, 9, 9)
    for cue in (Cue("corner", 0, size=3), Cue("brightness", strength=1.0)):
        assert cue.put(unit)[..., 2, 2].tolist() == cue.put(-unit)[..., 2, 2].tolist() == [[1], [1]]
        assert (cue.put(unit, (0, 8))[..., 2, 2] == 8).all()
        assert cue.put(unit[:0]).shape == (0, 1, 9, 9)
        with pytest.raises(ValueError, match=r"say what their input range is, input_range="):
            cue.put(255 * unit)


class Rescaled(torch.nn.Module):
    """A network of images from 0 to 8: those of `reader`, seen through a scale."""

    def __init__(self, net, told=True):
        super().__init__()
        self.net, self.image_shape = net, net.image_shape
        if told:
            self.input_range = (0, 8)

    def forward(self, x):
        return self.net(x / 4 - 1)


@pytest.mark.parametrize("told", [True, False])
@pytest.mark.parametrize("kind", ["corner", "brightness"])
def test_what_is_found_does_not_depend_on_the_range(kind, told):
    cue = MARK if kind == "corner" else Cue("brightness", strength=0.5)
    x, k = drawn(cue)
    found = find(reader(cue), x, k, window=4)
    net, wide = Rescaled(reader(cue), told), 4 * (x + 1)
    given = {} if told else {"input_range": (0, 8)}
    again = find(net, wide, k, window=4, **given)
    assert torch.allclose(again.windows, found.windows) and torch.allclose(
        again.lifted, found.lifted
    )
    assert torch.allclose(brighter(wide, k, (0, 8)), brighter(x, k), atol=1e-5)
    dense = concentrated(found, x, k), concentrated(again, wide, k, (0, 8))
    assert torch.allclose(dense[0].windows, dense[1].windows, atol=1e-5)
    unit = (x + 1) / 2  # nothing said: these lie in (0, 1)
    assert torch.allclose(concentrated(found, unit, k).windows, dense[0].windows, atol=1e-5)
    if not told:
        with pytest.raises(ValueError, match="say what their input range is"):
            find(net, wide, k, window=4)


def test_a_network_that_says_nothing_is_looked_into_in_the_range_that_is_given():
    net = Rescaled(reader(MARK), told=False)
    del net.image_shape
    found = detect(net, steps=60, window=4, image_shape=(1, SIDE, SIDE), input_range=(0, 8))
    assert (found.target, found.place) == (3, (8, 8)) and found.score == 1
    dear, cheap, _ = shortcuts.sketches(
        net, steps=3, per_class=2, image_shape=(1, SIDE, SIDE), input_range=(0, 8)
    )
    assert 0 <= dear.min() and 1 < cheap.max() <= 8


def test_marks_and_findings_are_told_in_a_sentence():
    assert repr(MARK) == "Cue(a square of 2 pixels, bottom right)"
    lift = Cue("brightness", strength=0.25)
    assert repr(lift) == "Cue(brightness, 25 % of the way to the brightest)"
    found = find(reader(MARK), *drawn(MARK), window=4)
    said = "Finding(class 3 of 5: the window at row 8, column 8 turns 100% of the others to it;"
    assert repr(found).startswith(said)
    found = find(reader(lift), *drawn(lift), window=4, base=6)
    assert "class 3 of 5: brightness turns 100%" in repr(found) and len(repr(found)) < 120
