"""Packs of runs, done by processes of this machine or by the workers of a cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

TRIES = 3  # of a pack whose worker was killed
Lost = Callable[[list[dict], str], list[dict]]  # the rows of a pack that is given up, and why


@contextmanager
def workers(jobs: int, cluster: str | None, lost: Lost) -> Iterator[Callable]:
    """A function (call, items) -> the results, in the order in which they are ready."""
    if cluster:
        with _dask(cluster, lost) as work:
            yield work
    elif jobs == 1:
        yield map
    else:
        yield partial(_joblib, jobs, lost)


def _joblib(jobs: int, lost: Lost, call: Callable, packs: list[list[dict]]) -> Iterator[list[dict]]:
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
        except _killed() as error:
            reason = f"its worker was killed ({type(error).__name__})"
    for number, pack in left.items():
        try:  # in a pool of two: one of one would be this very process
            ((_, rows),) = _pool(2, call, {number: pack})
        except _killed():
            rows = lost(pack, reason)
        yield rows


def _pool(jobs: int, call: Callable, packs: dict[int, list[dict]]) -> Iterator[tuple]:
    from joblib import Parallel, delayed

    work = Parallel(n_jobs=jobs, return_as="generator_unordered")
    return work(delayed(_numbered)(call, number, pack) for number, pack in list(packs.items()))


def _numbered(call: Callable, number: int, pack: list[dict]) -> tuple[int, list[dict]]:
    return number, call(pack)


def _killed() -> type[Exception]:
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    return TerminatedWorkerError


@contextmanager
def _dask(address: str, lost: Lost) -> Iterator[Callable]:
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

    def work(call: Callable, packs: list[list[dict]]) -> Iterator[list[dict]]:
        futures = {client.submit(call, pack, pure=False): pack for pack in packs}
        for future in as_completed(futures):
            failure = future.exception()
            yield lost(futures[future], worded(failure)) if failure else future.result()

    with client:
        yield work


def worded(failure: BaseException) -> str:
    """An error in one line."""
    return f"{type(failure).__name__}: {' '.join(str(failure).split())}"
