"""How `-n 2 --dist loadfile` shares the tests: a file to a worker, but each chapter by itself."""

import pytest


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
