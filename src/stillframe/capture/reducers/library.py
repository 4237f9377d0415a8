"""Objects of the standard library that plain pickle refuses, copies where it should not, or loses a part of."""

from __future__ import annotations

import decimal
import logging
import os
import random
import sys
from typing import Any

from stillframe.capture import rebuild, rebuild_library
from stillframe.capture.pickler import Pickler, reducer


@reducer(type(os.environ))
def _reduce_environ(_pickler: Pickler, environ: Any) -> Any:
    for name in ("environ", "environb"):
        if environ is getattr(os, name):
            return rebuild.by_name, ("os", name)
    return NotImplemented


@reducer(random.SystemRandom, subclasses=True)
def _reduce_system_random(_pickler: Pickler, generator: Any) -> tuple[Any, ...]:
    made = (type(generator), random.SystemRandom)
    return rebuild.bare, made, vars(generator), None, None, rebuild_library.set_plain


@reducer(random.Random)
def _reduce_random(_pickler: Pickler, generator: random.Random) -> Any:
    if generator is random._inst:
        return rebuild.by_name, ("random", "_inst")
    return NotImplemented


@reducer(decimal.Context)
def _reduce_decimal_context(_pickler: Pickler, context: decimal.Context) -> Any:
    for name in ("DefaultContext", "BasicContext", "ExtendedContext"):
        if context is getattr(decimal, name):
            return rebuild.by_name, ("decimal", name)
    return NotImplemented


@reducer(logging.Logger, subclasses=True)
def _reduce_logger(_pickler: Pickler, logger: logging.Logger) -> Any:
    """A logger is found by its name; its levels and handlers belong to the state of the process."""
    if logger is logging.root:
        return rebuild.by_name, ("logging", "root")
    if logger.manager.loggerDict.get(logger.name) is logger:
        return rebuild_library.logger, (type(logger), logger.name)
    return rebuild.bare, (type(logger), object), vars(logger), None, None, rebuild_library.set_logger


@reducer(logging.Manager)
def _reduce_manager(_pickler: Pickler, manager: logging.Manager) -> Any:
    return (
        (rebuild.by_name, ("logging", "Logger.manager"))
        if manager is logging.Logger.manager
        else NotImplemented
    )


@reducer(
    type(sys.flags), type(sys.version_info), type(sys.float_info), type(sys.int_info), type(sys.hash_info)
)
def _reduce_sys_struct(_pickler: Pickler, struct: Any) -> Any:
    for name in ("flags", "version_info", "float_info", "int_info", "hash_info"):
        if struct is getattr(sys, name):
            return rebuild.by_name, ("sys", name)
    return NotImplemented
