"""Network inversion: see what a classifier takes for each class, and whether to believe it.

Names are loaded when they are first used; `__init__.pyi` lists them for readers and editors.
"""

import lazy_loader

from ._core import moved

__version__ = "0.2.0"
_load, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
moved.install(__name__)


def __getattr__(name: str) -> object:
    old = moved.found(__name__, name)
    return _load(name) if old is None else old
