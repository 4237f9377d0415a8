"""What `typing` makes: type variables, aliases, new types."""

from __future__ import annotations

import sys
import typing
from typing import Any

from stillframe.capture import rebuild_builtins
from stillframe.capture.modules import goes_by_value, named
from stillframe.capture.pickler import Pickler, reducer

VARIABLE_FIELDS = {
    "bound": "__bound__",
    "covariant": "__covariant__",
    "contravariant": "__contravariant__",
    "infer_variance": "__infer_variance__",
    "default": "__default__",
}


def _is_installed(pickler: Pickler, made: Any) -> bool:
    module = getattr(made, "__module__", None)
    if not isinstance(module, str) or goes_by_value(pickler, module):
        return False
    return named(sys.modules[module], made.__name__) is made


@reducer(typing.TypeVar, typing.ParamSpec, typing.TypeVarTuple)
def _reduce_variable(pickler: Pickler, made: Any) -> Any:
    if _is_installed(pickler, made):
        return made.__name__
    keywords = {}
    for keyword, attribute in VARIABLE_FIELDS.items():
        value = getattr(made, attribute, None)
        if value is not None and value is not False and value is not getattr(typing, "NoDefault", None):
            keywords[keyword] = value
    constraints = getattr(made, "__constraints__", ())
    return rebuild_builtins.type_variable, (
        type(made),
        made.__name__,
        constraints,
        keywords,
        getattr(made, "__module__", None),
    )


@reducer(typing.NewType)
def _reduce_new_type(pickler: Pickler, made: Any) -> Any:
    if _is_installed(pickler, made):
        return made.__qualname__
    return rebuild_builtins.new_type, (made.__name__, made.__supertype__), dict(made.__dict__)


@reducer(getattr(typing, "TypeAliasType", None))
def _reduce_alias(pickler: Pickler, made: Any) -> Any:
    if _is_installed(pickler, made):
        return made.__name__
    if made.__type_params__:
        return rebuild_builtins.type_alias, (made.__name__, made.__value__, made.__type_params__)
    # Its value may mean itself: like the statement's, it is looked at only when it is needed.
    holder: list[Any] = []
    pickler.state.keep.append(holder)
    state = (holder, made.__value__)
    return (
        rebuild_builtins.lazy_alias,
        (made.__name__, made.__module__, holder),
        state,
        None,
        None,
        (rebuild_builtins.set_alias),
    )
