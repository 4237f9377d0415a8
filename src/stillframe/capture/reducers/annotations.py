"""What `typing` makes: type variables, aliases, new types."""

from __future__ import annotations

import sys
import typing
from typing import Any

from stillframe.capture import rebuild_builtins
from stillframe.capture.modules import goes_by_value, named
from stillframe.capture.pickler import Pickler, reducer

FLAGS = ("covariant", "contravariant", "infer_variance")


def _is_installed(pickler: Pickler, made: Any) -> bool:
    module = getattr(made, "__module__", None)
    if not isinstance(module, str) or goes_by_value(pickler, module):
        return False
    return named(sys.modules[module], made.__name__) is made


@reducer(typing.TypeVar, typing.ParamSpec, typing.TypeVarTuple)
def _reduce_variable(pickler: Pickler, made: Any) -> Any:
    if _is_installed(pickler, made):
        return made.__name__
    keywords = {flag: True for flag in FLAGS if getattr(made, f"__{flag}__", False)}
    module = getattr(made, "__module__", None)
    if sys.version_info >= (3, 12):
        # Its bound, its constraints and its default may not have been evaluated yet, and stay so.
        arguments = (type(made), made.__name__, (), keywords, module)
        state = rebuild_builtins.fields_of(made)
        return rebuild_builtins.type_variable, arguments, state, None, None, rebuild_builtins.set_fields
    bound = getattr(made, "__bound__", None)
    return rebuild_builtins.type_variable, (
        type(made),
        made.__name__,
        getattr(made, "__constraints__", ()),
        keywords if bound is None else {**keywords, "bound": bound},
        module,
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
    state = rebuild_builtins.fields_of(made)
    return rebuild_builtins.type_alias, (made.__name__,), state, None, None, rebuild_builtins.set_fields
