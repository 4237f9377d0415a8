"""What pickles call to make context variables, contexts and tokens again.

A token is made by setting its variable in the context in which the pickle is loaded: the one in which the program
will go on. Who restores a program sets the variables to their values afterwards.
"""

from __future__ import annotations

import contextvars

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def variable(name: str, default: tuple[Any, ...]) -> Any:
    """A context variable; `default` is empty or has its default."""
    return contextvars.ContextVar(name, default=default[0]) if default else contextvars.ContextVar(name)


def context() -> contextvars.Context:
    """A context without variables."""
    return contextvars.Context()


def set_context(made: contextvars.Context, items: list[tuple[Any, Any]]) -> None:
    """The variables of a context."""
    made.run(set_variables, items)


def set_variables(items: list[tuple[Any, Any]]) -> None:
    """Set variables in the current context; None is that of `decimal`."""
    for variable, value in items:
        if variable is None:
            import decimal

            decimal.setcontext(value)
        else:
            variable.set(value)


def token_in(context: contextvars.Context, variable: Any, old: tuple[Any, ...], is_used: bool) -> Any:
    """What setting the variable has returned, in a context of its own."""
    return context.run(token, variable, old, is_used)


def token(variable: Any, old: tuple[Any, ...], is_used: bool) -> Any:
    """What setting the variable has returned."""
    if old:
        variable.set(old[0])
    made = variable.set(None)
    if is_used:
        variable.reset(made)
    return made


def missing() -> Any:
    """The old value of a variable that had none."""
    return contextvars.Token.MISSING
