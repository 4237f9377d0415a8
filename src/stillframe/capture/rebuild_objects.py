"""What pickles call to make objects share their namespace with a frame."""

from __future__ import annotations

from typing import Any


def set_namespace(made: Any, namespace: dict[str, Any]) -> None:
    """Have `namespace` itself, no copy of it, be that of the object."""
    object.__setattr__(made, "__dict__", namespace)
