"""One module per theme, one function per type; importing this package registers them all with the pickler."""

from importlib import import_module
from pkgutil import iter_modules

for _found in iter_modules(__path__):
    import_module(f"{__name__}.{_found.name}")
