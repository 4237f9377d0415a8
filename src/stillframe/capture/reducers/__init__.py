"""One module per theme, one function per type; importing this package registers them all with the pickler, which does
so before it first pickles."""

from importlib import import_module
from os import listdir

for _name in sorted(listdir(__path__[0])):
    if _name.endswith(".py") and not _name.startswith("_"):
        import_module(f"{__name__}.{_name.removesuffix('.py')}")
