"""Every number that the book claims for the method, measured in one resumable run."""

from __future__ import annotations

import csv
import json
import os
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import torch
from tqdm.auto import tqdm

from . import measure, rivals
from .classifiers import DEEP, INDEPENDENT, shipped
from .data import check_name
from .measure import Plan
from .weights import versions, write_atomically, write_json

KINDS = ("network", "seeds", "floor", "conditioning", "import", "sampling", "template")
THREADS = 2
QUICK = Plan(networks=("digits",), base="digits", images=1000, per_class=50, rounds=15,
             template_seconds=10.0, imports=2)  # fmt: skip


def run(
    path: str | Path = "data/results", *, quick: bool = False, progress: bool = True,
    only: Sequence[str] | None = None, fresh: bool = False, plan: Plan | None = None,
) -> dict:  # fmt: skip
    """Measure what is not yet measured and return {"provenance": …, "parts": {part: {rows}}}.

    path: the JSON to write, with a CSV beside it, or a folder for `benchmark.json`, or for
        `benchmark-quick.json` with `quick` (digits only, under a minute).
    only: kinds of parts, of "network", "seeds", "floor", "conditioning", "import", "sampling",
        "template" (the last two bring the network that they compare with).
    fresh: measure everything again; else an interrupted run of the same plan on the same machine
        and versions goes on.

    Each part is kept in `<path>.partial` as soon as it is measured; JSON and CSV are written when
    all are, so that an interrupted run never damages older results. Runs on 2 CPU threads; no
    target is asserted. Raises OSError where `path` cannot be written, ValueError for a name in
    `only` that there is not.
    """
    path, plan = where(path, quick), plan or whole(quick)
    for kind in only or ():
        check_name(kind, KINDS, "part of the benchmark")
    report = _resumed(path, plan, fresh)
    scratch = path.with_name(f"{path.stem}-template.partial")
    _keep(report, path)
    if not report["parts"]:
        scratch.unlink(missing_ok=True)
    table = parts(plan, report, scratch)
    todo = [key for key in table if _wanted(key, only, plan) and not _done(key, report)]
    with threads(THREADS), tqdm(todo, disable=not progress, desc="benchmark", unit="part") as bar:
        for key in bar:
            bar.set_postfix_str(key)
            if key.startswith("template step"):
                scratch.unlink(missing_ok=True)  # it belongs to another number of steps
            _measure(key, table[key], report)
            _keep(report, path)
    report["parts"] = {key: report["parts"][key] for key in table if key in report["parts"]}
    if all(_done(key, report) for key in table):
        _finish(report, path, quick)
        scratch.unlink(missing_ok=True)
    return report


def main(out="data/results", quick=False, only=None, fresh=False, progress=True) -> int:
    """The command: run, print the table, say what is written where; returns the exit status.

    On Ctrl-C it prints what it has; KeyboardInterrupt then says what is kept.
    """
    path = where(out, quick)
    try:
        report = run(path, quick=quick, only=only, fresh=fresh, progress=progress)
    except KeyboardInterrupt as stop:
        report = json.loads(_partial(path).read_text(encoding="utf-8"))
        print(table_of(report))
        kept = f"{len(report['parts'])} parts, in {_partial(path)}"
        raise KeyboardInterrupt(f"kept: {kept}. To go on (--fresh starts over):") from stop
    print(table_of(report))
    rows = [row for part in report["parts"].values() for row in part["rows"] if row["target"]]
    met = sum(row["met"] == "yes" for row in rows)
    whole = "command" in report["provenance"]
    files = f"{path}, {path.with_suffix('.csv')}" if whole else f"{_partial(path)}, not all parts"
    print(f"\n{met} of {len(rows)} targets met\nwritten: {files}")
    return 0


def where(path: str | Path, quick: bool) -> Path:
    """The JSON file of the results; anything that does not end in .json is a folder."""
    path = Path(path)
    return path if path.suffix == ".json" else path / f"benchmark{'-quick' * quick}.json"


def whole(quick: bool) -> Plan:
    """The default plan: all shipped networks but judges, referees and deep ones, or digits only."""
    names = tuple(name for name in shipped() if not name.endswith((*INDEPENDENT, DEEP)))
    return QUICK if quick else replace(Plan(), networks=names)


def parts(plan: Plan, report: dict, scratch: Path) -> dict[str, Callable[[], list[measure.Row]]]:
    """Every part and how it is measured, in order; the longest comes last."""

    def earlier(part: str, name: str) -> float | None:
        rows = report["parts"][part]["rows"]
        return next((row["value"] for row in rows if row["name"] == name), None)

    base = plan.base
    names = list(dict.fromkeys([base, *plan.networks]))
    return {
        **{f"network {name}": partial(measure.network, name, plan) for name in names},
        f"seeds {base}": partial(measure.seeds, base, plan),
        **{f"floor {name}": partial(measure.floor, name, plan) for name in names},
        "conditioning": partial(measure.conditioning, plan),
        "import": partial(measure.imports, plan),
        f"sampling {base}": partial(rivals.sampling, base, plan, earlier),
        f"template step {base}": partial(rivals.template_step, base, plan),
        f"template {base}": partial(rivals.template, base, plan, earlier, scratch),
    }


def table_of(report: dict) -> str:
    """The rows of a report as text."""
    lines = [f"{'':54}{'value':>10} {'unit':8}{'target':>8}  met"]
    for key, part in report["parts"].items():
        lines += ["", f"{key}  ({part['seconds']:.1f} s, {part['date'][:10]})"]
        for row in part["rows"]:
            value = "-" if row["value"] is None else _short(row["value"])
            note = f"  ({row['note']})" if row["note"] else ""
            lines.append(f"  {row['name']:52}{value:>10} {row['unit']:8}{row['target']:>8}  "
                         f"{row['met']:3}{note}".rstrip())  # fmt: skip
    return "\n".join(lines)


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.4g}"


@contextmanager
def threads(n: int) -> Iterator[None]:
    """PyTorch on n CPU threads inside, as before afterwards."""
    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _wanted(key: str, only: Sequence[str] | None, plan: Plan) -> bool:
    needed = key == f"network {plan.base}" and {"sampling", "template"} & set(only or ())
    return not only or key.split()[0] in only or bool(needed)


def _done(key: str, report: dict) -> bool:
    """Is `key` measured, and on the weights that ship now?"""
    return key in report["parts"] and report["parts"][key]["weights"] == _weights(key)


def _weights(key: str) -> str | None:
    """The hash of the network that a part is about."""
    return shipped().get(key.split()[-1], {}).get("sha256")


def _measure(key: str, call: Callable[[], list[measure.Row]], report: dict) -> None:
    start = time.perf_counter()
    rows = [row.record() for row in call()]
    report["parts"][key] = {
        "rows": rows,
        "seconds": round(time.perf_counter() - start, 2),
        "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "weights": _weights(key),
    }


def _identity(plan: Plan) -> dict:
    """What must be equal for two parts to stand in one table."""
    from . import __version__

    about = {
        "seed": 0,
        "device": "cpu",
        "processor": _processor(),
        "cores": os.cpu_count(),
        "netinv_lite": __version__,
        **versions(),
        "threads": THREADS,
        "plan": asdict(plan),
    }
    return json.loads(json.dumps(about))  # tuples become lists, as in the file


def _processor() -> str:
    """The processor's name, where the system tells it."""
    file = Path("/proc/cpuinfo")
    lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _partial(path: Path) -> Path:
    return path.with_name(path.name + ".partial")


def _resumed(path: Path, plan: Plan, fresh: bool) -> dict:
    """The interrupted report of the same identity, or a new one."""
    identity = _identity(plan)
    if not fresh and _partial(path).is_file():
        try:
            report = json.loads(_partial(path).read_text(encoding="utf-8"))
            if report["provenance"] == identity:
                return report
        except (ValueError, KeyError, TypeError):
            pass  # not a report: start over
    return {"provenance": identity, "parts": {}}


def _keep(report: dict, path: Path) -> None:
    write_json(_partial(path), report)


def _finish(report: dict, path: Path, quick: bool) -> None:
    """The whole report as JSON, its rows as CSV; the partial file goes."""
    provenance = {
        "command": "python -m netinv_lite benchmark" + " --quick" * quick,
        "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "seconds": round(sum(part["seconds"] for part in report["parts"].values()), 1),
        **report["provenance"],
    }
    report["provenance"] = provenance
    write_json(path, report)
    write_atomically(path.with_suffix(".csv"), partial(_write_csv, report))
    _partial(path).unlink(missing_ok=True)


def _write_csv(report: dict, path: Path) -> None:
    with open(path, "w", newline="", encoding="utf-8") as file:
        rows = [{"part": key, **row} for key, part in report["parts"].items()
                for row in part["rows"]]  # fmt: skip
        writer = csv.DictWriter(file, ["part", "name", "value", "unit", "target", "met", "note"])
        writer.writeheader()
        writer.writerows(rows)
