"""What an execution is answered with: the outputs of its ending, or whose error it was and which.

Invariants:
  * A reply has a state's name or an error, never both.
"""

from __future__ import annotations

from stillframe.engine.protocol import Resume
from stillframe.engine.running import Ending, Execution
from stillframe.engine.transcript import Sink
from stillframe.engine.tree import State
from stillframe.errors import ResourceLimit
from stillframe.model import ALL_REJECTED, ErrorKind, ExecutionError, Output, Reply


def outputs_of(ending: Ending, sink: Sink | None) -> list[Output]:
    """All that a branch has put out. What was held back, because it might have been rejected, is passed on now."""
    outputs = ending.transcript.finish(ending.done.left_out if ending.done is not None else 0)
    ending.transcript.release(sink)
    return outputs


def succeeded(state: State, name: str, ending: Ending, outputs: list[Output]) -> Reply:
    """A branch has ended well, and has made a state."""
    done = ending.done
    assert done is not None
    symbols = (done.accessed, done.modified, done.deleted)
    return Reply(outputs, name, None, *symbols, state.id, round(state.duration_s, 6))


def failed(error: ExecutionError, ending: Ending, outputs: list[Output], duration_s: float) -> Reply:
    """No state was made."""
    done = ending.done
    symbols = (done.accessed, done.modified, done.deleted) if done is not None else ([], [], [])
    return Reply(outputs, None, error, *symbols, None, round(duration_s, 6))


def refused(ename: str, evalue: str, outputs: list[Output]) -> Reply:
    """Nothing was run."""
    return Reply(outputs, None, ExecutionError(ename, evalue, [], "refused"))


def error_of(execution: Execution, endings: list[Ending]) -> ExecutionError | None:
    """Why an execution that came to these endings has made no state. Raises ResourceLimit where its process could
    not be forked."""
    if execution.is_reset:
        return ExecutionError("KernelReset", "", [], "reset")
    done = endings[0].done if endings else None
    if done is None and execution.is_interrupted:
        return ExecutionError("KeyboardInterrupt", "", [], "interrupted")
    if not endings:
        return ExecutionError(ALL_REJECTED, "every branch of this cell ended in reject()", [], "user")
    if done is None:
        process = endings[0].process
        if process.fork_errno is not None:
            raise ResourceLimit(process.describe_end() + ".", "Delete states that are not needed.")
        evalue = f"the process that ran this cell ended: {process.describe_end()}"
        return ExecutionError("StateProcessDied", evalue, [], "died")
    if done.error is None:
        return None
    ename, evalue, lines = done.error
    kind: ErrorKind = "interrupted" if execution.is_interrupted and done.interrupted else "user"
    return ExecutionError(ename, evalue, lines, kind)


def no_cell_in(state: State, name: str) -> str:
    """Why no cell runs in a state inside a call."""
    where = f"{state.where.file}:{state.where.line} in {state.where.function}" if state.where else "a call"
    return (
        f"state {name!r} rests inside a call of its cell ({where}): no cell can run there. "
        "Go on from it with POST /resume, `kernel.resume` or `still resume`."
    )


def not_resumable(state: State, name: str, order: Resume) -> tuple[str, str] | None:
    """The error's name and message where a state cannot be resumed."""
    if state.kind == "call":
        is_plain = order.frame is None and not order.mend
        return None if is_plain else ("BadRequest", f"state {name!r} rests inside a call: there is nothing to mend.")
    if state.kind != "error":
        message = f"state {name!r} does not rest inside a call: there is nothing to resume. Execute a cell in it."
        return "BadRequest", message
    if state.raised is not None and state.raised.can_fork:
        return None
    if state.raised is None:
        why = "its cell's frames were not kept: something might have caught what was raised, or did"
    else:
        why = "; ".join(state.raised.hazards) or "the process that had its frames has ended"
    message = f"state {name!r} cannot be gone on from where it failed: {why}. Execute a cell in it, or its cell again."
    return "StateUnreachable", message
