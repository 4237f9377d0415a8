"""Modules: which travel by value, and how their namespaces keep their identity.

Invariants:
  * The user's own modules travel by value: `__main__`, those whose file is neither in the standard library nor in
    a folder of installed packages, those made by the program. All others, and all in C, are imported again.
  * A module by value is made, empty, before anything else is loaded; functions, frames and variables that mean its
    namespace get that very dict. In a whole program it has its place in `sys.modules` from then on.
  * A namespace is filled with functions and classes first, so that code of the user's that runs at load finds them;
    at the end its names are in their old order.
"""

from __future__ import annotations

import builtins
import os
import sys
from collections.abc import Sequence
from functools import cache
from importlib.machinery import ExtensionFileLoader, ModuleSpec
from types import FunctionType, ModuleType

from stillframe.capture import exclusions, rebuild, rebuild_classes
from stillframe.capture.loading import CALL, END, MORE, ROOT
from stillframe.capture.pickler import Options, Pickler, Standin, reducer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

ANEW = frozenset({"__builtins__", "__loader__", "__spec__"})
"""Made anew with the module: they belong to the interpreter, not to the program."""
LANDMARKS = (
    ("builtins", "__dict__"),
    ("sys", "modules"),
    ("sys", "__dict__"),
    ("sys", "path"),
    ("sys", "argv"),
    ("sys", "meta_path"),
    ("sys", "path_hooks"),
    ("sys", "path_importer_cache"),
)
"""Plain dicts and lists that belong to the interpreter: a variable that holds one must hold the new one."""


@cache
def _installed_roots() -> tuple[str, ...]:
    # As sysconfig has them, which is slow to import.
    roots = {os.path.dirname(os.__file__)}
    if "site" in sys.modules:
        roots |= set(sys.modules["site"].getsitepackages())
    roots |= {os.path.join(prefix, "lib") for prefix in (sys.prefix, sys.base_prefix)}
    roots |= {os.path.join(prefix, "lib64") for prefix in (sys.prefix, sys.base_prefix)}
    roots |= {os.path.realpath(root) for root in roots}
    return tuple(root + os.sep for root in roots)


def is_installed_file(path: str) -> bool:
    """Whether `path` lies in the standard library or in a folder of installed packages."""
    if path.startswith(_installed_roots()):
        return True
    return "/site-packages/" in path or "/dist-packages/" in path or path.startswith("<frozen")


def travels_by_value(name: str, module: Any) -> bool:
    """Whether the module is the user's own. Cost: microseconds; no file is touched."""
    if name in ("__main__", "__mp_main__"):
        return isinstance(module, ModuleType)
    root = name.partition(".")[0]
    if root in sys.stdlib_module_names or root == "stillframe" or not isinstance(module, ModuleType):
        return False
    namespace = module.__dict__
    spec = namespace.get("__spec__")
    file = namespace.get("__file__")
    if isinstance(file, str):
        return not is_installed_file(file) and not _is_native(file, spec)
    paths = namespace.get("__path__")
    if paths is not None:
        return not any(is_installed_file(str(path) + os.sep) for path in paths)
    if spec is not None and getattr(spec, "origin", None) in ("built-in", "frozen"):
        return False
    return _is_made_by_user(name, module)


def _is_native(file: str, spec: Any) -> bool:
    return file.endswith(".so") or isinstance(getattr(spec, "loader", None), ExtensionFileLoader)


def _is_made_by_user(name: str, module: ModuleType) -> bool:
    """Whether a module without a file was made by the program, not by an installed package for its own purposes."""
    root, dot, _ = name.partition(".")
    if dot and root in sys.modules:
        return travels_by_value(root, sys.modules[root])
    if name.startswith("_cython_"):
        # Where the extension modules of one Cython keep the types that they share.
        return False
    maker = type(module).__module__
    return type(module) is ModuleType or (maker != name and is_by_value_name(maker))


def is_by_value_name(name: Any) -> bool:
    """Whether what was defined in the module `name` goes by value."""
    module = sys.modules.get(name) if isinstance(name, str) else None
    return module is None or travels_by_value(name, module)


def goes_by_value(pickler: Pickler, name: Any) -> bool:
    """The same, remembered for the rest of the capture."""
    known = pickler.state.by_value
    if not isinstance(name, str):
        return True
    verdict = known.get(name)
    if verdict is None:
        verdict = known[name] = is_by_value_name(name)
    return verdict


def named(module: Any, qualname: str) -> Any:
    """What `qualname` leads to in `module`, or None. Runs no code of classes on the way."""
    found = module
    for part in qualname.split("."):
        if isinstance(found, ModuleType):
            found = found.__dict__.get(part)
        elif isinstance(found, type):
            found = found.__dict__.get(part)
            if isinstance(found, staticmethod):
                found = found.__func__
        else:
            return None
    return found


def dump_with_modules(pickler: Pickler, root: Any, first: Sequence[Any] = ()) -> None:
    """Dump the prelude, what is to come `first`, then `root`; in a whole program the modules' contents before it."""
    users = dump_prelude(pickler)
    for thing in first:
        pickler.dump((MORE, thing))
        _dump_deferred(pickler)
    contents = None
    if pickler.options.whole_program:
        contents = _contents(users, pickler.options)
    pickler.dump((ROOT, (contents, root)))
    _dump_deferred(pickler)
    while pickler.state.epilogue:
        # Describing one thing may lead to another.
        pickler.dump((CALL, pickler.state.epilogue.pop(0)()))
        _dump_deferred(pickler)
    pickler.dump((END, None))


def _dump_deferred(pickler: Pickler) -> None:
    """In a flat capture: the attributes of what was met so far, and so on."""
    deferred = pickler.state.deferred
    while deferred:
        obj, reduced = deferred.pop()
        if len(reduced) == 6:
            pickler.dump((MORE, Standin(reduced[5], obj, reduced[2])))
            continue
        state, *items = (*reduced[2:5], None, None, None)[:3]
        listed = [None if part is None else list(part) for part in items]
        pickler.dump((MORE, Standin(rebuild_classes.finish, obj, state, *listed)))


def dump_prelude(pickler: Pickler) -> list[tuple[str, ModuleType]]:
    """The first part of each pickle: what is made before all else. Returns the modules that travel with their state."""
    state, is_whole = pickler.state, pickler.options.whole_program
    # Where packages are imported from is needed before all else.
    pickler.dump([path for path in sys.path if type(path) is str] if is_whole else None)
    users = _user_modules(pickler) if is_whole else []
    standins = {id(real): (standin, real) for standin, real in pickler.landmarks}
    state.landmarks = set(standins)
    by_name = {}
    for name, module in users:
        namespace = vars(module)
        if id(namespace) not in state.dicts:
            if id(module) not in standins:
                standins[id(module)] = Standin(rebuild.new_module, *_identity(module, is_whole)), module
            standins[id(namespace)] = Standin(vars, standins[id(module)][0]), namespace
            state.dicts[id(namespace)] = name
        if name:
            by_name[name] = standins[id(module)][0]
    for name, attribute in LANDMARKS if is_whole else LANDMARKS[:1]:
        real = getattr(sys.modules[name], attribute)
        standins[id(real)] = Standin(rebuild.landmark, name, attribute), real
    pickler.dump((pickler.context, by_name, is_whole, [standin for standin, _ in standins.values()]))
    _replace(pickler, standins)
    if pickler.options.excluded:
        exclusions.apply_to(pickler)
    return users


def _user_modules(pickler: Pickler) -> list[tuple[str, ModuleType]]:
    """Those in `sys.modules`, then those that only their variables hold: these have the name "" here."""
    verdicts = pickler.state.by_value
    users = []
    for name, module in list(sys.modules.items()):
        if _INSTALLED.get(name) == id(module):
            continue
        verdict = verdicts[name] = travels_by_value(name, module)
        if verdict:
            users.append((name, module))
        else:
            _INSTALLED[name] = id(module)
    known = {id(module) for _, module in users}
    for _, module in users:
        for value in list(vars(module).values()):
            if (
                type(value) is ModuleType
                and id(value) not in known
                and sys.modules.get(value.__name__) is not value
            ):
                known.add(id(value))
                users.append(("", value))
    return users


_INSTALLED: dict[str, int] = {}
"""Modules that are known to travel by reference, by name: the id of the module. They are hundreds, and stay."""


def _replace(pickler: Pickler, standins: dict[int, tuple[Standin, Any]]) -> None:
    """Give the places of the stand-ins in the memo to the objects themselves.

    Their number does not change: the unpickler counts along.
    """
    memo = pickler.memo.copy()
    for standin, real in standins.values():
        index, _ = memo.pop(id(standin))
        memo[id(real)] = index, real
    pickler.state.keep.append(standins)
    pickler.memo = memo


def globals_of(pickler: Pickler, namespace: dict[str, Any]) -> Any:
    """How a function's or a frame's namespace goes into the pickle.

    That of a module in a whole program is in the memo already. Else there is a stand-in for it: for that of an
    installed module the way to it, for that of a module by value one that has what its functions use.
    """
    if id(namespace) in pickler.state.dicts:
        return namespace
    key = ("globals", id(namespace))
    standin = pickler.state.seen.get(key)
    if standin is None:
        standin = pickler.state.seen[key] = _standin_for(pickler, namespace)
    return standin


def _standin_for(pickler: Pickler, namespace: dict[str, Any]) -> Any:
    name = namespace.get("__name__")
    module = sys.modules.get(name) if isinstance(name, str) else None
    if not isinstance(module, ModuleType) or vars(module) is not namespace:
        return namespace
    if not goes_by_value(pickler, name):
        return Standin(rebuild.module_globals, name)
    return Standin(vars, module_standin(pickler, module))


def module_standin(pickler: Pickler, module: ModuleType) -> Standin:
    """The stand-in for a module by value that does not travel with its state."""
    standin = pickler.state.modules.get(id(module))
    if standin is None:
        standin = Standin(rebuild.new_module, *_identity(module, is_whole=False))
        pickler.state.modules[id(module)] = standin
    return standin


def _identity(module: ModuleType, is_whole: bool) -> tuple[Any, ...]:
    """What `rebuild.new_module` needs: name, spec, whether `__builtins__` is the module or its dict, a token."""
    namespace = vars(module)
    spec = namespace.get("__spec__")
    loader = namespace.get("__loader__")
    file = namespace.get("__file__")
    recipe = None
    if type(spec) is ModuleSpec:
        recipe = (
            spec.name,
            spec.origin,
            spec.has_location,
            None if spec.submodule_search_locations is None else list(spec.submodule_search_locations),
            spec.cached,
        )
    given = namespace.get("__builtins__")
    kind = "module" if given is builtins else "dict" if given is not None else "none"
    loader_name = type(loader).__name__ if loader is not None and not isinstance(loader, type) else ""
    token = None if is_whole else rebuild.token_of(module)
    return namespace.get("__name__"), recipe, loader_name, file, kind, token


def _contents(users: list[tuple[str, ModuleType]], options: Options) -> tuple[Any, ...]:
    """The namespaces in three parts: all functions, classes and modules; the rest; what has to be set right then."""
    code, data, finish = [], [], []
    for name, module in {id(module): (name, module) for name, module in reversed(users)}.values():
        namespace = vars(module)
        items = [(key, value) for key, value in list(namespace.items()) if key not in ANEW]
        if options.excluded:
            items = [item for item in items if not is_excluded(name, item[0], options)]
        code.append(_Filling(namespace, [item for item in items if _is_code(item[1])]))
        data.append(_Filling(namespace, [item for item in items if not _is_code(item[1])]))
        cls = None if type(module) is ModuleType else type(module)
        finish.append(Standin(rebuild.finish_module, module, list(namespace), cls))
    return code, data, finish


def is_excluded(module: str, key: Any, options: Options) -> bool:
    """Whether the user has excluded the variable."""
    return f"{module}.{key}" in options.excluded or (module == "__main__" and key in options.excluded)


def _is_code(value: Any) -> bool:
    # By the type: `__class__` may be code of the user's.
    return issubclass(type(value), FunctionType | type | ModuleType)


class _Filling:
    """A namespace and what to put into it, some now and some later: pickled as items that are set one by one."""

    __slots__ = ("items", "namespace")

    def __init__(self, namespace: dict[str, Any], items: list[tuple[str, Any]]) -> None:
        self.namespace, self.items = namespace, items


@reducer(_Filling)
def _reduce_filling(_pickler: Pickler, filling: _Filling) -> tuple[Any, ...]:
    return rebuild.itself, (filling.namespace,), None, None, iter(filling.items)


@reducer(ModuleType, subclasses=True)
def _reduce_module(pickler: Pickler, module: ModuleType) -> Any:
    name = module.__name__
    is_known = sys.modules.get(name) is module
    if not is_known:
        name = next((other for other, found in list(sys.modules.items()) if found is module), name)
    if is_known or sys.modules.get(name) is module:
        if not goes_by_value(pickler, name):
            return rebuild.import_module, (name, _submodules(name) if "__path__" in vars(module) else ())
        return rebuild.fill_module, (module_standin(pickler, module), _value_contents(pickler, module))
    made = Standin(rebuild.new_module, *_identity(module, is_whole=True))
    pickler.state.keep.append(made)
    return rebuild.itself, (made,), _value_contents(pickler, module), None, None, rebuild.fill_module


def _submodules(package: str) -> tuple[str, ...]:
    """Those of an installed package that were imported: code of the user's may name them without importing them."""
    if package == "stillframe":
        # It was we who imported most of them, to capture; its names import what they need.
        return ()
    prefix = f"{package}."
    return tuple(name for name in sys.modules if name.startswith(prefix) and "._" not in name)


def _value_contents(pickler: Pickler, module: ModuleType) -> dict[str, Any]:
    contents = {key: value for key, value in vars(module).items() if key not in ANEW}
    pickler.state.keep.append(contents)
    return contents
