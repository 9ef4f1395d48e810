"""The experiments of chapter 12: a row of each, and the measures that they are made of."""

from functools import partial

import pytest
import torch
from scipy.stats import spearmanr

import netinv_lite as nil
from marked import MARK, SIDE, K, drawn, reader
from netinv_lite.applications.shortcuts import Cue
from netinv_lite.studies import confusions
from netinv_lite.studies import runner as experiments
from netinv_lite.studies import shortcuts as study
from netinv_lite.studies.registry import EXPERIMENTS

# ---- shortcuts ------------------------------------------------------------------------------


@pytest.fixture
def quick(monkeypatch):
    epochs = dict.fromkeys(study.FITS, 1)
    monkeypatch.setattr(study, "EPOCHS", {"digits": epochs, "mnist": epochs})
    monkeypatch.setattr(study, "IMAGES", 200)
    monkeypatch.setattr(study, "sketches", partial(study.sketches, steps=3, per_class=5))
    monkeypatch.setattr(confusions, "SHORT", {"steps": 3, "batch_size": 16})


def row(name, **settings):
    (done,) = experiments.attempt(EXPERIMENTS[name], [{"dataset": "digits", "seed": 1, **settings}])
    assert not done["error"]
    return done


@pytest.mark.filterwarnings("ignore:The generator has collapsed")
def test_a_planted_and_a_clean_network_give_the_same_columns(quick):
    marked = row("shortcuts", architecture="MLP", kind="corner")
    clean = row("shortcuts", architecture="MLP", kind="none")
    assert marked.keys() == clean.keys()
    assert {marked["class_right"], marked["place_right"]} <= {0.0, 1.0} and 0 <= marked[
        "turned"
    ] <= 1
    nothing = ("turned", "kept", "class_right", "look_class_right", "guess_place_right")
    assert all(clean[name] != clean[name] for name in nothing)  # not a number
    assert clean["accuracy"] == clean["clean_accuracy"]
    other = row("shortcuts", architecture="MLP", kind="calibration")
    assert other["accuracy"] != clean["accuracy"] or other["index"] != clean["index"]


def test_every_architecture_can_be_taught(quick):
    data = nil.load_data("digits")
    for architecture in study.FITS:
        model = study.taught(data, architecture, 0)
        assert nil.metrics.logits(model, data.x_test[:2]).shape == (2, 10) and not model.training


def test_class_and_corner_change_with_the_seed():
    data = nil.load_data("digits")
    cases = [study.case(data, seed, "corner") for seed in range(5)]
    assert (
        len({target for _, _, target in cases}) == 5 and len({c.corner for _, c, _ in cases}) == 4
    )
    planted, cue, target = cases[0]
    assert torch.equal(
        planted.x_test[data.y_test == target], cue.put(data.x_test[data.y_test == target])
    )
    assert study.case(data, 0, "none")[0] is data is study.case(data, 0, "calibration")[0]


def test_reliance_has_two_halves():
    x, y = drawn()
    data = nil.ImageData(x, y, x, y, classes=tuple("abcde"))
    assert study.reliance(reader(), data, MARK, 3) == {"turned": 0, "kept": 1}
    assert study.reliance(reader(MARK), data, MARK, 3)["turned"] == 1
    deaf = reader()
    deaf[1].bias.data[3] = -100.0  # never reads class 3
    assert study.reliance(deaf, data, MARK, 3) == {"turned": 0, "kept": 0}


def test_looking_asks_nobody():
    found = study.looked(*drawn(MARK), window=4)
    assert found.windows.shape == (K, 3, 3) and found.windows.max() == 1
    assert found.windows[3, 2, 2] > found.windows[0, 2, 2] and (found.windows >= 0).all()
    assert not found.matches(Cue("brightness"), 3, (1, SIDE, SIDE))[1]


# ---- confusions -----------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:The generator has collapsed")
def test_a_row_of_confusions(quick):
    done = row("confusions", network="-robust")
    ways = {"answers", "features", "rows"}
    assert ways <= done.keys() and {f"{way}_within" for way in ways} <= done.keys()
    assert all(-1 <= done[way] <= 1 and 0 < done[f"{way}_p"] <= 1 for way in ways)
    assert done["rows_p"] < 0.05 and done["rows"] > done["rows_control_95"]
    assert 0.5 < done["ceiling"] <= 1 and done["errors"] == int(done["errors"])


def test_answers_are_means_over_a_class():
    model, (x, k) = reader(), drawn()
    Q = model(x).double().softmax(1)
    mean = confusions.answers(model, x, k, "mean")
    assert torch.allclose(mean[2], Q[k == 2].mean(0), atol=1e-6) and torch.allclose(
        mean.sum(1), torch.ones(K).double(), atol=1e-6
    )
    assert torch.allclose(confusions.answers(model, x, k)[1], Q[k == 1].log().mean(0), atol=1e-4)


def test_rank_correlation_is_spearmans_without_the_diagonal():
    g = torch.Generator().manual_seed(0)
    a, b = torch.randint(4, (6, 6), generator=g).double(), torch.rand(6, 6, generator=g).double()
    off = ~torch.eye(6, dtype=torch.bool)
    assert confusions.rank_correlation(a, b) == pytest.approx(spearmanr(a[off], b[off]).statistic)
    a.fill_diagonal_(99)
    assert confusions.rank_correlation(a, a.exp()) == pytest.approx(1)
    with pytest.raises(ValueError, match="square matrices of one size"):
        confusions.rank_correlation(a, b[:5])


def test_the_control_renames_rows_and_columns_together():
    sides = 10 ** torch.arange(5.0).double()
    a = sides[:, None] + 2 * sides  # every entry tells its row and column
    a.fill_diagonal_(1e9)  # and the diagonal must stay there
    control = confusions.permuted(a, a, times=50)
    assert control.max() <= 1 and abs(control.mean()) < 0.3 and (control < 0.999).any()
    assert torch.equal(control, confusions.permuted(a, a, times=50))
    assert not torch.equal(control, confusions.permuted(a, a, times=50, seed=1))


def test_centred_rows_have_no_mean_off_the_diagonal():
    rows = torch.rand(5, 5, dtype=torch.float64)
    got = confusions.centred(rows)
    assert torch.allclose(got.sum(1), got.diagonal()) and torch.allclose(
        got[0] - got[0, 1], rows[0] - rows[0, 1]
    )


def test_alike_are_cosines_about_the_mean():
    rows = torch.tensor([[1.0, 0.0], [3.0, 0.0], [2.0, 3.0]])
    got = confusions.alike(rows)
    assert torch.allclose(got, got.T) and got.diagonal().tolist() == pytest.approx([1, 1, 1])
    assert got[0, 1].item() == pytest.approx(
        torch.tensor([-1.0, -1.0]).dot(torch.tensor([1.0, -1.0])).item()
    )
