"""The state of modules that travel by reference: what they keep in themselves, not in objects of the program.

One pair of functions per module: `capture(module)` returns what to pickle, or None; `restore(state, notes)` puts it
back, and adds a sentence to `notes` for what cannot be.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TypeAlias

Notes = list[str]
Pair: TypeAlias = "tuple[Callable[[Any], Any], Callable[[Any, Notes], None]]"

LIBRARY_STATES: dict[str, Pair] = {}


def _state_of(name: str) -> Callable[[type], type]:
    def register(pair: Any) -> Any:
        LIBRARY_STATES[name] = pair.capture, pair.restore
        return pair

    return register


@_state_of("random")
class _Random:
    @staticmethod
    def capture(random: Any) -> Any:
        return random._inst.getstate()

    @staticmethod
    def restore(state: Any, _notes: Notes) -> None:
        random: Any = import_module("random")
        random._inst.setstate(state)


@_state_of("decimal")
class _Decimal:
    @staticmethod
    def capture(decimal: Any) -> Any:
        shared = [
            {key: getattr(context, key) for key in ("prec", "rounding", "Emin", "Emax", "capitals", "clamp")}
            | {"flags": dict(context.flags), "traps": dict(context.traps)}
            for context in (decimal.DefaultContext, decimal.BasicContext, decimal.ExtendedContext)
        ]
        return decimal.getcontext(), shared

    @staticmethod
    def restore(state: Any, _notes: Notes) -> None:
        import decimal

        current, shared = state
        for context, fields in zip(
            (decimal.DefaultContext, decimal.BasicContext, decimal.ExtendedContext), shared, strict=True
        ):
            for key, value in fields.items():
                setattr(context, key, value)
        decimal.setcontext(current)


@_state_of("logging")
class _Logging:
    @staticmethod
    def capture(logging: Any) -> Any:
        root = logging.root
        loggers = [
            root,
            *(found for found in root.manager.loggerDict.values() if isinstance(found, logging.Logger)),
        ]
        rows = [
            (
                logger,
                logger.level,
                logger.propagate,
                logger.disabled,
                logger.handlers,
                logger.filters,
                vars(logger),
            )
            for logger in loggers
        ]
        return {
            "loggers": [(*row[:6], _extra(row[6])) for row in rows],
            "disable": root.manager.disable,
            "class": logging._loggerClass,
            "factory": logging.getLogRecordFactory(),
            "levels": dict(logging._levelToName),
            "raise": logging.raiseExceptions,
            "last": None if logging.lastResort is logging._defaultLastResort else logging.lastResort,
            "has_last": logging.lastResort is not None,
            "handlers": [
                handler for handler in (ref() for ref in logging._handlerList) if handler is not None
            ],
            "captures_warnings": logging._warnings_showwarning is not None,
        }

    @staticmethod
    def restore(state: Any, _notes: Notes) -> None:
        import logging

        for level, name in state["levels"].items():
            if logging.getLevelName(level) != name:
                logging.addLevelName(level, name)
        for logger, level, propagate, disabled, handlers, filters, extra in state["loggers"]:
            logger.level, logger.propagate, logger.disabled = level, propagate, disabled
            logger.handlers, logger.filters = handlers, filters
            vars(logger).update(extra)
        logging.root.manager.disable = state["disable"]
        logging.root.manager._clear_cache()  # type: ignore[attr-defined]
        logging._loggerClass = state["class"]  # type: ignore[attr-defined]
        logging.setLogRecordFactory(state["factory"])
        logging.raiseExceptions = state["raise"]
        if state["last"] is not None or not state["has_last"]:
            logging.lastResort = state["last"]
        known = {id(ref()) for ref in logging._handlerList}  # type: ignore[attr-defined]
        for handler in state["handlers"]:
            if id(handler) not in known:
                logging._addHandlerRef(handler)  # type: ignore[attr-defined]
                if handler.get_name():
                    logging._handlers[handler.get_name()] = handler  # type: ignore[attr-defined]
        logging.captureWarnings(state["captures_warnings"])


def _extra(attributes: dict[str, Any]) -> dict[str, Any]:
    own = {"name", "level", "parent", "propagate", "handlers", "disabled", "filters", "_cache", "manager"}
    return {key: value for key, value in attributes.items() if key not in own}


@_state_of("warnings")
class _Warnings:
    @staticmethod
    def capture(warnings: Any) -> Any:
        return {
            "filters": list(warnings.filters),
            "default": warnings.defaultaction,
            "once": dict(warnings.onceregistry),
            "show": getattr(warnings, "showwarning", None),
            "format": getattr(warnings, "formatwarning", None),
            "version": _filters_version(warnings),
        }

    @staticmethod
    def restore(state: Any, _notes: Notes) -> None:
        import warnings as module

        warnings: Any = module
        warnings.filters[:] = state["filters"]
        warnings.defaultaction = state["default"]
        warnings.onceregistry.clear()
        warnings.onceregistry.update(state["once"])
        warnings.showwarning, warnings.formatwarning = state["show"], state["format"]
        _set_filters_version(warnings, state["version"])


def _filters_version(warnings: Any) -> int:
    """How often the filters were changed. A module's register of shown warnings is void if its number is another."""

    class Probe(Warning):
        """A warning that nobody sees."""

    registry: dict[Any, Any] = {}
    entry = ("ignore", None, Probe, None, 0)
    warnings.filters.insert(0, entry)
    try:
        warnings.warn_explicit("", Probe, "", 0, registry=registry)
    finally:
        warnings.filters.remove(entry)
    return int(registry.get("version", 0))


def _set_filters_version(warnings: Any, version: int) -> None:
    mutated: Any = getattr(warnings, "_filters_mutated", None) or getattr(
        warnings, "_filters_mutated_lock_held", None
    )
    now = _filters_version(warnings)
    for _ in range(version - now if mutated else 0):
        mutated()
    if now > version:
        for module in list(sys.modules.values()):
            registry = getattr(module, "__dict__", {}).get("__warningregistry__")
            if isinstance(registry, dict) and registry.get("version") == version:
                registry["version"] = now


@_state_of("_locale")
class _Locale:
    @staticmethod
    def capture(module: Any) -> Any:
        return module.setlocale(module.LC_ALL)

    @staticmethod
    def restore(state: Any, notes: Notes) -> None:
        _locale: Any = import_module("_locale")
        if _locale.setlocale(_locale.LC_ALL) != state:
            try:
                _locale.setlocale(_locale.LC_ALL, state)
            except _locale.Error:
                notes.append(f"the program had the locale {state}, which is not installed here.")


@_state_of("faulthandler")
class _FaultHandler:
    @staticmethod
    def capture(faulthandler: Any) -> Any:
        return True if faulthandler.is_enabled() else None

    @staticmethod
    def restore(_state: Any, _notes: Notes) -> None:
        import faulthandler

        faulthandler.enable()


@_state_of("socket")
class _Socket:
    @staticmethod
    def capture(socket: Any) -> Any:
        return socket.getdefaulttimeout()

    @staticmethod
    def restore(state: Any, _notes: Notes) -> None:
        import socket

        socket.setdefaulttimeout(state)


@_state_of("weakref")
class _Finalizers:
    """`weakref.finalize` keeps its objects in the class: those that concern the user's objects come along."""

    @staticmethod
    def capture(weakref: Any) -> Any:
        from stillframe.capture.modules import is_by_value_name

        found = []
        for finalizer, info in list(weakref.finalize._registry.items()):
            target = info.weakref()
            if target is None:
                continue
            modules = (type(target).__module__, getattr(info.func, "__module__", None))
            if any(isinstance(name, str) and is_by_value_name(name) for name in modules):
                found.append(finalizer)
        return found or None

    @staticmethod
    def restore(_state: Any, _notes: Notes) -> None:
        """They have registered themselves when they were loaded."""


@_state_of("numpy")
class _Numpy:
    @staticmethod
    def capture(numpy: Any) -> Any:
        random = numpy.random.get_state(legacy=False) if "numpy.random" in sys.modules else None
        return {"random": random, "errors": numpy.geterr(), "print": numpy.get_printoptions()}

    @staticmethod
    def restore(state: Any, _notes: Notes) -> None:
        import numpy

        numpy.seterr(**state["errors"])
        known = {key: value for key, value in state["print"].items() if key != "override_repr"}
        numpy.set_printoptions(**known)
        if state["random"] is not None:
            numpy.random.set_state(state["random"])


@_state_of("torch")
class _Torch:
    @staticmethod
    def capture(torch: Any) -> Any:
        return {
            "random": torch.get_rng_state(),
            "dtype": torch.get_default_dtype(),
            "grad": torch.is_grad_enabled(),
            "threads": torch.get_num_threads(),
            "deterministic": torch.are_deterministic_algorithms_enabled(),
        }

    @staticmethod
    def restore(state: Any, _notes: Notes) -> None:
        torch: Any = import_module("torch")
        torch.set_rng_state(state["random"])
        torch.set_default_dtype(state["dtype"])
        torch.set_grad_enabled(state["grad"])
        if torch.get_num_threads() != state["threads"]:
            torch.set_num_threads(state["threads"])
        torch.use_deterministic_algorithms(state["deterministic"])


@_state_of("pandas")
class _Pandas:
    @staticmethod
    def capture(_pandas: Any) -> Any:
        config = sys.modules.get("pandas._config.config")
        return None if config is None else _flat(config.__dict__["_global_config"], "")

    @staticmethod
    def restore(state: Any, _notes: Notes) -> None:
        config: Any = import_module("pandas._config.config")
        now = _flat(config.__dict__["_global_config"], "")
        for key, value in state.items():
            if key in now and now[key] is not value and now[key] != value:
                config.set_option(key, value)


def _flat(tree: dict[str, Any], prefix: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in tree.items():
        found |= _flat(value, f"{prefix}{key}.") if type(value) is dict else {prefix + key: value}
    return found


@_state_of("matplotlib")
class _Matplotlib:
    @staticmethod
    def capture(matplotlib: Any) -> Any:
        return {key: value for key, value in dict.items(matplotlib.rcParams) if not key.startswith("backend")}

    @staticmethod
    def restore(state: Any, _notes: Notes) -> None:
        matplotlib: Any = import_module("matplotlib")
        dict.update(matplotlib.rcParams, state)


@_state_of("matplotlib.pyplot")
class _Pyplot:
    """The figures that are open, which need not be in any variable, and where they are drawn."""

    @staticmethod
    def capture(pyplot: Any) -> Any:
        backend = dict.get(pyplot.rcParams, "backend")
        managers = pyplot._pylab_helpers.Gcf.figs
        figures = [(number, manager.canvas.figure) for number, manager in managers.items()]
        return backend if type(backend) is str else None, figures

    @staticmethod
    def restore(state: Any, _notes: Notes) -> None:
        pyplot: Any = import_module("matplotlib.pyplot")
        backend, figures = state
        if backend is not None and dict.get(pyplot.rcParams, "backend") != backend:
            pyplot.switch_backend(backend)
        # Each has entered itself when it was loaded, under a number of its own choice.
        managers = pyplot._pylab_helpers.Gcf
        managers.figs.clear()
        for number, figure in figures:
            manager = pyplot._get_backend_mod().new_figure_manager_given_figure(number, figure)
            managers._set_new_active_manager(manager)


@_state_of("sklearn._config")
class _Sklearn:
    @staticmethod
    def capture(config: Any) -> Any:
        return config.get_config()

    @staticmethod
    def restore(state: Any, _notes: Notes) -> None:
        config: Any = import_module("sklearn._config")
        config.set_config(**{key: value for key, value in state.items() if key in config.get_config()})
