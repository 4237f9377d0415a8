"""A module of the program's own keeps its state, and what it was changed to."""

import os

import stillframe

import _own_module

_own_module.items.append(1)
_own_module.count = 5
_own_module.late = "set from outside"
held = _own_module.items
stillframe.snapshot(os.environ["SNAPSHOT"]) or os._exit(0)
print(_own_module.items, _own_module.count, _own_module.late, held is _own_module.items)
print(_own_module.increment(), _own_module.count)
