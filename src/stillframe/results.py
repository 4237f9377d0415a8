"""What the methods of a kernel return: an Execution, a State, a Tree.

Invariants:
  * A result is a value: it asks no server, and does not change when the kernel does.
  * An exception of the user's code is in `Execution.error`; nothing here raises it unless asked to.
  * Text and HTML forms are escaped, and short enough to be taken in at a glance.
"""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

import msgspec

from stillframe import model, show
from stillframe.errors import BadRequest, StateNotFound
from stillframe.model import ExecutionError, Output


class ExecutionFailed(Exception):
    """Raised by `Execution.raise_for_error`: the user's code raised, was interrupted, or its process died.

    Not a StillframeError: what went wrong is in the code, and stillframe did what it had to.
    """

    def __init__(self, execution: Execution) -> None:
        error = execution.error
        assert error is not None
        told = show.without_ansi("\n".join(error.traceback))
        super().__init__(told or show.error_line(error))
        self.execution = execution


class Execution(msgspec.Struct, frozen=True):
    """A cell that was run: the state it made, or its error, and its outputs in their order.

    `state` is the name that the new state was given, None where `error` is not. A name can later be given
    to another state; `state_id` stays.
    """

    exec_id: str | int
    state: str | None
    state_id: str | None
    outputs: list[Output]
    error: ExecutionError | None
    duration_s: float
    accessed_symbols: list[str] = []
    modified_symbols: list[str] = []
    deleted_symbols: list[str] = []
    error_state: str | None = None
    """The state that the cell has left behind where it failed, if that was to be kept."""

    @classmethod
    def of(cls, exec_id: str | int, reply: model.Reply, outputs: list[Output] | None = None) -> Execution:
        """The execution that a reply tells of; `outputs` where they came before the reply."""
        return cls(
            exec_id,
            reply.state_name,
            reply.state_id,
            reply.output if outputs is None else outputs,
            reply.error,
            reply.duration_s,
            reply.accessed_symbols,
            reply.modified_symbols,
            reply.deleted_symbols,
            reply.error_state,
        )

    @property
    def ok(self) -> bool:
        """Whether it made a state."""
        return self.error is None

    @property
    def text(self) -> str:
        """What it wrote on standard output, and its results and displays as plain text, in their order."""
        return show.outputs_text(self.outputs)

    def raise_for_error(self) -> Execution:
        """Raise ExecutionFailed, with the traceback as its message, where there is an error; else itself."""
        if self.error is not None:
            raise ExecutionFailed(self)
        return self

    def __str__(self) -> str:
        if self.error is not None:
            return f"{show.error_line(self.error, 100)} ({self._facts()})"
        return f"state {self.state!r} ({self._facts()})"

    def __repr__(self) -> str:
        return f"<Execution: {self}>"

    def _repr_html_(self) -> str:
        title = f"state {self.state}" if self.error is None else f"{self.error.ename}, no state"
        return show.heading_html(title, self._facts()) + show.outputs_html(self.outputs, self.error)

    def _facts(self) -> str:
        return f"{show.duration(self.duration_s)}, {_count(len(self.outputs), 'output')}"


class State(model.Description, frozen=True):
    """One state as it was asked for: its name, its time, the cell that made it, its variables."""

    def __str__(self) -> str:
        return f"state {self.name!r} ({self._facts()})"

    def __repr__(self) -> str:
        return f"<State {self.name!r}: {self._facts()}>"

    def _repr_html_(self) -> str:
        cell = f"<code>{escape(show.first_line(self.code))}</code>" if self.code else ""
        heading = show.heading_html(f"state {self.name}", self._facts())
        return heading + cell + show.variables_html(self.variables)

    def _facts(self) -> str:
        ways = ", ".join(self.ways_back)
        only = f"; only in the tip: {', '.join(self.unbranchable)}" if self.unbranchable else ""
        return f"{_count(len(self.variables), 'variable')}, {show.duration(self.duration_s)}, {ways}{only}"


class Tree(model.Tree, frozen=True):
    """All states with their lineage, and what runs now. `print(tree)` draws it."""

    def named(self, name: str) -> model.Node:
        """The state that has this name. Raises StateNotFound."""
        for node in self.states:
            if name in node.names:
                return node
        raise StateNotFound.among(name, [name for node in self.states for name in node.names])

    def __str__(self) -> str:
        return show.tree_text(self.states, self.executions)

    def __repr__(self) -> str:
        return f"<Tree: {_count(len(self.states), 'state')}, {_count(len(self.executions), 'execution')}>"

    def _repr_html_(self) -> str:
        return show.tree_html(self.states, self.executions)


StateLike = str | State | Execution
"""Wherever a state is taken: its name, or what tells it."""


def name_of(state: StateLike) -> str:
    """The name to ask for. Raises BadRequest for what cannot be one."""
    if isinstance(state, Execution):
        if state.state is None:
            raise BadRequest(f"execution {state.exec_id} made no state: {state}.", "Use the state it ran in.")
        return state.state
    name = state.name if isinstance(state, State) else state
    if not isinstance(name, str) or not name:
        raise BadRequest(f"{name!r} cannot be a state's name.", "A name is any text but the empty one.")
    try:
        name.encode()
    except UnicodeEncodeError as cause:
        raise BadRequest(f"{name!r} cannot be a state's name: it has half of a character.") from cause
    return name


class Collector:
    """The outputs of an execution, put together from the events of its stream.

    Neighbours of one stream are merged; clear_output and update_display_data are followed, as in a notebook.
    """

    def __init__(self) -> None:
        self._outputs: list[Output] = []
        self._texts: list[str] = []
        self._clears = False
        self._shown: dict[str, list[Output]] = {}

    def add(self, event: str, data: Mapping[str, Any]) -> None:
        """Follow one event; unknown ones change nothing."""
        if event == "output":
            self._add_output(dict(data))
        elif event == "clear_output":
            if data.get("wait"):
                self._clears = True
            else:
                self._clear()
        elif event == "update_display_data":
            for output in self._shown.get(str(data.get("display_id")), []):
                output.update(data=data.get("data", {}), metadata=data.get("metadata", {}))

    def outputs(self) -> list[Output]:
        """All outputs so far."""
        if self._texts:
            self._texts = ["".join(self._texts)]
            self._outputs[-1]["text"] = self._texts[0]
        return self._outputs

    def _add_output(self, output: Output) -> None:
        if self._clears:
            self._clear()
        is_stream = output.get("output_type") == "stream"
        # `_texts` holds the pieces of the last output while that is a stream, else nothing.
        if is_stream and self._texts and self._outputs[-1].get("name") == output.get("name"):
            self._texts.append(str(output["text"]))
            return
        self.outputs()
        self._texts = [str(output["text"])] if is_stream else []
        transient = output.pop("transient", None) or {}
        if "display_id" in transient:
            self._shown.setdefault(str(transient["display_id"]), []).append(output)
        self._outputs.append(output)

    def _clear(self) -> None:
        self._outputs, self._texts, self._clears, self._shown = [], [], False, {}


def _count(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"
