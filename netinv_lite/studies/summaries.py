"""What the runs of a study say, in small tables that a page can show."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import stats

from .tables import KEYS

if TYPE_CHECKING:
    import pandas as pd

LEVEL = 0.95  # of every interval


def means(
    frame: pd.DataFrame,
    by: str | Sequence[str] | None = None,
    measures: Sequence[str] | Mapping[str, str] | None = None,
    *,
    interval: bool = False,
    beside: Mapping[str, Mapping[str, float]] | None = None,
    digits: int = 2,
) -> pd.DataFrame:
    """Mean and spread of measurements, a row for each setting.

    Args:
        frame: a row for each run, as from `load_results` or `run`; what failed is left out.
        by: the columns that tell the settings apart; None for those of whole numbers and words that
            differ between runs, but the seed.
        measures: the columns that are summarised; or {column: heading}; None for all numbers that
            were measured.
        interval: give the 95 % t-interval of the mean over the runs, not the standard deviation.
        beside: rows that come last, such as {"chance": {"judge": 0.1}}.
        digits: after the point.

    Returns:
        Text: "0.93 ± 0.02", or "0.93 [0.90, 0.96]"; and the number of `runs`. A single run has no
        spread, and what was not measured is empty.

    Raises:
        ValueError: a column is not in the table.

    Example:
        >>> import netinv_lite as nil
        >>> table = nil.studies.load_results("losses")
        >>> shown = nil.studies.means(table, "dataset", {"judge": "judge accuracy"})
        >>> shown.index.tolist(), shown.columns.tolist()
        (['digits', 'mnist', 'fashion_mnist'], ['judge accuracy', 'runs'])
    """
    import pandas as pd

    if "error" in frame:
        frame = frame[frame["error"] == ""]
    keys = _settings(frame) if by is None else _names(by)
    headings = _headings(_measured(frame) if measures is None else measures)
    _check_columns(frame, [*keys, *headings])
    spread = _with_interval if interval else _with_deviation
    table = _table(frame.groupby(_key(keys), sort=False, dropna=False), headings, spread, digits)
    if not beside:
        return table
    more = pd.DataFrame("", index=_last(beside, len(keys)), columns=table.columns)
    for name, values in beside.items():
        for measure, value in values.items():
            more.loc[name, headings[measure]] = f"{value:.{digits}f}"
    return pd.concat([table.astype(object), more]).rename_axis(table.index.names)


def differences(
    frame: pd.DataFrame,
    column: str,
    first: object,
    second: object,
    measures: Sequence[str] | Mapping[str, str],
    *,
    by: str | Sequence[str] = (),
    alike: Sequence[str] = ("dataset", "seed"),
    digits: int = 2,
) -> pd.DataFrame:
    """How much `first` has over `second`, in pairs of runs that are alike otherwise.

    Args:
        frame: a row for each run, as from `load_results`.
        column: where the two of a pair differ.
        first: its value in the runs that are compared.
        second: its value in those that they are compared with.
        measures: the columns that are compared; or {column: heading}.
        by: a row for each value of these columns; without any, one row for all.
        alike: the columns in which the two of a pair are equal, besides `by`.
        digits: after the point.

    Returns:
        Text: the mean difference and its 95 % t-interval over the pairs, "+0.12 [+0.08, +0.16]";
        and the number of `pairs`.

    Raises:
        ValueError: a column is not in the table, no two runs are a pair, or a run has several.

    Example:
        >>> import netinv_lite as nil
        >>> table = nil.studies.load_results("losses")
        >>> first, second = table["loss"].unique()[:2]
        >>> shown = nil.studies.differences(table, "loss", first, second, ["judge"], by="dataset")
        >>> shown["pairs"].tolist()
        [3, 3, 3]
    """
    keys, headings = _names(by), _headings(measures)
    match = list(dict.fromkeys([*keys, *alike]))
    _check_columns(frame, [column, *match, *headings])
    one, other = (
        frame[frame[column] == value].set_index(match)[[*headings]] for value in (first, second)
    )
    _check_pairs(one, other, f"{column} = {first!r}", f"{second!r}")
    gaps = (one - other).dropna(how="all").reset_index()
    if not keys:
        gaps["pair"] = f"{first} − {second}"
    groups = gaps.groupby(_key(keys or ["pair"]), sort=False)
    table = _table(groups, headings, partial(_with_interval, sign="+"), digits)
    return table.rename(columns={"runs": "pairs"}).rename_axis(keys or None)


def _check_pairs(one: pd.DataFrame, other: pd.DataFrame, first: str, second: str) -> None:
    match = ", ".join(map(str, one.index.names))
    if one.index.has_duplicates or other.index.has_duplicates:
        raise ValueError(
            f"Several runs are alike in {match}, so pairs cannot be told apart. Select the rows to "
            "compare first, or give more columns as alike."
        )
    if one.index.intersection(other.index).empty:
        raise ValueError(
            f"No run with {first} has one with {second} that is alike in {match}. Look at "
            "frame.value_counts() of these columns."
        )


def _last(names: Iterable[str], levels: int) -> pd.Index:
    import pandas as pd

    return (
        pd.Index(names)
        if levels == 1
        else pd.MultiIndex.from_tuples([(name, *[""] * (levels - 1)) for name in names])
    )


def _table(
    groups: Any, headings: Mapping[str, str], spread: Callable[..., str], digits: int
) -> pd.DataFrame:
    """Text for each group and measure, and the number of runs."""
    import pandas as pd

    texts = {
        heading: groups[column].agg(lambda runs: spread(runs.to_numpy(float), digits))
        for column, heading in headings.items()
    }
    return pd.DataFrame({**texts, "runs": groups.size()})


def _with_deviation(runs: np.ndarray, digits: int) -> str:
    runs = runs[~np.isnan(runs)]
    if not runs.size:
        return ""
    spread = runs.size > 1 and np.isfinite(runs).all()
    deviation = f" ± {runs.std(ddof=1):.{digits}f}" if spread else ""
    return _number(runs.mean(), digits) + deviation


def _with_interval(runs: np.ndarray, digits: int, sign: str = "") -> str:
    runs = runs[~np.isnan(runs)]
    if not runs.size:
        return ""
    mean = runs.mean()
    if runs.size == 1 or not np.isfinite(runs).all():
        return _number(mean, digits, sign)
    half = stats.t.ppf((1 + LEVEL) / 2, runs.size - 1) * stats.sem(runs)
    low, high = (_number(end, digits, sign) for end in (mean - half, mean + half))
    return f"{_number(mean, digits, sign)} [{low}, {high}]"


def _number(value: float, digits: int, sign: str = "") -> str:
    return f"{round(value, digits) + 0.0:{sign}.{digits}f}"  # no zero has a minus


def _measured(frame: pd.DataFrame) -> list[str]:
    return [c for c in frame if frame[c].dtype.kind == "f" and c not in KEYS]


def _settings(frame: pd.DataFrame) -> list[str]:
    found = [c for c in frame if c not in (*_measured(frame), *KEYS, "seed")]
    return [c for c in found if frame[c].nunique() > 1] or found[:1]


def _names(by: str | Sequence[str]) -> list[str]:
    return [by] if isinstance(by, str) else list(by)


def _key(keys: list[str]) -> str | list[str]:
    return keys[0] if len(keys) == 1 else keys


def _headings(measures: Sequence[str] | Mapping[str, str]) -> dict[str, str]:
    return dict(measures) if isinstance(measures, Mapping) else {m: m for m in measures}


def _check_columns(frame: pd.DataFrame, wanted: Sequence[str]) -> None:
    missing = [c for c in wanted if c not in frame.columns]
    if missing:
        raise ValueError(
            f"The table has no column {', '.join(map(repr, missing))}. Choose from: "
            f"{', '.join(map(str, frame.columns))}."
        )
