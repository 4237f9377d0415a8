"""What pickles call to make objects share their namespace with a frame."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any



def set_namespace(made: Any, namespace: dict[str, Any]) -> None:
    """Have `namespace` itself, no copy of it, be that of the object."""
    object.__setattr__(made, "__dict__", namespace)


def set_mapping(made: dict[Any, Any], state: tuple[dict[str, Any], dict[Any, Any]]) -> None:
    """Fill an object of a subclass of `dict`; what the subclass does when an item is set is not done."""
    attributes, items = state
    vars(made).update(attributes)
    dict.update(made, items)
