"""Context variables, contexts and tokens."""

from __future__ import annotations

import contextvars
import sys
from types import ModuleType
from typing import Any

from stillframe.capture import rebuild, rebuild_contexts
from stillframe.capture.modules import goes_by_value
from stillframe.capture.pickler import CannotReduce, Pickler, reducer
from stillframe.capture.reducers.views import held_by


@reducer(contextvars.ContextVar)
def _reduce_variable(pickler: Pickler, variable: Any) -> tuple[Any, ...]:
    home = _installed(pickler).get(id(variable))
    if home is not None:
        return rebuild.by_name, home
    default = tuple(held for held in held_by(variable) if held is not variable.name)[:1]
    if variable.name == "decimal_context" and not default:
        raise CannotReduce(variable, "it belongs to the decimal module", "Use decimal.getcontext().")
    return rebuild_contexts.variable, (variable.name, default)


def _installed(pickler: Pickler) -> dict[int, tuple[str, str]]:
    """The variables of installed modules, by id: module and name."""
    found: dict[int, tuple[str, str]] | None = pickler.state.seen.get("context variables")
    if found is None:
        found = pickler.state.seen["context variables"] = {}
        for name, module in list(sys.modules.items()):
            if isinstance(module, ModuleType) and not goes_by_value(pickler, name):
                for key, value in list(vars(module).items()):
                    if type(value) is contextvars.ContextVar:
                        found.setdefault(id(value), (name, key))
    return found


@reducer(contextvars.Context)
def _reduce_context(_pickler: Pickler, context: contextvars.Context) -> tuple[Any, ...]:
    return rebuild_contexts.context, (), items_of(context), None, None, rebuild_contexts.set_context


def items_of(context: contextvars.Context) -> list[tuple[Any, Any]]:
    """The variables of a context with their values; that of `decimal`, which has no name, as None."""
    items: list[tuple[Any, Any]] = []
    for variable, value in context.items():
        is_decimal = variable.name == "decimal_context" and type(value).__module__ == "decimal"
        items.append((None if is_decimal else variable, value))
    return items


@reducer(contextvars.Token)
def _reduce_token(pickler: Pickler, token: Any) -> tuple[Any, ...]:
    old = () if token.old_value is contextvars.Token.MISSING else (token.old_value,)
    facts = (token.var, old, " used " in repr(token))
    context = next((held for held in held_by(token) if type(held) is contextvars.Context), None)
    if context is None or id(context) in pickler.state.seen.get("contexts of threads", {id(context)}):
        return rebuild_contexts.token, facts
    return rebuild_contexts.token_in, (context, *facts)


@reducer(type(contextvars.Token.MISSING))
def _reduce_missing(_pickler: Pickler, _missing: Any) -> tuple[Any, ...]:
    return rebuild_contexts.missing, ()
