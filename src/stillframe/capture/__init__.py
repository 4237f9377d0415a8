"""Live objects to bytes and back: what a program holds, by value where it is the user's own, else by reference."""

from stillframe.capture import reducers as _reducers  # registers the reducers

__all__: list[str] = []
del _reducers
