"""One module per theme, one function per type; importing this package registers them with the pickler, which does so
before it first pickles.

Invariant: a theme in LATE has only types of the modules named there. It is imported when the first of them is met:
most programs hold none.
"""

from functools import partial
from importlib import import_module
from os import listdir

from stillframe.capture.pickler import LIBRARIES

LATE = {
    "annotations": ("typing",),
    "arrays": ("array", "numpy", "pandas", "torch"),
    "contexts": ("_contextvars", "Token"),
    "files": ("_io", "codecs", "tempfile"),
    "matches": ("re", "_sre"),
    "stdlib": (
        *("functools", "posix"),
        *("_struct", "_json", "_csv", "ctypes", "_ctypes", "mmap", "gzip", "bz2", "lzma"),
    ),
    "weakrefs": ("weakref", "_weakrefset"),
}
"""By theme: what `__module__` says of its types."""

for _file in sorted(listdir(__path__[0])):
    _name = f"{__name__}.{_file.removesuffix('.py')}"
    if not _file.endswith(".py") or _file.startswith("_"):
        continue
    if _file.removesuffix(".py") not in LATE:
        import_module(_name)
        continue
    for _home in LATE[_file.removesuffix(".py")]:
        LIBRARIES.setdefault(_home, []).append(partial(import_module, _name))


def load_late() -> None:
    """Have all themes registered, for a process whose forks will capture."""
    for theme in LATE:
        import_module(f"{__name__}.{theme}")
