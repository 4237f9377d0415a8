"""Objects of the standard library that plain pickle refuses, copies where it should not, or loses a part of."""

from __future__ import annotations

import os
import sys

from stillframe.capture import rebuild, rebuild_library
from stillframe.capture.pickler import LIBRARIES, Pickler, reducer, reducer_in
from stillframe.capture.reducers.classes import WITHOUT_NAME

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


@reducer(type(os.environ))
def _reduce_environ(_pickler: Pickler, environ: Any) -> Any:
    for name in ("environ", "environb"):
        if environ is getattr(os, name):
            return rebuild.by_name, ("os", name)
    return NotImplemented


@reducer_in("random", "SystemRandom", subclasses=True)
def _reduce_system_random(_pickler: Pickler, generator: Any) -> tuple[Any, ...]:
    made = (type(generator), sys.modules["random"].SystemRandom)
    return rebuild.bare, made, vars(generator), None, None, rebuild_library.set_plain


@reducer_in("random", "Random")
def _reduce_random(_pickler: Pickler, generator: Any) -> Any:
    if generator is sys.modules["random"]._inst:
        return rebuild.by_name, ("random", "_inst")
    return NotImplemented


@reducer_in("decimal", "Context")
def _reduce_decimal_context(_pickler: Pickler, context: Any) -> Any:
    for name in ("DefaultContext", "BasicContext", "ExtendedContext"):
        if context is getattr(sys.modules["decimal"], name):
            return rebuild.by_name, ("decimal", name)
    return NotImplemented


def _register_decimal_manager() -> None:
    manager = type(rebuild_library.decimal_manager())
    if "__dict__" not in dir(manager):  # else it is that of `_pydecimal`, a class like any other
        WITHOUT_NAME[manager] = rebuild_library.decimal_manager
        reducer(manager)(_reduce_decimal_manager)


def _reduce_decimal_manager(_pickler: Pickler, manager: Any) -> tuple[Any, ...]:
    """What `decimal.localcontext()` gives: it has two pointers, to the context that it sets and the one from before."""
    import ctypes

    at = id(manager) + object.__basicsize__
    held = (at, at + ctypes.sizeof(ctypes.c_void_p))
    new, old = (ctypes.py_object.from_address(slot).value for slot in held)
    return rebuild_library.decimal_manager_of, (new, old)


LIBRARIES.setdefault("decimal", []).append(_register_decimal_manager)


@reducer_in("logging", "Logger", subclasses=True)
def _reduce_logger(_pickler: Pickler, logger: Any) -> Any:
    """A logger is found by its name; its levels and handlers belong to the state of the process."""
    if logger is logger.manager.root:
        return rebuild.by_name, ("logging", "root")
    if logger.manager.loggerDict.get(logger.name) is logger:
        return rebuild_library.logger, (type(logger), logger.name)
    return rebuild.bare, (type(logger), object), vars(logger), None, None, rebuild_library.set_logger


@reducer_in("logging", "Manager")
def _reduce_manager(_pickler: Pickler, manager: Any) -> Any:
    if manager is sys.modules["logging"].Logger.manager:
        return rebuild.by_name, ("logging", "Logger.manager")
    return NotImplemented


@reducer(
    type(sys.flags), type(sys.version_info), type(sys.float_info), type(sys.int_info), type(sys.hash_info)
)
def _reduce_sys_struct(_pickler: Pickler, struct: Any) -> Any:
    for name in ("flags", "version_info", "float_info", "int_info", "hash_info"):
        if struct is getattr(sys, name):
            return rebuild.by_name, ("sys", name)
    return NotImplemented
