"""What pickles call to find or make objects of the standard library again."""

from __future__ import annotations

import contextvars

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def logger(cls: type, name: str) -> Any:
    """The logger of this name, made with this class if there is none yet."""
    import logging

    manager = logging.Logger.manager
    if isinstance(manager.loggerDict.get(name), logging.Logger) or cls is logging.Logger:
        return logging.getLogger(name)
    before = manager.loggerClass
    manager.loggerClass = _plain(cls)
    try:
        return manager.getLogger(name)
    finally:
        manager.loggerClass = before


def _plain(cls: Any) -> Any:
    """Makes a logger of the class without calling the user's `__init__`."""

    import logging

    def make(name: str) -> Any:
        made = object.__new__(cls)
        logging.Logger.__init__(made, name)
        return made

    return make


def set_logger(made: Any, attributes: dict[str, Any]) -> None:
    """The attributes of a logger that no name leads to."""
    vars(made).update(attributes)
    vars(made)["_cache"] = {}


def decimal_manager() -> Any:
    """A manager of a decimal context, made where the thread's own context is not touched."""
    import decimal

    return contextvars.Context().run(decimal.localcontext)


def decimal_manager_of(new: Any, old: Any) -> Any:
    """One that sets a copy of `new`, and sets `old` again when it is left."""
    import decimal

    def make() -> Any:
        decimal.setcontext(old)
        return decimal.localcontext(new)

    return contextvars.Context().run(make)


def set_plain(made: Any, attributes: dict[str, Any]) -> None:
    """The attributes of an object."""
    vars(made).update(attributes)
