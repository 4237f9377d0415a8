"""Class bodies in progress: the namespaces that metaclasses of the standard library prepare."""

from __future__ import annotations

from stillframe.capture import rebuild, rebuild_objects
from stillframe.capture.pickler import Pickler, reducer_in

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


@reducer_in("enum", "_EnumDict")
def _reduce_enum_body(pickler: Pickler, namespace: Any) -> tuple[Any, ...]:
    state = (dict(vars(namespace)), dict(namespace))
    pickler.state.keep.append(state)
    return rebuild.bare, (type(namespace), dict), state, None, None, rebuild_objects.set_mapping
