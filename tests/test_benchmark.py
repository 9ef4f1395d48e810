"""The benchmark: what a row says of its target, and that nothing measured is ever lost."""

import csv
import json
import math
import types

import pytest
import torch

import netinv_lite as nil
from netinv_lite import benchmark, measure, rivals
from netinv_lite.measure import Plan, Row, crossing
from netinv_lite.weights import read_tensors

pytestmark = pytest.mark.filterwarnings("ignore:The generator has collapsed")
TINY = Plan(networks=("digits",), base="digits", images=20, per_class=2, rounds=2,
            config=nil.InversionConfig(steps=6, batch_size=4, width=8), template_seconds=0.01,
            imports=1)  # fmt: skip
PARTS = ["network digits", "seeds digits", "floor digits", "conditioning", "import",
         "sampling digits", "template step digits", "template digits"]  # fmt: skip


@pytest.fixture(autouse=True)
def one_thread(monkeypatch):
    monkeypatch.setattr(benchmark, "THREADS", 1)  # two would wait for each other beside a test


@pytest.fixture
def quick_parts(monkeypatch):
    """Parts that take no time; the list of those measured so far, and the one that fails."""
    state = types.SimpleNamespace(measured=[], fails=None)

    def part(key):
        def call():
            if key == state.fails:
                raise KeyboardInterrupt
            state.measured.append(key)
            return [Row(key, float(len(state.measured)), "times", "≥ 1")]

        return call

    monkeypatch.setattr(benchmark, "parts", lambda *_: {key: part(key) for key in PARTS})
    return state


def run(path, **settings):
    return benchmark.run(path, plan=TINY, progress=False, **settings)


# ---- rows -------------------------------------------------------------------------------------


@pytest.mark.parametrize("value, target, met", [
    (0.99, "≥ 0.99", "yes"), (0.98, "≥ 0.99", "no"), (15, "≤ 15", "yes"), (15.1, "≤ 15", "no"),
    (-1.0, "≤ 0.3", "yes"), (None, "≤ 15", "no"), (math.nan, "≥ 1", "no"), (math.nan, "≤ 1", "no"),
    (7, "", ""), (None, "", ""),
])  # fmt: skip
def test_a_target_is_met_or_not(value, target, met):
    assert Row("name", value, "unit", target).record()["met"] == met


def test_one_lucky_batch_is_no_crossing():
    assert crossing([0.9, 0.9, 1.0, 0.9, 0.9, 0.9, 0.9]) is None
    assert crossing([0.5] * 3 + [0.95] * 9) == 8  # the fifth step at .95
    assert crossing([1.0] * 4) is None and crossing([1.0] * 5) == 5 and crossing([]) is None


def test_medians_take_turns():
    order = []
    calls = {name: lambda name=name: order.append(name) for name in "ab"}
    assert set(measure.medians(3, calls)) == {"a", "b"}
    assert order == ["a", "b"] * (measure.WARM_UP + 3)


def test_imports_alternate_and_the_first_pair_is_dropped(monkeypatch):
    commands, seconds = [], iter([9.0, 99.0, 1.0, 1.25, 3.0, 3.5, 2.0, 2.125])
    monkeypatch.setattr(measure.subprocess, "run", lambda c, **_: commands.append(c[-1]))
    monkeypatch.setattr(measure, "timed", lambda call: call() or next(seconds))
    more, base = measure.imports(Plan(imports=3))
    assert more.value == 0.25 and base.value == 2.0 and more.met == "yes"
    assert ["netinv_lite" in c for c in commands] == [False, True] * 4


# ---- every part on a tiny plan ----------------------------------------------------------------


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    folder = tmp_path_factory.mktemp("benchmark")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(measure, "imports", lambda _: [Row("import", 0.1, "s", "≤ 0.3")])
        patch.setattr(benchmark, "THREADS", 1)
        threads = torch.get_num_threads()
        result = run(folder / "results.json")
        assert torch.get_num_threads() == threads
    return result, folder


def value(report, part, name):
    (row,) = [row for row in report["parts"][part]["rows"] if row["name"] == name]
    return row["value"]


def test_every_part_is_measured_and_written(report):
    report, folder = report
    assert list(report["parts"]) == PARTS
    assert json.loads((folder / "results.json").read_text(encoding="utf-8")) == report
    assert sorted(file.name for file in folder.iterdir()) == ["results.csv", "results.json"]
    with open(folder / "results.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == sum(len(part["rows"]) for part in report["parts"].values())
    assert {row["met"] for row in rows} <= {"yes", "no", ""}
    assert all((row["met"] == "") == (row["target"] == "") for row in rows)
    text = benchmark.table_of(report)
    assert all(row["name"] in text for row in rows)


def test_provenance(report):
    about = report[0]["provenance"]
    assert about["seed"] == 0 and about["threads"] == 1 and about["device"] == "cpu"
    assert about["torch"] == torch.__version__ and about["plan"]["rounds"] == 2
    assert about["command"] == "python -m netinv_lite benchmark" and about["date"].endswith("Z")
    assert about["seconds"] > 0 and "/" not in json.dumps(about["command"])


def test_ratios_are_ratios_of_the_rows_beside_them(report):
    report, _ = report
    of = lambda part, name: value(report, part, name)  # noqa: E731
    step, floor = "training step", "floor: classifier's forward and backward"
    ratio = of("floor digits", "training step / floor")
    assert ratio == pytest.approx(of("floor digits", step) / of("floor digits", floor))
    name = "conditioning (draw, embedding, M, joining), K=10"
    ratio = of("conditioning", "conditioning (draw, embedding, M, joining), K=1000 / K=10")
    assert ratio == pytest.approx(of("conditioning", name + "00") / of("conditioning", name))
    name = "Vendi score by class, pixels"
    theirs = of("template digits", f"template's {name}")
    ratio = of("template digits", f"{name}, ours / template")
    assert ratio == pytest.approx(of("network digits", name) / theirs)


def test_seed_0_stands_beside_two_others(report):
    report, _ = report
    rows = {row["name"]: row for row in report["parts"]["seeds digits"]["rows"]}
    row = rows["judge accuracy, mean of seeds 0 to 2"]
    three = [float(number) for number in row["note"].split(", ")]
    assert len(three) == 3 and row["value"] == pytest.approx(sum(three) / 3, abs=1e-3)
    assert three[0] == pytest.approx(value(report, "network digits", "judge accuracy"), abs=1e-3)


def test_what_is_not_reached_is_said(report):
    report, _ = report
    row = next(r for r in report["parts"]["network digits"]["rows"] if r["name"] == "time to 95 %")
    assert (row["value"], row["met"]) == (None, "no") and "not passed in 6 steps" == row["note"]
    rows = {row["name"]: row for row in report["parts"]["template digits"]["rows"]}
    assert "lower bound" in rows["template's time to 95 %"]["note"]
    assert rows["time to 95 %, template / ours"]["met"] == "no"
    assert value(report, "template step digits", "template's steps") == 5


def test_the_generator_overtakes_where_its_training_is_paid(monkeypatch):
    monkeypatch.setattr(rivals, "timed", lambda _: 0.4)  # 4 images, 0.1 s each
    classifier = nil.load_classifier("digits")
    rows = rivals.ascent(classifier, "black", TINY, 0.0, 10.0, 0.02)
    even = next(row.value for row in rows if "cheaper" in row.name)
    assert even == pytest.approx(10 / (0.1 - 0.02))
    rows = rivals.ascent(classifier, "black", TINY, 0.0, 10.0, 0.2)
    never = next(row for row in rows if "cheaper" in row.name)
    assert never.value is None and "never" in never.note


# ---- interrupted and resumed ------------------------------------------------------------------


def test_an_interrupted_run_goes_on(quick_parts, tmp_path):
    path, quick_parts.fails = tmp_path / "b.json", "conditioning"
    with pytest.raises(KeyboardInterrupt):
        run(path)
    assert not path.exists()
    kept = json.loads((tmp_path / "b.json.partial").read_text(encoding="utf-8"))["parts"]
    assert list(kept) == PARTS[:3]
    quick_parts.fails = None
    report = run(path)
    assert quick_parts.measured == PARTS
    assert all(report["parts"][key] == part for key, part in kept.items())
    assert sorted(file.name for file in tmp_path.iterdir()) == ["b.csv", "b.json"]


def test_a_complete_run_is_measured_anew(quick_parts, tmp_path):
    run(tmp_path / "b.json")
    run(tmp_path / "b.json")
    assert quick_parts.measured == PARTS * 2


def test_results_of_before_stay_until_the_new_ones_are_whole(quick_parts, tmp_path):
    before = run(tmp_path / "b.json")
    quick_parts.fails = PARTS[-1]
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "b.json")
    assert json.loads((tmp_path / "b.json").read_text(encoding="utf-8")) == before


@pytest.mark.parametrize("change", ["fresh", "threads", "weights", "damaged"])
def test_what_is_not_taken_over(quick_parts, tmp_path, monkeypatch, change):
    path, quick_parts.fails = tmp_path / "b.json", "conditioning"
    with pytest.raises(KeyboardInterrupt):
        run(path)
    quick_parts.fails = None
    if change == "threads":
        monkeypatch.setattr(benchmark, "THREADS", 2)
    elif change == "weights":
        monkeypatch.setattr(benchmark, "shipped", lambda: {"digits": {"sha256": "other"}})
    elif change == "damaged":
        (tmp_path / "b.json.partial").write_text('{"provenance": ', encoding="utf-8")
    run(path, fresh=change == "fresh")
    assert quick_parts.measured == PARTS[:3] + PARTS


def test_only_some_parts(quick_parts, tmp_path):
    report = run(tmp_path / "b.json", only=["template"])
    assert quick_parts.measured == ["network digits", "template step digits", "template digits"]
    assert not (tmp_path / "b.json").exists() and "command" not in report["provenance"]
    report = run(tmp_path / "b.json")
    assert sorted(quick_parts.measured) == sorted(PARTS) and list(report["parts"]) == PARTS
    assert (tmp_path / "b.json").exists()


class SmallTemplate(nil.Generator):
    """In place of the template, which would take a minute for so many steps."""

    latent_dim = 100

    def __init__(self, shape, conditioning, *, input_range, dropout):
        super().__init__(shape, conditioning, input_range=input_range, latent_dim=100, width=4)


def test_the_template_goes_on_from_its_checkpoint(tmp_path, monkeypatch):
    monkeypatch.setattr("netinv_lite.template.Template", SmallTemplate)
    earlier = {"template's steps": 55, "time to 95 %": 2.0}
    settings = (TINY, lambda _, name: earlier.get(name, 1.0), tmp_path / "checkpoint")

    def measured():
        return {row.name: row.value for row in rivals.template("digits", *settings)}

    whole = measured()
    with monkeypatch.context() as patch:  # nothing is left to train
        patch.setattr("netinv_lite.loop.Loop._advance", None)
        assert measured() == whole
    seconds = read_tensors(tmp_path / "checkpoint")[1]["inversion"]["history"]["seconds"]
    assert len(seconds) == 55 and seconds == sorted(seconds)
    assert whole["template's training"] == seconds[-1]


# ---- the command ------------------------------------------------------------------------------


def test_the_command_prints_and_says_where(quick_parts, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(benchmark, "whole", lambda quick: TINY)
    assert benchmark.main(str(tmp_path / "new"), quick=True, progress=False) == 0
    out = capsys.readouterr().out
    assert "8 of 8 targets met" in out and str(tmp_path / "new" / "benchmark-quick.json") in out
    about = json.loads((tmp_path / "new" / "benchmark-quick.json").read_text(encoding="utf-8"))
    assert about["provenance"]["command"].endswith("benchmark --quick")
    quick_parts.fails = "import"
    with pytest.raises(KeyboardInterrupt, match="kept: 4 parts.*To go on"):
        benchmark.main(tmp_path, progress=False)
    assert "conditioning" in capsys.readouterr().out
    assert benchmark.main(tmp_path, only=["floor"], progress=False) == 0
    assert "not all parts" in capsys.readouterr().out


def test_wrong_calls(quick_parts, tmp_path):
    with pytest.raises(ValueError, match="Did you mean 'template'"):
        run(tmp_path / "b.json", only=["templat"])
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(OSError, match="Cannot write"):
        run(tmp_path / "file" / "b.json")
    assert quick_parts.measured == []


def test_the_plans():
    plan = benchmark.whole(quick=False)
    assert {"digits", "mnist"} <= set(plan.networks) and plan.base == "mnist"
    assert not any(name.endswith("-judge") for name in plan.networks)
    assert plan.config == nil.InversionConfig() and plan.rounds >= 30
    assert benchmark.whole(quick=True).networks == ("digits",)
