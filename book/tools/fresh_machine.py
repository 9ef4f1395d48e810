"""A fresh machine, offline, as far as one computer can be that; and a notebook's run on it."""

from __future__ import annotations

import os
import site
import sys
import threading
import time
from pathlib import Path

import matplotlib
import psutil
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from traitlets import Unicode

from setup_cell import ROOT

# On the path of each Python that runs there: it blocks the network, and records what is opened.
NO_NETWORK = ROOT / "tests" / "no_network"


class OneInterpreter(KernelSpecManager):
    """Kernels of one given Python, whatever kernels are registered on this machine."""

    python = Unicode(sys.executable)

    def get_kernel_spec(self, kernel_name):
        argv = [self.python, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        argv += ["--log-level=ERROR"]  # not the remark that messages on loopback are not encrypted
        return KernelSpec(argv=argv, display_name="Python 3", language="python")


def fresh_environment(home: Path, *, threads: int = 1, root: Path | None = ROOT) -> dict:
    """Environment variables of a machine without data, network, GPU or personal settings.

    `home` is an empty folder; `root` is put on the path, so that this checkout is what runs.
    """
    drop = ("NETINV_", "PYTEST_", "JPY_", "XDG_", "IPYTHON", "JUPYTER", "MPL", "PYTHONPATH")
    env = {key: value for key, value in os.environ.items() if not key.startswith(drop)}
    paths = [str(path) for path in (NO_NETWORK, root) if path]
    return env | {
        "PYTHONPATH": os.pathsep.join(paths),
        "HOME": str(home),
        "USERPROFILE": str(home),
        "PYTHONUSERBASE": site.getuserbase(),  # packages of `pip install --user` stay visible
        "MPLCONFIGDIR": matplotlib.get_cachedir(),  # its list of fonts takes seconds to rebuild
        "OMP_NUM_THREADS": str(threads),
        "CUDA_VISIBLE_DEVICES": "",
    }


def run(notebook, folder: Path, *, env: dict, python: str = sys.executable, timeout=600) -> dict:
    """Execute every cell of `notebook` in place; returns its cost. A cell that raises, raises."""
    kernels = OneInterpreter(python=python)
    manager = AsyncKernelManager(kernel_name="python3", kernel_spec_manager=kernels)
    client = NotebookClient(
        notebook,
        km=manager,
        timeout=timeout,
        startup_timeout=120,
        record_timing=False,
        resources={"metadata": {"path": str(folder)}},
    )
    start = time.perf_counter()
    with client.setup_kernel(env=env, cleanup_kc=True):
        with _Watch(manager.provisioner.pid) as watch:
            for index, cell in enumerate(notebook.cells):
                client.execute_cell(cell, index)
    return {
        "seconds": round(time.perf_counter() - start, 1),
        "cpu_seconds": round(watch.cpu_seconds, 1),
        "memory_mb": round(watch.peak / 1e6),
    }


class _Watch(threading.Thread):
    """Follows the memory and processor time of a process while the `with` block runs."""

    def __init__(self, pid: int):
        super().__init__(daemon=True)
        self.process, self.done = psutil.Process(pid), threading.Event()
        self.peak, self.cpu_seconds = 0, 0.0

    def run(self):
        while True:
            try:
                self.peak = max(self.peak, self.process.memory_info().rss)
                times = self.process.cpu_times()
            except psutil.Error:  # the kernel has ended
                return
            self.cpu_seconds = times.user + times.system
            if self.done.wait(0.1):
                return

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *error):
        self.done.set()
        self.join()
