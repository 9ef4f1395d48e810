"""Grids of runs: each once, on this machine or a cluster, into one tidy table that resumes."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from tqdm.auto import tqdm

from ..ensemble import invert_together
from ..inversion import invert
from ..models.zoo import DEEP, shipped
from .evaluation import load_network, wanted
from .executors import worded, workers
from .tables import KEYS, Row, describe, framed, known, load_results, provenance, write

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["KEYS", "Experiment", "attempt", "key", "load_results", "provenance", "run"]

Settings = dict[str, Any]  # of one run: what its row begins with


@dataclass(frozen=True)
class Experiment:
    """A question, the settings that it compares, and how one of them is measured.

    Args:
        name: of the table and the command.
        question: in one sentence.
        settings: (datasets, seeds) -> a list of flat dicts, one a run, each with `dataset` and
            `seed`.
        measure: one run, settings -> {column: number}; a function of a module, so that a worker on
            another machine can import it.
        datasets: those that are measured by default.
        seeds: likewise.
        inversion: settings -> the arguments of `evaluation.wanted`; then `measure` gets the
            trained inversion first, and several of one kind can be trained in one batch.
        shared: settings -> what runs have in common that is costly and kept by `measure`; runs of
            one such value go to one worker, one after the other.

    Example:
        >>> from netinv_lite.studies import Experiment
        >>> def settings(datasets, seeds):
        ...     return [{"dataset": d, "seed": s} for d in datasets for s in seeds]
        >>> def measure(dataset, seed):
        ...     return {"square": float(seed**2)}
        >>> study = Experiment("squares", "What is a seed, squared?", settings, measure)
        >>> len(study.settings(study.datasets, study.seeds))
        3
    """

    name: str
    question: str
    settings: Callable[[Sequence[str], Sequence[int]], list[Settings]]
    measure: Callable[..., dict]
    datasets: tuple[str, ...] = ("mnist",)
    seeds: tuple[int, ...] = (0, 1, 2)
    inversion: Callable[..., dict] | None = None
    shared: Callable[[Settings], tuple] | None = None


def grid(**columns: Iterable[Any]) -> list[Settings]:
    """The settings of every combination of values; those of the last column change first.

    Args:
        columns: the values of each column, `dataset` and `seed` among them. A value that is a dict
            stands for the columns that it names.

    Returns:
        A dict for each run, `dataset` and `seed` first.

    Example:
        >>> from netinv_lite.studies.runner import grid
        >>> [list(run.values()) for run in grid(dataset=["digits"], way=["a", "b"], seed=[0, 1])]
        [['digits', 0, 'a'], ['digits', 1, 'a'], ['digits', 0, 'b'], ['digits', 1, 'b']]
    """
    runs = []
    for values in product(*columns.values()):
        row: Settings = {}
        for name, value in zip(columns, values, strict=True):
            row |= value if isinstance(value, dict) else {name: value}
        runs.append({"dataset": row["dataset"], "seed": row["seed"], **row})
    return runs


def run(
    experiment: Experiment,
    *,
    out: str | Path = "data/results",
    datasets: Sequence[str] | None = None,
    seeds: Sequence[int] | None = None,
    jobs: int = 1,
    cluster: str | None = None,
    together: int = 1,
    fresh: bool = False,
    progress: bool = True,
) -> pd.DataFrame:
    """Measure the runs that are not yet in `<out>/<name>.csv`.

    The table is written anew, atomically, after every run (where several are done at a time, after
    those that share something), so that one stopped at any moment goes on where it was; a run that
    fails leaves its error in its row, and is tried again by the next call. Beside the table lies
    its provenance, which says how many of the runs are there. Numbers depend neither on `jobs` nor
    on `cluster`, and on `together` by dropout alone.

    Args:
        experiment: what is measured.
        out: the folder of the table.
        datasets: by default those of the experiment.
        seeds: likewise.
        jobs: runs at a time on this machine, each on one thread.
        cluster: the address of a Dask scheduler, "tcp://…", whose workers can import this package
            and see the data.
        together: up to so many generators of one kind are trained in one batch, on the GPU if
            there is one; without it every run is on the CPU.
        fresh: measure also what is there already.
        progress: whether a bar is shown.

    Returns:
        The table, a row for each run of these datasets and seeds.

    Raises:
        OSError: `out` cannot be written.
        ValueError: the table there is of something else.
        ConnectionError: no scheduler answers.

    Example:
        >>> import tempfile
        >>> from netinv_lite.studies import Experiment, run
        >>> study = Experiment(
        ...     "squares",
        ...     "What is a seed, squared?",
        ...     lambda datasets, seeds: [{"dataset": "digits", "seed": s} for s in seeds],
        ...     lambda dataset, seed: {"square": float(seed**2)},
        ... )
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     run(study, out=folder, progress=False)["square"].tolist()
        [0.0, 1.0, 4.0]
    """
    start, path = time.perf_counter(), Path(out) / f"{experiment.name}.csv"
    datasets, seeds = datasets or experiment.datasets, seeds or experiment.seeds
    items = {key(settings): settings for settings in experiment.settings(datasets, seeds)}
    rows = known(path)
    todo = {k: s for k, s in items.items() if fresh or not _done(rows.get(k), s)}
    gpu = together > 1 and experiment.inversion is not None and torch.cuda.is_available()
    about = {
        "planned": len({*items, *rows}),
        "device": torch.cuda.get_device_name() if gpu else "cpu",
        "together": together,
    }

    def land() -> None:
        write(path, rows, items)
        seconds = round(time.perf_counter() - start, 1)
        describe(path, rows, experiment.question, seconds_of_last_call=seconds, **about)

    land()
    bar = tqdm(
        total=len(items),
        initial=len(items) - len(todo),
        desc=experiment.name,
        unit="run",
        disable=not progress,
        mininterval=0.5,
    )
    with bar, workers(jobs, cluster, _lost) as work:
        packs = _packs(experiment, todo, together, singly=jobs == 1 and not cluster)
        for done in work(partial(attempt, experiment), packs):
            rows.update({row["run"]: row for row in done})
            land()
            bar.update(len(done))
            for row in done:
                if row["error"]:
                    bar.write(f"failed: {row['run']}: {row['error']}")
    return framed([rows[k] for k in items])


def attempt(experiment: Experiment, pack: list[Settings]) -> list[Row]:
    """Runs as rows: their settings, what was measured, seconds, and the error if one failed."""
    start = time.perf_counter()
    with _one_thread():
        try:
            measures = _measures(experiment, pack)
        except Exception as failure:  # one run that fails must not end the others
            return _lost(pack, worded(failure), (time.perf_counter() - start) / len(pack))
        share = (time.perf_counter() - start) / len(pack)
        return [_measured(one, s, share) for one, s in zip(measures, pack, strict=True)]


@contextmanager
def _one_thread() -> Iterator[None]:
    """Numbers differ in the last digits between one thread and two."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _measures(experiment: Experiment, pack: list[Settings]) -> list[Callable[..., dict]]:
    """What measures each run, from its settings; it holds the inversion if there is one."""
    measure = experiment.measure
    if experiment.inversion is None:
        return [measure for _ in pack]
    runs = [wanted(**experiment.inversion(**settings)) for settings in pack]
    if len(pack) == 1:
        return [partial(measure, invert(load_network(*network), **run)) for network, run in runs]
    alike = [{**run, "device": "auto"} for _, run in runs]
    return [partial(measure, one) for one in invert_together(load_network(*runs[0][0]), alike)]


def _measured(measure: Callable[..., dict], settings: Settings, seconds: float) -> Row:
    start, numbers, error = time.perf_counter(), {}, ""
    try:
        numbers = measure(**settings)
    except Exception as failure:
        error = worded(failure)
    measured = {name: _rounded(value) for name, value in numbers.items()}
    return _row(settings, measured, seconds + time.perf_counter() - start, error)


def _packs(
    experiment: Experiment, todo: dict[Any, Settings], together: int, singly: bool = False
) -> list[list[Settings]]:
    """Runs for one worker: that share something, or are of one network and kind of generator."""
    if experiment.shared is not None:
        # In one process what they share is at hand for the next, and each can be written at once.
        size = 1 if singly else len(todo)
    elif together == 1 or experiment.inversion is None:
        return [[settings] for settings in todo.values()]
    else:
        size = together
    kinds: dict[tuple, list[Settings]] = {}
    for settings in todo.values():
        kinds.setdefault(_kind(experiment, settings, len(kinds)), []).append(settings)
    return [kind[i : i + size] for kind in kinds.values() for i in range(0, len(kind), size)]


def _kind(experiment: Experiment, settings: Settings, number: int) -> tuple:
    """What a run has in common with others of its pack; `number` is that of no pack so far."""
    if experiment.shared is not None:
        return experiment.shared(settings)
    network, run = wanted(**experiment.inversion(**settings))
    alone = number if run["loss"].batch_norm else None  # its statistics are one run's
    return network, run["conditioning"], run["config"], alone


def _lost(pack: list[Settings], reason: str, seconds: float = 0.0) -> list[Row]:
    return [_row(settings, {}, seconds, reason) for settings in pack]


def _rounded(value: Any) -> Any:
    """Six digits of a number: as many as the table holds, so that memory and file agree."""
    return float(f"{value:.6g}") if isinstance(value, float) else value


def _row(settings: Settings, measured: dict[str, Any], seconds: float, error: str) -> Row:
    return {
        "run": key(settings),
        **settings,
        **measured,
        "weights": _weights(settings),
        "seconds": round(seconds, 2),
        "error": error,
    }


def key(settings: Settings) -> str:
    """What names a run: a hash of its settings."""
    text = json.dumps(settings, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _weights(settings: Settings) -> str:
    """A hash of the shipped networks that a run uses: other networks, another result.

    They are those of its data set, and a generator where the run names its `code`.
    """
    dataset, deep = str(settings.get("dataset")), settings.get("network") == DEEP
    own = {n: r for n, r in shipped().items() if n.split("-")[0] == dataset}
    used = sorted(r["sha256"] for n, r in own.items() if deep or not n.endswith(DEEP))
    generator = shipped("generators").get(f"{dataset}-{settings.get('code')}")
    used += [generator["sha256"]] if generator else []
    return hashlib.sha256("".join(used).encode()).hexdigest()[:8]


def _done(row: Row | None, settings: Settings) -> bool:
    return row is not None and not row["error"] and row["weights"] == _weights(settings)
