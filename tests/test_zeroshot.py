"""The tables of direct inversion: the designs, rows of every kind, the rivals, the networks."""

import math
from collections import Counter

import pytest
import torch

import netinv_lite as nil
from netinv_lite.data import CLASSES
from netinv_lite.direct.partition import split
from netinv_lite.losses import total_variation
from netinv_lite.studies import direct_architectures as reversal
from netinv_lite.studies import direct_losses as zeroshot
from netinv_lite.studies import direct_resnet as deep
from netinv_lite.studies import runner as experiments
from netinv_lite.studies import shortcuts
from netinv_lite.studies import training_sources as surrogates
from netinv_lite.studies.registry import EXPERIMENTS
from netinv_lite.studies.runner import _packs, attempt

DIRECT, REVERSAL, DEEP = (EXPERIMENTS[name] for name in ("direct", "reversal", "deep"))
COMMON = {"psnr", "ssim", "cycle", "agreement", "judge", "values", "train_seconds"}
CACHES = (
    zeroshot.trained,
    reversal.trained,
    surrogates.generators,
    surrogates.deep_inverted,
    surrogates.pictures,
)


@pytest.fixture
def tiny(monkeypatch):
    """Few images, few steps, thin inverses: a row costs a blink."""
    for module in (zeroshot, reversal):
        monkeypatch.setattr(module, "PER_CLASS", 1)
    monkeypatch.setattr(zeroshot, "SIZE", {"batch_size": 4, "width": 4})
    monkeypatch.setattr(zeroshot, "STEPS", {"inverse": 10, "long": 20, "descent": 2})
    monkeypatch.setattr(surrogates, "PER_CLASS", 1)
    monkeypatch.setattr(surrogates, "GENERATORS", 2)
    quick = nil.baselines.DescentConfig(steps=2)
    monkeypatch.setitem(nil.baselines.deep_inversion.PRESETS, "deep-inversion", quick)
    short = nil.InversionConfig(steps=2, batch_size=8, width=4)
    loss, _ = nil.PRESETS["readable"]
    monkeypatch.setattr(nil.studies.evaluation, "PRESETS", {"readable": (loss, short)})
    monkeypatch.setattr(shortcuts, "IMAGES", 200)
    monkeypatch.setattr(shortcuts, "EPOCHS", {"mnist": {"CNN": 1, "MLP": 1}})
    clear()
    yield
    clear()


def clear():
    for cache in CACHES:
        cache.cache_clear()


def in_range(row: dict, columns: set[str]) -> bool:
    numbers = {k: v for k, v in row.items() if k in columns}
    assert set(numbers) == columns and all(math.isfinite(v) for v in numbers.values())
    for name in ("agreement", "judge", *({"accuracy"} & columns)):
        assert 0 <= row[name] <= 1, name
    assert row["psnr"] > 0 and -1 <= row["ssim"] <= 1 and row["cycle"] > 0
    return True


# ---- the designs --------------------------------------------------------------------------------


def test_every_kind_of_source_meets_every_loss_at_every_depth():
    rows = DIRECT.settings(DIRECT.datasets, DIRECT.seeds)
    met = Counter((r["source"], r["method"]) for r in rows)
    assert set(met.values()) == {4 * 3}, "depths and seeds"
    for source in zeroshot.CROSSED:
        assert all((source, method) in met for method in zeroshot.TRAININGS if method != "long")
    assert {source for source, method in met if method == "long"} == {*zeroshot.LONG}
    assert {r["source"] for r in rows} == {*zeroshot.CROSSED, *zeroshot.OTHERS, "none"}
    assert {m for s, m in met if s == "none"} == set(zeroshot.RIVALS)
    known = {*surrogates.DRAWN, *surrogates.COSTLY, "real", *CLASSES, "none"}
    assert {part for r in rows for part in r["source"].split(" + ")} <= known


def test_a_training_goes_to_one_worker():
    rows = DIRECT.settings(("mnist",), (0, 1))
    packs = _packs(DIRECT, dict(enumerate(rows)), 1)
    assert sum(map(len, packs)) == len(rows)
    for pack in packs:
        methods = len({row["method"] for row in pack})
        assert len({(row["source"], row["seed"]) for row in pack}) == 1
        assert methods == 1 or surrogates.costly(pack[0]["source"]), (
            "generators are trained once for all losses"
        )
    homes = Counter((p[0]["source"], p[0]["seed"]) for p in packs)
    assert homes["typical", 0] == homes["typical + strokes", 0] == homes["batch norm", 1] == 1
    assert homes["strokes", 0] == len(zeroshot.TRAININGS)
    rows = REVERSAL.settings(("mnist", "svhn"), (0,))
    packs = _packs(REVERSAL, dict(enumerate(rows)), 1)
    assert [len(p) for p in packs] == 4 * [4] + [4, 4, 4, 2, 4] + 4 * [5]
    assert all([row["depth"] for row in p] == list(range(1, len(p) + 1)) for p in packs)


@pytest.mark.parametrize("dataset", reversal.SETS)
def test_the_depths_are_those_of_the_shipped_networks(dataset):
    for network in ("", "-robust"):
        model = nil.load_classifier(dataset + network)
        blocks = split(model, model.image_shape)
        assert len(blocks) == reversal.depths(dataset, network or "plain")


@pytest.mark.parametrize("depths", [2, 4, 5])
def test_every_way_of_training_takes_as_many_steps(depths):
    for method in zeroshot.TRAININGS:
        config = zeroshot.config_of(method, depths)
        whole = depths * config.steps + config.joint
        asked = zeroshot.STEPS["long" if method == "long" else "inverse"]
        assert 0 <= asked - whole <= depths, method
        assert (config.joint > 0) == (method in zeroshot.TOGETHER) and config.block == 1
    configs = [zeroshot.config_of(m, 4) for m in zeroshot.TRAININGS]
    assert [c.image for c in configs] == [0, 1, 1, 1, 1, 1, 1]
    assert [c.cycle for c in configs] == [0, 0, 0.1, 1, 1, 1, 1]
    assert [c.answer for c in configs] == [0, 0, 0, 0, 0, 0.1, 0.1]


# ---- direct -------------------------------------------------------------------------------------


def run(study, pack):
    rows = attempt(study, [{"dataset": "digits", "seed": 0, **one} for one in pack])
    assert not [row["error"] for row in rows if row["error"]]
    return rows


@pytest.mark.filterwarnings("ignore:The generator has collapsed")
@pytest.mark.parametrize(
    "source", ["strokes", "mixed", "readable", "batch norm", "real", "digits", "readable + strokes"]
)
def test_rows_of_every_source(tiny, source):
    pack = [{"method": "joint", "source": source, "depth": depth} for depth in (1, 4)]
    rows = run(DIRECT, pack)
    assert all(in_range(row, COMMON | {"source_seconds", "image_ms"}) for row in rows)
    assert [row["values"] for row in rows] == [32 * 14 * 14, 128]
    assert len({row["train_seconds"] for row in rows}) == 1 and rows[0]["train_seconds"] > 0
    assert (rows[0]["source_seconds"] > 0) == surrogates.costly(source)
    assert rows[0]["psnr"] != rows[1]["psnr"]
    assert zeroshot.trained.cache_info().misses == 1


@pytest.mark.filterwarnings("ignore:The generator has collapsed")
def test_a_source_is_the_same_in_any_order(tiny):
    def first(n):
        with torch.random.fork_rng():
            torch.manual_seed(0)
            return surrogates.surrogate("readable", "digits", 0)[0](n)

    one = first(3)
    assert torch.equal(one, first(3)), "its generators' turn begins anew"
    assert surrogates.generators.cache_info().misses == 1


def test_of_another_network_than_the_plain_one_there_are_fewer_generators(tiny):
    plain, _ = surrogates.generators("mnist", 0, "readable")
    robust, _ = surrogates.generators("mnist", 0, "readable", "-robust")
    assert (len(plain), len(robust)) == (2, surrogates.OF_OTHERS)


def test_rivals_need_no_training(tiny):
    rows = run(DIRECT, [{"method": m, "source": "none", "depth": 4} for m in zeroshot.RIVALS])
    assert all(in_range(row, COMMON | {"source_seconds", "image_ms"}) for row in rows)
    assert all(row["train_seconds"] == row["source_seconds"] == 0 for row in rows)
    means = rows[-1]
    assert means["agreement"] > 0.8 and means["image_ms"] < rows[0]["image_ms"]
    assert zeroshot.trained.cache_info().misses == 0


def test_class_means_are_those_of_the_answers():
    model = nil.load_classifier("digits")
    means = zeroshot.class_means(model)
    data = nil.load_data("digits")
    assert torch.allclose(means[3], data.x_train[data.y_train == 3].mean(0), atol=1e-6)
    x = data.x_test[:8]
    way = zeroshot.way_of("class means", model)
    made, _ = zeroshot.returned(zeroshot.untrained(model), x, way, 4, 0)
    assert torch.equal(made, means[model(x).argmax(1)])


def test_descent_finds_an_image_with_that_representation(monkeypatch):
    model, x = nil.load_classifier("digits"), nil.load_data("digits").x_test[:4]
    inverse, far = zeroshot.untrained(model), []
    for steps in (1, 40):
        monkeypatch.setattr(zeroshot, "STEPS", {"descent": steps})
        made, seconds = zeroshot.returned(inverse, x, zeroshot.descent, 1, 0)
        assert made.shape == x.shape and -1 <= made.min() and made.max() <= 1 and seconds > 0
        far.append((made - x).abs().mean())
    assert far[1] < 0.3 * far[0], "one convolution is undone"
    monkeypatch.setattr(zeroshot, "STEPS", {"descent": 3})
    ways = zeroshot.DESCENTS.values()
    plain, smooth, dark = (zeroshot.returned(inverse, x, way, 1, 0)[0] for way in ways)
    assert total_variation(smooth) < total_variation(plain)
    assert dark.mean() < -0.7 < plain.mean(), "it begins at the low end of the range"


def test_what_is_perfect_scores_so():
    model, x = nil.load_classifier("digits"), nil.load_data("digits").x_test[:20]
    inverse = zeroshot.untrained(model)
    near = zeroshot.scores(inverse, x, (x + 0.01).clamp(-1, 1), 4, "digits")
    assert near["agreement"] == near["judge"] == 1 and near["ssim"] > 0.9 and near["psnr"] > 40
    other = zeroshot.scores(inverse, x, x.roll(1, 0), 4, "digits")
    assert other["agreement"] < 0.6 and other["cycle"] > 10 * near["cycle"]


# ---- reversal -----------------------------------------------------------------------------------


@pytest.mark.parametrize("network", ["plain", "-robust", "max pooling", "MLP", "untrained"])
def test_rows_of_every_network(tiny, network):
    depths = range(1, reversal.depths("digits", network) + 1)
    rows = run(REVERSAL, [{"network": network, "source": "real", "depth": k} for k in depths])
    assert all(in_range(row, COMMON | {"accuracy"}) for row in rows)
    shapes = [512, 256] if network == "MLP" else [32 * 14 * 14, 64 * 7 * 7, 128 * 4 * 4, 128]
    assert [row["values"] for row in rows] == shapes
    assert rows[0]["accuracy"] > 0.9 or network not in reversal.SHIPPED


def test_one_thing_is_changed_of_a_network():
    shape = (1, 28, 28)
    variants = {k: reversal.variant(k, shape, 10) for k in ("CNN", "ReLU", "max pooling")}
    layers = {k: [type(m).__name__ for m in model.modules()] for k, model in variants.items()}
    assert [n.replace("LeakyReLU", "ReLU") for n in layers["CNN"]] == layers["ReLU"]
    assert [n for n in layers["max pooling"] if n != "MaxPool2d"] == layers["CNN"]
    assert layers["max pooling"].count("MaxPool2d") == 3 and "LeakyReLU" not in layers["ReLU"]


# ---- deep ---------------------------------------------------------------------------------------


@pytest.mark.slow
def test_rows_of_the_deep_network(monkeypatch):
    x = torch.rand(6, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    monkeypatch.setattr(deep, "real_images", lambda *_: (x, None))
    tiny = nil.direct.DirectConfig(steps=1, joint=1, batch_size=2, width=4, answer=0.1)
    monkeypatch.setattr(deep, "SETTINGS", tiny)
    deep.trained.cache_clear()
    pack = [r for r in DEEP.settings(("cifar10",), (0,)) if r["source"] == "mixed"]
    assert [r["depth"] for r in pack] == list(range(1, 12)) and DEEP.shared(pack[0])[2] == "mixed"
    rows = attempt(DEEP, [pack[0], pack[9], pack[10]])
    assert not [row["error"] for row in rows if row["error"]]
    assert all(in_range(row, COMMON | {"source_seconds", "image_ms"}) for row in rows)
    names = ("psnr", "ssim", "cycle", "agreement", "judge", "image_ms")
    for row in rows:
        ways = [{k: row[way + k] for k in names} for way in ("", "corrected_", "refined_")]
        assert all(in_range(way, set(way)) and way["image_ms"] > 0 for way in ways)
        assert ways[0]["cycle"] >= ways[1]["cycle"] > ways[2]["cycle"]
    assert [row["convolutions"] for row in rows] == [1, 19, 19]
    assert [row["values"] for row in rows] == [16384, 4096, 64]
    made = [deep.trained("cifar10", 0, "-resnet20", "mixed", depth)[0] for depth in (1, 2)]
    assert deep.trained.cache_info().misses == 11, "each depth begins with the one before"
    assert list(made[0].history) == ["block 1", "joint"]
    assert list(made[1].history) == ["block 2", "joint"]
    seconds = [row["train_seconds"] for row in rows]
    assert seconds == sorted(seconds), "counted from the first depth on"
    deep.trained.cache_clear()


@pytest.mark.parametrize("kind", ["typical", "batch norm", "strokes + typical"])
def test_a_source_is_of_the_network_that_is_asked(kind, monkeypatch):
    asked, load = set(), nil.studies.evaluation.load_network

    def noted(dataset, network):
        asked.add((dataset, network))
        return load(dataset, network)

    def stopped(*_, **__):
        raise InterruptedError

    monkeypatch.setattr(surrogates, "load_network", noted)
    monkeypatch.setattr(nil.studies.evaluation, "load_network", noted)
    monkeypatch.setattr(nil.studies.evaluation, "invert", stopped)
    monkeypatch.setattr(surrogates, "pixel_descent", stopped)
    with pytest.raises(InterruptedError):
        surrogates.surrogate(kind, "cifar10", 0, "-resnet20")
    assert asked == {("cifar10", "-resnet20")}


def test_a_deep_network_is_of_no_account_to_rows_that_do_not_use_it():
    of = experiments._weights
    assert of({"dataset": "cifar10"}) == of({"dataset": "cifar10", "network": "-robust"})
    assert of({"dataset": "cifar10", "network": "-resnet20"}) != of({"dataset": "cifar10"})


def test_unknown_names_are_refused(tiny):
    base = {"dataset": "digits", "seed": 0, "depth": 1}
    for wrong in ({"method": "magic", "source": "real"}, {"method": "joint", "source": "dreams"}):
        with pytest.raises(ValueError, match="Unknown"):
            zeroshot.direct(**base, **wrong)
    with pytest.raises(ValueError, match="Unknown network"):
        reversal.reversal(**base, network="rnn", source="real")
