"""Another Python: every package of this one except `netinv_lite`, as on a reader's machine."""

import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import fresh_machine


def interpreter(folder):
    """The path of such a Python, made in `folder`; None where this account may not make links.

    Its site-packages are links to this environment's packages. Left out are the module, however
    it is installed, and every .pth file: an editable install is one of them.
    """
    venv.create(folder, with_pip=False, symlinks=sys.platform != "win32")
    target = Path(sysconfig.get_path("purelib", "venv", {"base": str(folder)}))
    try:
        for source in {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}:
            _link_packages(Path(source), target)
    except OSError:
        return None
    python = str(next(path for path in folder.glob("*/python*") if path.stem == "python"))
    env = fresh_machine.fresh_environment(folder, root=None)
    command = [python, "-c", "import torch\nimport netinv_lite"]
    result = subprocess.run(command, env=env, cwd=folder, capture_output=True, text=True)
    assert "No module named 'netinv_lite'" in result.stderr, result.stderr
    return python


def _link_packages(source, target):
    for path in source.iterdir():
        link = target / path.name
        if path.suffix != ".pth" and "netinv_lite" not in path.name and not link.exists():
            link.symlink_to(path, target_is_directory=path.is_dir())
