"""What a state may be called: any text but the empty one, as long as UTF-8 can say it."""

from __future__ import annotations

from stillframe.errors import BadRequest


def is_name(text: str) -> bool:
    """Whether a state may be called so."""
    try:
        return bool(text.encode())
    except UnicodeEncodeError:
        return False


def check_name(name: str) -> str:
    """The name. Raises BadRequest where it is none."""
    if not name:
        raise BadRequest("a state's name is empty.", "Any other text is a name.")
    if not is_name(name):
        raise BadRequest("a state's name holds half a surrogate pair.", "Names are text that UTF-8 can say.")
    return name
