"""Packs of runs, done by processes of this machine or by the workers of a cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial
from typing import Any

TRIES = 3  # of a pack whose worker was killed
Pack = list[dict[str, Any]]  # the settings of runs that one worker does, and their rows
Call = Callable[[Pack], Pack]  # settings -> rows
Lost = Callable[[Pack, str], Pack]  # the rows of a pack that is given up, and why
Work = Callable[[Call, list[Pack]], Iterator[Pack]]


@contextmanager
def workers(jobs: int, cluster: str | None, lost: Lost) -> Iterator[Work]:
    """Inside `with`, what does the work.

    Args:
        jobs: processes of this machine; 1 is this very process.
        cluster: the address of a Dask scheduler, in their place.
        lost: makes the rows of a pack whose worker was killed time and again.

    Yields:
        A function (call, packs) -> the results, in the order in which they are ready.

    Raises:
        ImportError: a cluster without Dask.
        ConnectionError: no scheduler answers.
    """
    if cluster:
        with _dask(cluster, lost) as work:
            yield work
    elif jobs == 1:
        yield map
    else:
        yield partial(_joblib, jobs, lost)


def _joblib(jobs: int, lost: Lost, call: Call, packs: list[Pack]) -> Iterator[Pack]:
    """Processes of this machine; where one is killed, what it had not finished is tried again.

    A killed process ends the pool, and with it runs that did no harm. So what is left after
    `TRIES` pools is run one pack at a time, and only the one whose own process dies is given up.
    """
    left = dict(enumerate(packs))
    for _ in range(TRIES):
        try:
            for number, rows in _pool(jobs, call, left):
                left.pop(number)
                yield rows
            return
        except BrokenProcessPool as error:
            reason = f"its worker was killed ({type(error).__name__})"
    for number, pack in left.items():
        try:  # in a pool of two: one of one would be this very process
            ((_, rows),) = _pool(2, call, {number: pack})
        except BrokenProcessPool:
            rows = lost(pack, reason)
        yield rows


def _pool(jobs: int, call: Call, packs: dict[int, Pack]) -> Iterator[tuple[int, Pack]]:
    from joblib import Parallel, delayed

    work = Parallel(n_jobs=jobs, return_as="generator_unordered")
    return work(delayed(_numbered)(call, number, pack) for number, pack in list(packs.items()))


def _numbered(call: Call, number: int, pack: Pack) -> tuple[int, Pack]:
    return number, call(pack)


@contextmanager
def _dask(address: str, lost: Lost) -> Iterator[Work]:
    """The workers of a scheduler, which tries a run elsewhere when its worker dies."""
    try:
        from distributed import Client, as_completed
    except ImportError as error:
        raise ImportError("A cluster needs Dask: pip install 'netinv-lite[cluster]'.") from error
    try:
        client = Client(address, timeout=20)
    except (OSError, ValueError) as error:
        raise ConnectionError(
            f"No Dask scheduler answers at {address} ({error}). Start one with `dask scheduler`, "
            "and workers with `dask worker ADDRESS`."
        ) from error

    def work(call: Call, packs: list[Pack]) -> Iterator[Pack]:
        futures = {client.submit(call, pack, pure=False): pack for pack in packs}
        for future in as_completed(futures):
            failure = future.exception()
            yield lost(futures[future], worded(failure)) if failure else future.result()

    with client:
        yield work


def worded(failure: BaseException) -> str:
    """An error in one line: its class and its message."""
    return f"{type(failure).__name__}: {' '.join(str(failure).split())}"
