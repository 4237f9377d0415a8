"""Imports in progress: modules, packages and cycles whose bodies capture; modules with state; reloads."""

import importlib
import importlib.machinery
import sys
import tempfile
from pathlib import Path

from snap import snap

events = []
FILES = {
    "plain.py": "from snap import snap\nvalue = snap('while being imported')\ndef f():\n    return snap(value)\n",
    "stateful.py": "from snap import snap\ncalls = []\ndef f(n):\n    calls.append(snap(n))\n    return calls\n",
    "first.py": "from snap import snap\nsnap('first')\nimport second\nvalue = snap(second.value)\n",
    "second.py": "from snap import snap\nimport first\npartial = hasattr(first, 'value')\nvalue = snap('second')\n",
    "failing.py": "from snap import snap\nsnap('about to fail')\nraise ValueError('in a module')\n",
    "pack/__init__.py": "from snap import snap\nname = snap('package')\nfrom . import inner\nfrom .inner import deep\n",
    "pack/inner.py": "from snap import snap\nfrom . import name\ndeep = [name, snap('inner')]\n",
    "pack/late.py": "from snap import snap\nvalue = snap('late')\n",
    "lazy.py": (
        "from snap import snap\ndef __getattr__(name):\n    if name == 'made':\n        return snap('made')\n"
        "    raise AttributeError(name)\n"
    ),
    "star.py": "from snap import snap\n__all__ = ['a', 'b']\na = snap('a')\nb = snap('b')\nc = 'hidden'\n",
    "loop.py": (
        "from snap import snap\ntotal = 0\nfor i in range(2):\n    total += snap(i)\n"
        "class C:\n    value = snap(total)\n"
    ),
    "again.py": "from snap import snap\ntry:\n    count += snap(1)\nexcept NameError:\n    count = snap(0)\n",
}

directory = Path(tempfile.mkdtemp())
for name, text in FILES.items():
    (directory / name).parent.mkdir(exist_ok=True)
    (directory / name).write_text(text)
sys.path.insert(0, str(directory))
sys.dont_write_bytecode = True

import plain

events.append((plain.value, plain.f()))
import stateful

stateful.f(1)
snap("with a module that has state")
events.append(stateful.f(2))
events.append(sys.modules["stateful"] is stateful)
import first

events.append((first.value, sys.modules["second"].partial))
try:
    import failing
except ValueError as error:
    events.append((str(error), "failing" in sys.modules))
import pack

events.append((pack.name, pack.deep, pack.inner.deep is pack.deep))
from pack.late import value as late

events.append((late, pack.late.value))
import lazy

events.append((lazy.made, hasattr(lazy, "other")))
from lazy import made

events.append(made)
from star import *

events.append((a, b, "c" in globals()))


def inside():
    import loop

    from pack import inner as renamed

    return loop.total, loop.C.value, snap(renamed.deep)


events.append(inside())
events.append(importlib.import_module("again").count)
importlib.reload(sys.modules["again"])
events.append(sys.modules["again"].count)
events.append(__import__("plain").f())
try:
    import nowhere
except ModuleNotFoundError as error:
    events.append(snap(error.name))


class Finder:
    """Answers for one module, and makes it by hand."""

    def find_spec(self, name, path=None, target=None):
        if name == "by_hand":
            snap("finding")
            return importlib.machinery.ModuleSpec(name, self)

    def create_module(self, spec):
        return snap(None)

    def exec_module(self, module):
        module.value = snap("by hand")


finder = Finder()
sys.meta_path.insert(0, finder)
import by_hand

events.append(by_hand.value)
sys.meta_path.remove(finder)
sys.path.remove(str(directory))
found = sorted(path.name for path in directory.iterdir() if path.suffix == ".py")[:2]
events.append(found)

print("\n".join(map(repr, events)))
