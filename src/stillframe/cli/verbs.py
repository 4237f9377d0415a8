"""The verbs that are one call of a kernel each: execute, tree, show, delete, rename, pin, unpin, reset, interrupt."""

from __future__ import annotations

import sys
import uuid
from contextlib import ExitStack
from importlib.util import decode_source
from pathlib import Path
from typing import Literal

import click
from rich.console import Console
from rich.text import Text

from stillframe import show as looks
from stillframe.cli import exported, keeping
from stillframe.cli.moving import store_option
from stillframe.cli.running import client_for, server_options
from stillframe.cli.terminal import (
    Live,
    Rows,
    console,
    interrupting,
    print_json,
    report,
    tree_rows,
)
from stillframe.client import Client
from stillframe.errors import BadRequest, StateNotFound, StillframeError
from stillframe.model import Frame, Variable
from stillframe.results import State


@click.command()
@click.argument("code", required=False)
@click.option(
    "--file", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Where the code is."
)
@click.option("--in", "state", default="initial", show_default=True, metavar="STATE", help="Where it runs.")
@click.option("--as", "name", metavar="NAME", help="The new state's name; a fresh one by default.")
@click.option("--on-error", type=click.Choice(["discard", "keep"]), default="discard", show_default=True,
              help="What becomes of what a failed cell has left behind: keep it as a state.")  # fmt: skip
@click.option("--error-as", "error_name", metavar="NAME", help="The name of that state; a fresh one by default.")
@server_options
def execute(
    code: str | None,
    file: Path | None,
    state: str,
    name: str | None,
    on_error: Literal["discard", "keep"],
    error_name: str | None,
    url: str | None,
    token: str | None,
    as_json: bool,
) -> int:
    """Run CODE in a state and make a new one.

    CODE is Python as in a notebook cell; `-` reads it from standard input. Outputs are shown as they happen.
    Ctrl-C interrupts the execution; a second one leaves it running. Exit code 1 when the code raised.

    \b
      still execute 'import math; math.pi'
      still execute --file load.py --as loaded
      echo 'data.head()' | still execute - --in loaded
      still execute --file train.py --on-error keep --error-as broken
    """
    if (code is None) == (file is None):
        raise click.UsageError("Give the code as an argument, `-` for standard input, or --file.")
    text = code if code != "-" and file is None else _source(file)
    exec_id = uuid.uuid4().hex
    with client_for(url, token) as client, interrupting(client, exec_id):
        live = (lambda event, data: None) if as_json else Live()
        execution = client.execute(
            text or "", state, name, exec_id=exec_id, on_output=live, on_error=on_error, error_name=error_name
        )
    return report(execution, as_json=as_json)


def _source(file: Path | None) -> str:
    """The text of a file, or of standard input, in the encoding in which Python would read it."""
    try:
        return decode_source(file.read_bytes() if file is not None else sys.stdin.buffer.read())
    except (SyntaxError, UnicodeDecodeError) as error:
        raise BadRequest(f"{file or 'standard input'} is no Python source: {error}.") from error


@click.command()
@server_options
def tree(url: str | None, token: str | None, as_json: bool) -> None:
    """Show all states, what each came from, and what runs now.

    Memory is what would be free if the state were gone. Ways back: `tip`, the process that made it is still
    there; `fork`, a copy of it rests; `restore`, it is in the store; `replay`, its cells can be run anew.

    \b
      still tree
      still tree --json | jq '.states[].names'
    """
    with client_for(url, token) as client:
        found = client.tree()
    if as_json:
        print_json(found)
        return
    out = console()
    tree_rows(found.states).print(out)
    if found.store is not None and found.store.trouble:
        out.print(Text(f"states are not stored at the moment: {looks.printable(found.store.trouble)}"))
    for run in found.executions:
        out.print(
            Text(
                f"running {looks.printable(str(run.exec_id))} in {looks.printable(run.state_name)}, "
                f"since {looks.age(run.started)}: {looks.first_line(run.code)}"
            )
        )


@click.command()
@click.argument("state", metavar="STATE|FILE")
@click.argument("variable", required=False)
@server_options
def show(state: str, variable: str | None, url: str | None, token: str | None, as_json: bool) -> None:
    """Show a state's variables, or one VARIABLE in full; or what is in a FILE of `still export`.

    Nothing of a FILE is run or loaded. A file is meant where there is one of this name that is an export.

    \b
      still show initial
      still show loaded data
      still show loaded data --json | jq .json
      still show model.export
    """
    if variable is None and exported.is_export(state):
        exported.show(state, as_json=as_json)
        return
    with client_for(url, token) as client:
        if variable is not None:
            value = client.show(state, variable)
            print_json(value) if as_json else print(looks.text_of(value.data))
            return
        description = _described(client, state)
        frames = client.frames(state) if description.where is not None and not as_json else []
    print_json(description) if as_json else _print_state(description, frames)


def _described(client: Client, state: str) -> State:
    try:
        return client.state(state)
    except StateNotFound as error:
        if Path(state).is_file():
            message = f"no state is called {state!r}, and the file of this name is no export."
            raise StateNotFound(message, "`still doctor FILE` tells what a snapshot is.") from error
        raise


def _print_state(state: State, frames: list[Frame]) -> None:
    out = console()
    out.print(
        Text(
            f"{looks.printable(state.name)}  {looks.age(state.timestamp)}, took "
            f"{looks.duration(state.duration_s)}; ways back: {', '.join(state.ways_back)}"
        )
    )
    remarks = (
        ("only in its tip", state.unbranchable),
        ("cannot be forked to run", state.hazards),
        ("cannot be stored", state.obstacles),
    )
    for word, things in remarks:
        if things:
            out.print(Text(f"{word}: {looks.printable(', '.join(things))}"))
    if state.code:
        out.print(Text("".join(f"  | {looks.printable(line)}\n" for line in state.code.splitlines()), end=""))
    _print_variables(state.variables, out)
    for number, frame in enumerate(frames):
        word = "rests" if state.kind == "call" and number == len(frames) - 1 else "is"
        out.print(Text(looks.printable(f"frame {number} {word} at {frame.file}:{frame.line} in {frame.function}")))
        _print_variables(frame.variables, out)


def _print_variables(variables: dict[str, Variable], out: Console) -> None:
    table = Rows("variable", "type", "value")
    for name, variable in variables.items():
        one_line = looks.printable(variable.repr, 1000)
        table.add(looks.printable(name), looks.printable(variable.type), one_line)
    if variables:
        table.print(out)


@click.command()
@click.argument("states", nargs=-1, required=True, metavar="STATE...")
@store_option
@server_options
def delete(states: tuple[str, ...], store: Path | None, url: str | None, token: str | None, as_json: bool) -> None:
    """Delete states. What was made from them stays.

    Stops at the first that is not there; those before it are deleted. `still prune` frees what they took in a store.

    \b
      still delete draft 'nb/3'
      still delete draft --store ~/states
    """
    deleted: list[str] = []
    with ExitStack() as closing:
        if store is not None:
            delete_one = closing.enter_context(keeping.deleting(store))
        else:
            delete_one = closing.enter_context(client_for(url, token)).delete
        try:
            for state in states:
                delete_one(state)
                deleted.append(state)
        finally:
            if as_json:
                print_json({"deleted": deleted})
            elif deleted:
                print("deleted " + ", ".join(map(looks.printable, deleted)))


@click.command()
@click.argument("state")
@click.argument("name")
@server_options
def rename(state: str, name: str, url: str | None, token: str | None, as_json: bool) -> None:
    """Give STATE another NAME.

    \b
      still rename x3 loaded
    """
    with client_for(url, token) as client:
        client.rename(state, name)
    if as_json:
        print_json({"name": name})
    else:
        print(f"{looks.printable(state)} is now {looks.printable(name)}")


@click.command()
@click.argument("states", nargs=-1, required=True, metavar="STATE...")
@server_options
def pin(states: tuple[str, ...], url: str | None, token: str | None, as_json: bool) -> None:
    """Never end the processes of these states to make room for others.

    \b
      still pin loaded
    """
    with client_for(url, token) as client:
        for state in states:
            client.pin(state)
    print_json({"pinned": states}) if as_json else print("pinned " + ", ".join(map(looks.printable, states)))


@click.command()
@click.argument("states", nargs=-1, required=True, metavar="STATE...")
@server_options
def unpin(states: tuple[str, ...], url: str | None, token: str | None, as_json: bool) -> None:
    """Let states that were pinned rest in the store alone again.

    \b
      still unpin loaded
    """
    with client_for(url, token) as client:
        for state in states:
            client.unpin(state)
    print_json({"unpinned": states}) if as_json else print("unpinned " + ", ".join(map(looks.printable, states)))


@click.command()
@click.option("--yes", is_flag=True, help="Do not ask.")
@server_options
def reset(yes: bool, url: str | None, token: str | None, as_json: bool) -> None:
    """Delete every state and begin anew with a fresh `initial`.

    Asks first on a terminal. What still runs makes no state.

    \b
      still reset --yes
    """
    with client_for(url, token) as client:
        if not yes and not as_json and sys.stdin.isatty():
            click.confirm(f"Delete all {len(client.states())} states?", abort=True, err=True)
        client.reset()
    print_json({"status": "ok"}) if as_json else print("reset: only a fresh `initial` is there")


@click.command()
@click.argument("exec_id", required=False)
@server_options
def interrupt(exec_id: str | None, url: str | None, token: str | None, as_json: bool) -> None:
    """Interrupt an execution, or all that run.

    Code that does not stop within the grace is ended with its process; no state is lost. `still tree` lists
    what runs, with the EXEC_ID of each.

    \b
      still interrupt
      still interrupt 4f1c
    """
    with client_for(url, token) as client:
        # An id may be a number on the wire; here it is always text.
        runs = {str(run.exec_id): run.exec_id for run in client.tree().executions}
        asked = list(runs) if exec_id is None else [exec_id]
        done = [name for name in asked if client.interrupt(runs.get(name, name))]
    if as_json:
        print_json({"interrupted": done})
    elif exec_id is not None and not done:
        raise StillframeError(f"no execution {exec_id!r} runs.", "`still tree` lists what runs.")
    else:
        print("interrupted " + (", ".join(map(looks.printable, done)) or "nothing: nothing runs"))
