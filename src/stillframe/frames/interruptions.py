"""Python frames that run at no instruction's wish: finalizers, callbacks, handlers, trace functions, hooks.

Where such a frame runs, the instruction of the frame before it may have let go of its operands already: what is
left on the stack then is no object any more.

Invariant: nothing of the stack of the frame that was interrupted is read here.
"""

from __future__ import annotations

import _signal
import gc
import io
import itertools
import sys
import types
import warnings
import weakref

from stillframe.frames import _frames
from stillframe.frames._frames import NULL, FrameRef
from stillframe.frames.code import VERSION, CodeMap, code_map
from stillframe.frames.inner import Inner, Unknown, attributes, is_a
from stillframe.frames.instructions import CALLS, landing_of, may_break
from stillframe.frames.natives import is_method_of, leads_to

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

SIGNAL = "a signal's handler"
_REFERENCES_OF_THE_DYING = 5
"""Of a generator that is being finalized: the interpreter's, FrameRef's, Inner's, and two of the asking."""
_CO_VARARGS = 4
"""As in `inspect`, which is large."""
_METHOD_DESCRIPTOR = 1 << 17
"""The flag of types whose objects become methods without an object in between (Py_TPFLAGS_METHOD_DESCRIPTOR)."""


def interruption(inner: Inner, code: CodeMap, unit: int) -> str | None:
    """What runs the frame in between, at no instruction's wish; None if it is what the instruction calls.

    The instruction is that of the frame before, at `unit` of `code`.
    """
    given = inner.given()
    finalizer = _finalizer(inner, given)
    if finalizer is not None:
        return finalizer
    if inner.code.co_filename == warnings.__file__ or inner.code.co_name == "_warn_unawaited_coroutine":
        return "a warning"
    hooks: Any = sys.get_asyncgen_hooks()
    if any(_runs(hook, inner) for hook in (sys.unraisablehook, *hooks)):
        return "a hook of the interpreter"
    if any(is_a(value, weakref.ref) and weakref.ref.__call__(value) is None for value in given):
        return "a weak reference's callback"
    if any(_runs(callback, inner) for callback in gc.callbacks):
        return "a callback of the garbage collector"
    if any(type(one) is types.FrameType and type(two) is str for one, two in itertools.pairwise(given)):
        return "a trace function"
    if may_break(code.instruction_at(unit)) and _handles_a_signal(inner):
        return SIGNAL
    return None


def _finalizer(inner: Inner, given: list[Any]) -> str | None:
    if inner.code.co_name == "__del__" or (given and is_method_of(given[0], ["__del__"], inner)):
        return "a finalizer (__del__)"
    if inner.generator is not None and _is_being_closed(inner.generator):
        return "the end of a generator that nobody uses any more"
    if inner.code.co_name == "call_exception_handler":
        return "a finalizer of asyncio"
    if given and is_a(given[0], io.IOBase) and "_finalizing" in attributes(given[0]):
        return "the end of a file that nobody uses any more"
    return None


def _is_being_closed(generator: Any) -> bool:
    """Whether a generator runs only because nobody has it any more: it is closed, by nobody's call."""
    if sys.getrefcount(generator) > _REFERENCES_OF_THE_DYING:
        return False
    error = _frames.generator_facts(generator)[3]
    while error is not None and not is_a(error, GeneratorExit):
        error = error.__context__
    return error is not None


def _runs(hook: Any, inner: Inner) -> bool:
    if hook is None or type(hook) is types.BuiltinFunctionType:
        return False
    return leads_to(hook, Unknown(), {}, inner) is not None


def _handles_a_signal(inner: Inner) -> bool:
    """Whether a handler of some signal leads to the frame, and nothing shows that it was called otherwise."""
    if inner.code.co_argcount < 2 and not inner.code.co_flags & _CO_VARARGS:
        return False  # it is called with the signal's number and a frame
    # Of `signal` itself each answer takes as long as all of these together.
    handlers = (_signal.getsignal(number) for number in range(1, _signal.NSIG))
    if not any(callable(handler) and _runs(handler, inner) for handler in handlers):
        return False
    given = inner.given()
    return (
        NULL in given
        or bool(code_map(inner.code).stored)
        or any(type(one) is types.FrameType for one in given)
    )


def is_under_way(ref: FrameRef, code: CodeMap, unit: int) -> bool:
    """Whether the call at `unit` may be under way still: the slot of its result has what was there before, as far as
    can be told. A call that is under way must never be taken for one that has ended, so in doubt it is under way.
    """
    at, landing = landing_of(code, unit) or (None, None)
    if at is None or landing is None or at.name not in CALLS:
        return False
    [first] = ref.stack(landing.keep, landing.keep + 1)
    if VERSION >= (3, 13):
        return callable(first) and type(first) is not types.FunctionType
    is_method = bool(type.__dict__["__flags__"].__get__(type(first)) & _METHOD_DESCRIPTOR)
    return first is NULL or (is_method and type(first) is not types.FunctionType)
