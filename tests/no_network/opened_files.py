"""Note every file under NETINV_OPENED_UNDER that this Python opens in NETINV_OPENED_LOG.

Imported by sitecustomize where these are set, in a kernel and in whatever Python it starts. An
audit hook sees each file that Python opens. safetensors opens its files in Rust, where none
looks; so its functions are replaced by some that tell.
"""

import os
import sys

_LOG = os.environ["NETINV_OPENED_LOG"]
_UNDER = os.path.normcase(os.path.abspath(os.environ["NETINV_OPENED_UNDER"])) + os.sep
_noted = set()


def _note(event, arguments):
    if event != "open" or not isinstance(arguments[0], (str, bytes, os.PathLike)):
        return  # another event, or a file that is open already, by its number
    path = os.path.abspath(os.fsdecode(arguments[0]))
    if os.path.normcase(path).startswith(_UNDER) and path not in _noted:
        _noted.add(path)
        with open(_LOG, "a", encoding="utf-8") as log:  # at once: a kernel may be killed
            log.write(path + "\n")


def _telling(function):
    def opening(*args, **kwargs):
        sys.audit("open", args[0] if args else kwargs.get("filename"), "rb", 0)
        return function(*args, **kwargs)

    return opening


sys.addaudithook(_note)
try:
    import safetensors
except ImportError:  # nothing to read its files with
    pass
else:
    for _name in ("safe_open", "_safe_open_handle"):  # the second is new, and private
        if hasattr(safetensors, _name):
            setattr(safetensors, _name, _telling(getattr(safetensors, _name)))
