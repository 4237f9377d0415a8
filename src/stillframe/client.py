"""A client of a kernel: one method for each route of docs/protocol.md.

Invariants:
  * A Client may be used by any number of threads at once; a call holds one connection while it lasts.
  * An exception of the user's code is `Execution.error`; what is raised is a StillframeError.
  * An execution is sent once. It is never repeated silently.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from types import TracebackType
from typing import Any, Literal, Self, TypeVar
from urllib.parse import quote

import msgspec

from stillframe import errors, model
from stillframe.errors import BadRequest, NotJSON, StateNotFound, StillframeError
from stillframe.model import ALL_REJECTED, Completion, Evaluated, Frame, Inspection, Value, Variable
from stillframe.moves import Moves
from stillframe.pool import Answer, Event, Place, Pool, Refused, place_of
from stillframe.results import Collector, Execution, State, StateLike, Tree, name_of
from stillframe.show import printable

T = TypeVar("T")

OnOutput = Callable[[str, dict[str, Any]], None]
"""Called with each event of a running execution and its data: output, clear_output, update_display_data."""

Item = Mapping[str, Any] | Sequence[Any]
"""One of execute_many's items: (code, state), (code, state, name), or a dict of execute's arguments."""


def connect(url: str, token: str | None = None, *, timeout_s: float | None = None) -> Client:
    """A client of the kernel at `url`, such as http://127.0.0.1:8765 (`?token=…` in it is understood).

    Nothing is sent yet: the first call says whether somebody answers. `timeout_s` is the longest silence
    while an answer is awaited, and so the longest run of a cell; None waits for ever.
    """
    return Client(place_of(url, token), timeout_s=timeout_s)


class Client(Moves):
    """The methods of a kernel. Where a state is taken, its name, a State or an Execution will do."""

    def __init__(
        self, place: Place, *, timeout_s: float | None = None, explain: Callable[[], str] | None = None
    ) -> None:
        self._pool = Pool(place, timeout_s=timeout_s, explain=explain)

    @property
    def url(self) -> str:
        """Where the kernel is, without the token."""
        return self._pool.place.shown

    def execute(
        self,
        code: str,
        state: StateLike = model.INITIAL,
        name: str | None = None,
        *,
        exec_id: str | int | None = None,
        on_output: OnOutput | None = None,
        on_error: Literal["discard", "keep"] = "discard",
        error_name: str | None = None,
    ) -> Execution:
        """Run `code` in `state`, which stays what it was; the new state is called `name`, or a fresh name.

        With `on_output` outputs are given to it as they happen, in this thread, and are in the Execution
        too. When it raises, the kernel is left to finish the cell. `exec_id` is for interrupt().
        With `on_error="keep"` a cell that fails leaves a state behind too, `Execution.error_state`, called
        `error_name` or a fresh name: frames() and evaluate() look at it, and cells run in what it holds.
        Raises StateNotFound, StateUnreachable or ResourceLimit where nothing was run.
        """
        asked = {"code": code, "state_name": name_of(state), **_on_error(on_error, error_name)}
        return self._perform("/execute", asked, name, exec_id, on_output)

    def resume(
        self,
        state: StateLike,
        value: Any = None,
        name: str | None = None,
        *,
        frame: int | None = None,
        mend: str = "",
        exec_id: str | int | None = None,
        on_output: OnOutput | None = None,
        on_error: Literal["discard", "keep"] = "discard",
        error_name: str | None = None,
    ) -> Execution:
        """Go on from a state that rests inside a call: `stillframe.snapshot(…)` returns a Resumed with `value` there.

        The cell goes on to its end and makes a new state, a child of the resting one, which stays what it was: it
        may be resumed any number of times, also at once. `value` is what JSON can say, at most 64 MiB of it. All
        else is as with execute(); the outputs are those from the call on. Raises BadRequest where the state does
        not rest inside a call.

        From a state that a failed cell has left behind: the innermost frame executes the statement again that has
        failed, or the frame with the index `frame` among frames() the one that it is in; before that `mend` is
        executed there, and what it assigns is assigned to the variables of that frame. Loops, `with` blocks and
        callers are in force as they were; the rest of the cell follows. Raises StateUnreachable where the frames are
        not there any more, or were not kept.
        """
        asked = {"state_name": name_of(state), "value": value, **_on_error(on_error, error_name)}
        if frame is not None:
            asked["frame"] = frame
        if mend:
            asked["mend"] = mend
        return self._perform("/resume", asked, name, exec_id, on_output)

    def execute_all(
        self,
        code: str,
        state: StateLike = model.INITIAL,
        name: str | None = None,
        *,
        limit: int | None = None,
        exec_id: str | int | None = None,
    ) -> list[Execution]:
        """Run code that calls `stillframe.choose`, and collect all branches that end without reject(), or the first
        `limit`, in the order of their choices. `Limits.search_branches` of them run at once.

        Their states are called `name/1`, `name/2`, …, or have fresh names. Empty where every branch was rejected.
        Raises ExecutionFailed where one raised an exception: none of them has made a state then.
        """
        asked = {"code": code, "state_name": name_of(state), "branches": "all" if limit is None else limit}
        used_id = uuid.uuid4().hex if exec_id is None else exec_id
        reply = self._ask("POST", "/execute", model.Reply, _request(asked, name, used_id))
        if reply.error is not None and reply.error.ename == ALL_REJECTED:
            return []
        self._raise_if_refused(reply.error)
        return [Execution.of(used_id, branch).raise_for_error() for branch in reply.branches or [reply]]

    def _perform(
        self,
        path: str,
        asked: dict[str, Any],
        name: str | None,
        exec_id: str | int | None,
        on_output: OnOutput | None,
    ) -> Execution:
        used_id = uuid.uuid4().hex if exec_id is None else exec_id
        body = _request(asked, name, used_id)
        if on_output is None:
            execution = Execution.of(used_id, self._ask("POST", path, model.Reply, body))
        else:
            execution = self._stream(path, used_id, body, on_output)
        self._raise_if_refused(execution.error)
        return execution

    def _raise_if_refused(self, error: model.ExecutionError | None) -> None:
        if error is not None and error.kind == "refused":
            raise self._refusal(error)

    def execute_many(self, items: Sequence[Item], *, max_workers: int = 8) -> list[Execution]:
        """Run all items, `max_workers` at once; their executions in the order of the items.

        An item is (code, state), (code, state, name), or a dict of execute's arguments. Where one is refused
        the others still finish, then its error is raised. Ctrl-C interrupts all of them.
        """
        calls = [_arguments(item) for item in items]
        if not calls:
            return []
        with ThreadPoolExecutor(max_workers, thread_name_prefix="stillframe") as threads:
            futures = [threads.submit(self.execute, **call) for call in calls]
            try:
                wait(futures)
            except BaseException:
                for future in futures:
                    future.cancel()
                # Again and again: one may have been on its way to the kernel.
                while wait(futures, timeout=0.2).not_done:
                    for future, call in zip(futures, calls, strict=True):
                        if future.running():
                            with suppress(StillframeError):
                                self.interrupt(call["exec_id"])
                raise
        return [future.result() for future in futures]

    def states(self) -> list[str]:
        """The names of all states, oldest first."""
        return self._ask("GET", "/states", _States).states

    def state(self, state: StateLike = model.INITIAL) -> State:
        """One state: its variables (type and repr), time, cell, parent, ways back."""
        return self._ask("GET", _path(state), State)

    def variables(self, state: StateLike = model.INITIAL) -> dict[str, Variable]:
        """The variables of a state: type and repr of each."""
        return self._ask("GET", _path(state, "variables"), _Variables).variables

    def value(self, state: StateLike, variable: str) -> Any:
        """The value of a variable that has a JSON form. Raises NotJSON, with its text, for any other."""
        shown = self.show(state, variable)
        if not shown.has_json:
            text = printable(str(shown.data.get("text/plain", "")), 200)
            raise NotJSON(
                f"{variable!r} of state {name_of(state)!r} is a {shown.type} and has no JSON form: {text}",
                "show() gives what there is to be seen of it.",
            )
        return shown.json

    def show(self, state: StateLike, variable: str) -> Value:
        """One variable in full: type, mime bundle, and JSON where it has one."""
        return self._ask("GET", _path(state, "variables", variable), Value)

    def frames(self, state: StateLike) -> list[Frame]:
        """The frames that a state inside a call is in, or that the error has passed which has left it, the outermost
        first; none for any other state."""
        return self._ask("GET", _path(state, "frames"), _Frames).frames

    def evaluate(self, state: StateLike, code: str, frame: int | None = None) -> Evaluated:
        """The value of an expression, as type and repr, in a frame of a state (an index of frames(); the innermost by
        default), or in the namespace of a state that has none. The state stays what it was."""
        return self._ask("POST", _path(state, "evaluate"), Evaluated, _encode({"code": code, "frame": frame}))

    def complete(self, state: StateLike, code: str, cursor_pos: int | None = None) -> Completion:
        """What may stand at `cursor_pos` (in characters; by default the end) of code to be run in `state`."""
        asked = {"code": code} if cursor_pos is None else {"code": code, "cursor_pos": cursor_pos}
        return self._ask("POST", _path(state, "complete"), Completion, _encode(asked))

    def inspect(
        self, state: StateLike, code: str, cursor_pos: int | None = None, *, detail_level: int = 0
    ) -> Inspection:
        """What is known of the name at `cursor_pos`; detail level 1 adds its source text."""
        asked: dict[str, Any] = {"code": code, "detail_level": detail_level}
        if cursor_pos is not None:
            asked["cursor_pos"] = cursor_pos
        return self._ask("POST", _path(state, "inspect"), Inspection, _encode(asked))

    def delete(self, state: StateLike) -> None:
        """Delete a state. What was made from it stays."""
        self._ask("DELETE", _path(state), Any)

    def rename(self, state: StateLike, name: str) -> None:
        """Give a state another name. Raises NameTaken where another state has it."""
        self._ask("PATCH", _path(state), Any, _encode({"name": name}))

    def pin(self, state: StateLike) -> None:
        """Never end the processes of a state to make room for others."""
        self._ask("POST", _path(state, "pin"), Any)

    def unpin(self, state: StateLike) -> None:
        """Let a state that was pinned rest in the store alone again."""
        self._ask("DELETE", _path(state, "pin"), Any)

    def reset(self) -> None:
        """Delete every state; a fresh "initial" is there. What still runs makes none."""
        self._ask("POST", "/reset", Any)

    def interrupt(self, exec_id: str | int) -> bool:
        """Interrupt an execution; after a grace its process is killed. False where none has this id."""
        return self._ask("POST", "/interrupt", _Interrupted, _encode({"exec_id": exec_id})).interrupted

    def tree(self, *, memory: bool = True) -> Tree:
        """All states with their lineage, cells, times, memory and ways back, and what runs now.

        Memory is read for each process: without it a tree of thousands of states is had much sooner.
        """
        return self._ask("GET", "/tree" if memory else "/tree?memory=false", Tree)

    def events(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """What happens to the tree, as it happens: pairs of event and data; the first is `tree`, the whole.

        A stream that breaks off is taken up again where it ended. Close the iterator to stop listening.
        Ends when the kernel does; raises ServerUnreachable when nobody answers any more.
        """
        last_id: str | None = None
        is_new = True
        while True:
            try:
                with self._events(last_id) as events:
                    for event in events:
                        last_id, is_new = event.id or last_id, False
                        yield event.event, event.data
                return
            except errors.ServerUnreachable:
                # Nothing came since the last attempt: another one would be no better.
                if is_new:
                    raise
                is_new = True

    def health(self) -> dict[str, Any]:
        """The kernel's own account: status, version, python, pid, uptime_s, states, processes, …"""
        return self._ask("GET", "/health", dict[str, Any])

    def shutdown(self) -> None:
        """End the kernel and all its states, also for every other client."""
        self._ask("POST", "/shutdown", Any)

    def close(self) -> None:
        """Close the connections. The kernel goes on."""
        self._pool.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.url}>"

    def _ask(self, method: str, path: str, kind: Callable[..., T] | type[T], body: bytes | None = None) -> T:
        return self._answered(self._pool.request(method, path, body), path, kind)

    def _answered(self, answer: Answer, path: str, kind: Callable[..., T] | type[T]) -> T:
        if answer.status != 200:
            raise self._error(answer)
        return self._decoded(answer.body, path, kind)

    def _decoded(self, content: bytes, path: str, kind: Callable[..., T] | type[T]) -> T:
        try:
            decoded: T = msgspec.json.decode(content, type=kind)
        except msgspec.MsgspecError as cause:
            raise StillframeError(f"{self.url} does not answer {path} as a kernel does: {cause}.") from cause
        return decoded

    def _stream(self, path: str, exec_id: str | int, body: bytes, on_output: OnOutput) -> Execution:
        collected = Collector()
        try:
            with self._pool.stream("POST", path, body) as events:
                for event in events:
                    if event.event == "result":
                        reply = self._decoded(msgspec.json.encode(event.data), path, model.Reply)
                        return Execution.of(exec_id, reply, collected.outputs())
                    on_output(event.event, event.data)
                    collected.add(event.event, event.data)
        except Refused as refused:
            if refused.answer.status != 200:
                raise self._error(refused.answer) from None
            # A kernel that knows no streams answers at the end.
            execution = Execution.of(exec_id, self._decoded(refused.answer.body, path, model.Reply))
            for output in execution.outputs:
                on_output("output", output)
            return execution
        raise errors.ServerUnreachable(
            f"{self.url} ended the outputs of execution {exec_id} without a result.",
            "Look at states() before you send it again.",
        )

    def _events(self, last_id: str | None) -> Any:
        return self._pool.stream("GET", "/events", last_event_id=last_id, patient=True)

    def _refusal(self, error: model.ExecutionError) -> StillframeError:
        if error.ename == StateNotFound.__name__:
            return StateNotFound.among(error.evalue, self.states())
        return errors.BY_CODE.get(error.ename, StillframeError)(error.evalue)

    def _error(self, answer: Answer) -> StillframeError:
        try:
            told = msgspec.json.decode(answer.body, type=_Refusal).error
        except msgspec.MsgspecError:
            text = printable(answer.body[:200].decode(errors="replace"))
            return StillframeError(
                f"{self.url} answered with status {answer.status}, and not as a kernel does: {text}.",
                "Check the address.",
            )
        return errors.BY_CODE.get(told.code, StillframeError)(told.message, told.hint)


class _States(msgspec.Struct):
    states: list[str]


class _Variables(msgspec.Struct):
    variables: dict[str, Variable]


class _Interrupted(msgspec.Struct):
    interrupted: bool


class _Told(msgspec.Struct):
    code: str
    message: str
    hint: str = ""


class _Refusal(msgspec.Struct):
    error: _Told


class _Frames(msgspec.Struct):
    frames: list[Frame]


def _request(asked: dict[str, Any], name: str | None, exec_id: str | int) -> bytes:
    """The body of what makes a new state."""
    named = {} if name is None else {"new_state_name": name}
    return _encode({**asked, "exec_id": exec_id, **named})


def _on_error(on_error: Literal["discard", "keep"], error_name: str | None) -> dict[str, Any]:
    kept = {} if on_error == "discard" else {"on_error": on_error}
    return kept if error_name is None else {**kept, "error_state_name": error_name}


def _path(state: StateLike, *rest: str) -> str:
    return "/states/" + "/".join(quote(part, safe="") for part in (name_of(state), *rest))


def _encode(body: Mapping[str, Any]) -> bytes:
    try:
        return msgspec.json.encode(body)
    except (TypeError, ValueError, OverflowError) as cause:
        raise BadRequest(f"the request cannot be written as JSON: {cause}.") from cause


def _arguments(item: Item) -> dict[str, Any]:
    """The arguments of execute that an item stands for, its exec_id made where none is given."""
    if isinstance(item, Mapping):
        call = dict(item)
    elif isinstance(item, tuple | list) and 1 <= len(item) <= 3:
        call = dict(zip(("code", "state", "name"), item, strict=False))
    else:
        hint = "Give (code, state), (code, state, name), or a dict."
        raise BadRequest(f"{item!r} is no item of execute_many.", hint)
    if call.get("exec_id") is None:
        call["exec_id"] = uuid.uuid4().hex
    return call


__all__ = ["Client", "Event", "Item", "OnOutput", "connect"]
