"""Which networks a folder holds, what they reach, and whether each is the file on record."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from .._core.serialization import SHIPPED, located, sha256
from .._core.validation import check_name


def list_weights(name: str | None = None, folder: str | Path | None = None, *, full=False) -> int:
    """Print the networks in `folder` and check each against its hash; 1 where one is damaged."""
    folder = located(folder) if folder else SHIPPED / "weights"
    names = sorted({p.stem for end in ("json", "safetensors") for p in folder.glob(f"*.{end}")})
    if not names:
        raise FileNotFoundError(f"There are no networks in {folder}.")
    if name:
        check_name(name, names, "network")
        names = [name]
    entries = {n: _entry(folder / f"{n}.safetensors") for n in names}
    if name:
        record, fault = entries[name]
        print("\n".join(describe(name, record)))
        print(f"  {fault or 'the file is the one that was recorded'}")
    else:
        _print_table(entries, folder, full=full)
    damaged = {n: fault for n, (_, fault) in entries.items() if fault}
    for n, fault in damaged.items():
        print(
            f"error: {n}: {fault}. Restore it, for example with `git checkout`, or make it "
            f"again with `python -m netinv_lite fit {n}`.",
            file=sys.stderr,
        )
    return 1 if damaged else 0


def _entry(path: Path) -> tuple[dict, str]:
    """The record of the network at `path`, and what is wrong with it ("" for nothing)."""
    try:
        record = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        whole = sha256(path) == record["sha256"]
    except FileNotFoundError as error:
        return {}, f"ABSENT, {error.filename}"
    except (ValueError, KeyError, TypeError):
        return {}, f"UNREADABLE record {path.with_suffix('.json')}"
    return record, "" if whole else f"DAMAGED, {path} is not the file that was recorded"


def _print_table(entries: dict, folder: Path, *, full: bool) -> None:
    rows = [("name", "network", "test accuracy", "attacked", "test images", "size", "sha256", "")]
    for name, (record, fault) in entries.items():
        path, pgd = folder / f"{name}.safetensors", record.get("pgd")
        size = f"{path.stat().st_size / 1024:,.0f} KiB" if path.exists() else "-"
        rows.append(
            (
                name,
                record.get("architecture", "-"),
                _percent(record.get("test_accuracy")),
                f"{_percent(pgd['accuracy'])} at {pgd['eps']:g}" if pgd else "-",
                f"{record.get('test_images', 0):,}",
                size,
                record.get("sha256", "-")[: None if full else 12],
                fault.split(",")[0].split(" ")[0],
            )
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = zip(row, widths, range(len(row)), strict=True)
        print("  ".join(c.rjust(w) if i in (2, 4, 5) else c.ljust(w) for c, w, i in cells).rstrip())
    print("\nattacked: accuracy under L2 PGD of that radius, in units of the input range.")


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.2%}"


def describe(name: str, record: dict) -> list[str]:
    """The record of a network in words."""
    lines = [f"{name}: {record.get('architecture', 'unknown')}, seed {record.get('seed')}"]
    if "test_accuracy" in record:
        lines.append(
            f"  test accuracy {record['test_accuracy']:.2%} on {record['test_images']:,} "
            f"images: {record['test_set']}"
        )
    if pgd := record.get("pgd"):
        lines.append(
            f"  {pgd['accuracy']:.2%} under {pgd['norm']} PGD of radius {pgd['eps']:g}, "
            f"{pgd['steps']} steps, on {pgd['test_images']:,} of them"
        )
    if "train_images" in record:
        lines.append(
            f"  trained on {record['train_images']:,} images of {record['data']}, "
            f"{record['training']['epochs']} epochs; the last run took "
            f"{record['seconds_of_last_run']:g} s"
        )
    lines += [f"  {key} {record[key]}" for key in ("command", "sha256") if key in record]
    return lines
