"""Grids of runs: each once, on processes or a cluster, and nothing that was done is lost."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import pandas as pd
import pytest
import torch
from joblib.externals.loky import get_reusable_executor

import netinv_lite as nil
from grid import GRID, PLAN
from netinv_lite.studies import readability_diversity as front
from netinv_lite.studies import readability_methods as methods
from netinv_lite.studies import runner as experiments
from netinv_lite.studies.registry import EXPERIMENTS
from netinv_lite.studies.summaries import means

HERE = Path(__file__).parent


@pytest.fixture
def grid(tmp_path, monkeypatch):
    """The folder of the grid's traces; `grid.log()` counts the runs that were begun."""
    monkeypatch.setenv("GRID", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(HERE), str(HERE.parent)]))
    get_reusable_executor().shutdown(wait=True)  # its processes have the $GRID of another test
    return tmp_path


def log(folder):
    path = folder / "log"
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


def run(folder, **settings):
    return experiments.run(GRID, out=folder / "results", progress=False, **settings)


def same(a, b):
    a, b = (frame.drop(columns="seconds").reset_index(drop=True) for frame in (a, b))
    pd.testing.assert_frame_equal(a, b, check_dtype=False, check_exact=True)
    return True


# ---- the table ------------------------------------------------------------------------------


def test_a_row_for_every_run(grid):
    table = run(grid)
    assert list(table["seed"]) == [0, 1, 2] * 2 and list(table["power"]) == [1] * 3 + [2] * 3
    assert list(table["value"]) == [0, 1, 2, 0, 1, 4] and (table["threads"] == 1).all()
    assert (table["error"] == "").all() and table["run"].is_unique
    about = json.loads((grid / "results" / "grid.json").read_text(encoding="utf-8"))
    assert about["runs"] == 6 and about["failed"] == 0 and about["seeds"] == [0, 1, 2]
    assert about["command"] == "python -m netinv_lite experiment grid"
    assert about["torch"] == torch.__version__ and about["device"] and about["date"]
    said = experiments.provenance("grid", grid / "results")
    assert said.startswith(f"{about['command']} | 6 runs") and said.endswith(torch.__version__)
    read = experiments.load_results("grid", grid / "results")
    assert list(read["value"]) == list(table["value"]) and "error" not in read


def test_what_is_done_is_skipped_and_the_rest_is_added(grid):
    first = run(grid, seeds=[0, 1])
    assert len(log(grid)) == 4
    table = run(grid)
    assert len(log(grid)) == 6 and len(table) == 6
    assert same(first, table[table["seed"] < 2].reset_index(drop=True))
    run(grid, seeds=[1])
    assert len(log(grid)) == 6
    assert len(experiments.load_results("grid", grid / "results")) == 6  # the others stay
    run(grid, seeds=[1], fresh=True)
    assert len(log(grid)) == 8


@pytest.mark.slow
def test_trained_together_it_is_the_same_table(grid):
    alone = experiments.run(PLAN, out=grid / "alone", progress=False)
    for jobs, together in ((1, 4), (1, 3), (2, 2)):
        out = grid / f"{jobs}-{together}"
        batch = experiments.run(PLAN, out=out, jobs=jobs, together=together, progress=False)
        assert list(batch["run"]) == list(alone["run"])
        assert list(batch["weight"]) == list(alone["weight"]) == [1, 1, 2, 2]
        assert list(batch["loss"]) == pytest.approx(list(alone["loss"]), rel=5e-3)
        about = json.loads((out / "plan.json").read_text(encoding="utf-8"))
        assert about["together"] == together


def test_of_a_batch_only_the_run_that_fails_has_failed(grid):
    (grid / "fail").touch()
    table = experiments.run(PLAN, out=grid, together=4, progress=False)
    assert list(table["error"] != "") == [False, True, False, True]
    (grid / "fail").unlink()
    assert (experiments.run(PLAN, out=grid, together=4, progress=False)["error"] == "").all()


def test_other_networks_are_another_result(grid, monkeypatch):
    run(grid)
    monkeypatch.setattr(experiments, "shipped", lambda *_: {"digits-judge": {"sha256": "other"}})
    table = run(grid)
    assert len(log(grid)) == 12 and len(experiments.load_results("grid", grid / "results")) == 6
    assert table["weights"].nunique() == 1


def test_runs_fail_one_by_one_and_are_tried_again(grid):
    (grid / "fail").touch()
    table = run(grid)
    assert list(table["error"] != "") == [False, True, False] * 2
    assert table["error"][1] == "ValueError: seed 1 is not to be had"
    assert len(experiments.load_results("grid", grid / "results")) == 4
    (grid / "fail").unlink()
    table = run(grid)
    assert (table["error"] == "").all() and len(log(grid)) == 8
    assert same(table, run(grid, fresh=True))


def test_means_of_a_run_find_settings_and_measurements_by_themselves(grid):
    table = means(run(grid), digits=3)
    spread = pd.Series([0.0, 1, 4]).std()
    assert table.index.tolist() == [1, 2] and table["runs"].tolist() == [3, 3]
    assert table["value"].tolist() == ["1.000 ± 1.000", f"1.667 ± {spread:.3f}"]


# ---- processes and clusters -----------------------------------------------------------------


@pytest.mark.slow
def test_two_processes_give_the_same_rows(grid):
    alone = run(grid)
    assert same(alone, run(grid, jobs=2, fresh=True))


@pytest.mark.slow
def test_a_killed_process_takes_no_other_run_with_it(grid):
    (grid / "kill").touch()
    table = run(grid, jobs=2)
    lost = table["error"] != ""
    assert list(table["seed"][lost]) == [1] and "worker was killed" in table["error"][lost].item()
    (grid / "once").touch()
    table = run(grid, jobs=2)  # killed once more, then it goes through
    assert (table["error"] == "").all() and list(table["value"]) == [0, 1, 2, 0, 1, 4]


SCRIPT = "from grid import GRID; from netinv_lite.experiments import run; run(GRID, out={!r})"


def test_kill_9_loses_only_the_run_that_was_on(grid):
    (grid / "slow").touch()
    out = str(grid / "results")
    process = subprocess.Popen([sys.executable, "-c", SCRIPT.format(out)])
    table = grid / "results" / "grid.csv"
    wait(lambda: table.exists() and len(table.read_text(encoding="utf-8").splitlines()) > 2)
    process.send_signal(signal.SIGKILL)
    process.wait()
    (grid / "slow").unlink()
    assert " of 6 runs, " in experiments.provenance("grid", grid / "results")
    begun = len(log(grid))
    whole = run(grid)
    assert " | 6 runs, " in experiments.provenance("grid", grid / "results")
    assert begun < 6 and len(log(grid)) in (6, 7)  # the one that was on is done again
    assert same(whole, run(grid, fresh=True))


@pytest.fixture
def scheduler(grid):
    """A Dask scheduler with two worker processes: its address, and the workers."""
    pytest.importorskip("distributed")
    address = grid / "scheduler.json"
    command = [sys.executable, "-m", "dask"]
    here = ["--host", "127.0.0.1", "--no-dashboard", "--scheduler-file", str(address)]
    processes = [subprocess.Popen([*command, "scheduler", "--port", "0", *here])]
    try:
        wait(address.exists)
        single = [*command, "worker", *here, "--nthreads", "1", "--no-nanny"]
        folders = [["--local-directory", str(grid / f"worker-{i}")] for i in range(2)]
        workers = [subprocess.Popen([*single, *folder]) for folder in folders]
        processes += workers
        yield json.loads(address.read_text(encoding="utf-8"))["address"], workers
    finally:
        for process in processes:
            process.kill()
            process.wait()


def wait(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


KILLER = """
import os, sys, time
log, worker = sys.argv[1:]
while not (os.path.exists(log) and len(open(log).readlines()) > 4):
    time.sleep(0.02)
os.kill(int(worker), 9)
"""


@pytest.mark.slow
def test_a_cluster_gives_the_same_rows_though_a_worker_dies(grid, scheduler):
    address, workers = scheduler
    alone = run(grid, seeds=range(6))
    (grid / "slow").touch()
    (grid / "log").unlink()
    log_and_worker = [str(grid / "log"), str(workers[0].pid)]
    killer = subprocess.Popen([sys.executable, "-c", KILLER, *log_and_worker])
    table = run(grid, seeds=range(6), cluster=address, fresh=True)
    assert killer.wait(timeout=60) == 0 and workers[0].wait(timeout=60) != 0
    assert workers[1].poll() is None  # one worker did the rest
    assert same(alone, table)


@pytest.mark.slow
def test_no_scheduler_at_the_address(grid, monkeypatch):
    pytest.importorskip("distributed")
    with pytest.raises(ConnectionError, match="No Dask scheduler answers at tcp://127.0.0.1:9"):
        run(grid, cluster="tcp://127.0.0.1:9")


# ---- what can go wrong ----------------------------------------------------------------------


@pytest.mark.parametrize("read", [experiments.load_results, experiments.provenance])
def test_results_that_are_not_there_name_the_command(read, tmp_path):
    with pytest.raises(FileNotFoundError, match="python -m netinv_lite experiment losses"):
        read("losses", tmp_path)


def test_a_folder_that_cannot_be_written(grid):
    (grid / "results").write_text("", encoding="utf-8")
    with pytest.raises(OSError, match="Cannot write"):
        run(grid)
    assert log(grid) == []


def test_a_table_of_something_else_is_not_overwritten(grid):
    path = grid / "results" / "grid.csv"
    path.parent.mkdir()
    path.write_text("a,b\n1,2\n", encoding="utf-8")
    with pytest.raises(ValueError, match="is not a table of runs"):
        run(grid)
    assert path.read_text(encoding="utf-8") == "a,b\n1,2\n"


# ---- the studies of the book ----------------------------------------------------------------


def test_a_grid_varies_its_last_column_first_and_a_dict_is_several_columns():
    ways = [{"method": "a", "steps": 1}, {"method": "b", "steps": 2}]
    rows = experiments.grid(way=ways, seed=[0, 1], dataset=["digits"])
    assert [list(row) for row in rows] == 4 * [["dataset", "seed", "method", "steps"]]
    assert [tuple(row.values())[1:] for row in rows] == [
        (0, "a", 1),
        (1, "a", 1),
        (0, "b", 2),
        (1, "b", 2),
    ]


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_the_runs_of_a_study_are_all_different(name):
    study = EXPERIMENTS[name]
    runs = study.settings(study.datasets, study.seeds)
    assert len({experiments.key(settings) for settings in runs}) == len(runs) >= 18
    assert {settings["dataset"] for settings in runs} == set(study.datasets)
    assert len(study.seeds) >= 3


@pytest.mark.filterwarnings("ignore:The generator has collapsed")
def test_a_study_measures_what_the_book_prints(monkeypatch):
    monkeypatch.setattr(
        nil.studies.evaluation,
        "PRESETS",
        {
            name: (loss, nil.InversionConfig(steps=3, batch_size=16, width=8))
            for name, (loss, _) in nil.PRESETS.items()
        },
    )
    settings = {"dataset": "digits", "seed": 0, "loss": "cosine by class"}
    (row,) = experiments.attempt(EXPERIMENTS["losses"], [settings])
    assert not row["error"]
    real = nil.studies.datasets.datasets("digits", 0, "plain", "real")
    noise = nil.studies.datasets.datasets("digits", 0, "-robust", "noise")
    own = set(row) - set(settings) - set(experiments.KEYS)
    assert set(real) == set(noise) == own | {"cpu_seconds"}
    assert real["judge"] > 0.95 and real["excess_vendi"] == pytest.approx(1)
    assert real["coverage"] == 1 and noise["judge"] < 0.3


@pytest.mark.filterwarnings("ignore:The generator has collapsed")
def test_the_gap_is_studied_by_one_change_at_a_time(monkeypatch):
    short = {"steps": 3, "batch_size": 16, "width": 8}
    presets = {n: (loss, replace(config, **short)) for n, (loss, config) in nil.PRESETS.items()}
    monkeypatch.setattr(nil.studies.evaluation, "PRESETS", presets)
    study = EXPERIMENTS["gap"]
    runs = [s for s in study.settings(("digits",), (0,)) if s["network"] == "plain"]
    wanted = [
        nil.studies.evaluation.wanted(**nil.studies.ablations.gap(**settings))[1]
        for settings in runs
    ]
    own = [{**vars(run["loss"]), **vars(run["config"])} for run in wanted]
    changes = [settings["change"] for settings in runs]
    base = {name: own[changes.index(name)] for name in ("readable", "papers")}
    assert sum(base["readable"][key] != base["papers"][key] for key in own[0]) > 5
    for change, one in zip(changes, own, strict=True):
        if change not in base:
            assert sum(one[key] != base["readable"][key] for key in one) in {1, 2}
    packs = experiments._packs(study, dict(enumerate(study.settings(("digits",), (0, 1)))), 4)
    alone = [pack[0]["change"] for pack in packs if len(pack) == 1]
    assert alone == 4 * ["batch norm"], "whose statistics would be those of the whole pack"
    rows = [*experiments.attempt(study, [runs[0]]), *experiments.attempt(study, [runs[8]])]
    assert not any(row["error"] for row in rows) and rows[0]["referee"] >= 0
    assert (
        rows[0]["judge"] != rows[1]["judge"] or rows[0]["vendi_pixels"] != rows[1]["vendi_pixels"]
    )


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The generator has collapsed")
def test_the_front_has_a_ceiling_a_floor_and_prices(monkeypatch):
    loss, _ = nil.PRESETS["readable"]
    short = nil.InversionConfig(steps=3, batch_size=16, width=8)
    presets = {"readable": (loss, short), "typical": (nil.PRESETS["typical"][0], short)}
    monkeypatch.setattr(nil.studies.evaluation, "PRESETS", presets)
    point = partial(front.front, "digits", 0, "-robust")
    real, noise = point("real", 0.0, 0), point("noise", 0.0, 0)
    assert real["referee"] > 0.95 and real["excess_referee"] == pytest.approx(1)
    assert noise["referee"] < 0.3 and noise["train_seconds"] == noise["image_ms"] == 0
    made = point("generator", 0.1, 0)
    assert set(made) == set(real) and made["train_seconds"] > 0 and made["image_ms"] > 0
    sure = [point(some + "typical generator", 0.1, 0) for some in ("", "chosen ", "choosier ")]
    assert sure[0]["vendi_pixels"] != made["vendi_pixels"]
    assert sure[0]["confidence"] < sure[1]["confidence"] < sure[2]["confidence"]
    at = methods.Point("digits", "-robust", seed=0, strength=0.1, steps=0)
    inversion, _ = methods.trained(at, "typical", typical=True)
    assert (inversion.loss.batch_norm, inversion.config.shading) == (1.0, 0.0)
    ascent, bent = point("ascent", 0.1, 5), point("bent ascent", 0.3, 5)
    assert ascent["train_seconds"] == 0 and ascent["image_ms"] == bent["image_ms"] > 0
    assert bent["vendi_pixels"] > ascent["vendi_pixels"], "bending makes images differ"


def test_images_in_colour_are_bent_and_shaded_and_rivals_are_run_once():
    at, k = methods.Point("svhn", "plain", seed=0, strength=0.2, steps=0), torch.arange(10)
    bright = torch.ones(10, 3, 32, 32)
    shaded, same = methods.deform(methods.Made(bright, k), at, 1)
    assert torch.equal(same, k) and shaded.min() < 0.5 and (shaded <= bright + 1e-6).all()
    grey = torch.ones(10, 1, 28, 28)
    bent, _ = methods.deform(methods.Made(grey, k), replace(at, dataset="mnist"), 1)
    assert torch.allclose(bent, grey), "no light on grey"
    rows = front.settings(("mnist", "svhn"), (0, 1, 2))
    settings = {"dataset": "svhn", "network": "", "seed": 0, "strength": 0.2, "steps": 0}
    ways = [{**settings, "method": m} for m in ("typical generator", "choosier typical generator")]
    assert front.shared(ways[0]) == front.shared(ways[1]), "one training for both"
    base = {**settings, "dataset": "mnist"}
    alike = [{**base, "method": "generator", "strength": 0.0}, {**base, "method": "bent generator"}]
    assert front.shared(alike[0]) == front.shared(alike[1]), "deformed before or afterwards"
    climbs = [("ascent", 0.1, 40), ("bent ascent", 0.3, 40), ("chosen bent ascent", 0.2, 40)]
    names = ("method", "strength", "steps")
    homes = {front.shared({**base, **dict(zip(names, climb, strict=True))}) for climb in climbs}
    assert len(homes) == 1, "one ascent for all"
    rivals = [(r["dataset"], r["seed"]) for r in rows if r["method"] == "dafl"]
    assert rivals == [("mnist", 0), ("mnist", 1), ("mnist", 2), ("svhn", 0)]


def test_runs_that_share_something_are_written_one_by_one(tmp_path):
    calls = []

    def measure(dataset, seed, depth):
        calls.append((seed, depth))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return {"number": 10.0 * seed + depth}

    def settings(sets, seeds):  # the seeds alternate, and what shares one is still run in a row
        return [{"dataset": "mnist", "seed": s, "depth": d} for d in range(3) for s in seeds]

    study = experiments.Experiment("shared", "?", settings, measure, shared=lambda s: (s["seed"],))
    given = {"out": tmp_path, "seeds": (0, 1), "progress": False}
    with pytest.raises(KeyboardInterrupt):
        experiments.run(study, **given)
    kept = pd.read_csv(tmp_path / "shared.csv")
    assert sorted(kept["number"]) == [0, 1]
    whole = experiments.run(study, **given)
    assert sorted(whole["number"]) == [0, 1, 2, 10, 11, 12]
    assert calls == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2), (0, 2)]


@pytest.mark.filterwarnings("ignore:The generator has collapsed")
def test_a_student_is_measured_on_real_images(monkeypatch):
    loss, _ = nil.PRESETS["bold"]
    short = nil.InversionConfig(steps=3, batch_size=16, width=8)
    for module in (nil.studies.distillation, nil.studies.evaluation):
        monkeypatch.setattr(module, "PRESETS", {"bold": nil.Preset(loss, short)})
    few = nil.distillation.DistillConfig(steps=20, batch_size=32)
    monkeypatch.setattr(nil.distillation, "DistillConfig", lambda: few)
    real = nil.studies.distillation.distillation("digits", 0, "real", 0.0, 0)
    noise = nil.studies.distillation.distillation("digits", 0, "noise", 0.0, 0)
    made = nil.studies.distillation.distillation("digits", 0, "bold", 0.1, 2)
    assert set(real) == set(noise) == set(made) and real["teacher"] > 0.95
    assert real["accuracy"] > noise["accuracy"] + 0.2 and 0 <= made["accuracy"] <= 1
