"""The same random numbers for every test; and how `-n 2` shares the chapters.

`--dist loadfile` gives a file to a worker, but here each chapter goes by itself.
"""

import pytest
import torch


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    """Every test draws the same numbers, whichever others ran before it, or if none did."""
    torch.manual_seed(2026)  # one that no test sets itself: what is drawn anew must be new


@pytest.hookimpl(optionalhook=True)  # there is no such hook under `-p no:xdist`
def pytest_xdist_make_scheduler(config, log):
    # Not `--dist loadgroup` with xdist_group marks: xdist 3.8 writes the group to a private field
    # that pytest 9 no longer reads, so that the marks are silently without effect.
    if config.getvalue("dist") != "loadfile":
        return None
    from xdist.scheduler import LoadFileScheduling

    class ByFileAndChapter(LoadFileScheduling):
        def _split_scope(self, nodeid):
            file = nodeid.split("::")[0]
            return nodeid if file.endswith("test_chapters.py") else file

    return ByFileAndChapter(config, log)


@pytest.fixture(scope="module")
def browser():
    """A headless Chromium."""
    from chromium import launched  # most tests need neither it nor Sphinx

    with launched() as chromium:
        yield chromium


@pytest.fixture
def visit(browser):
    """Opens an address in it; see `live_site.visits`."""
    from live_site import visits

    with visits(browser) as opened:
        yield opened
