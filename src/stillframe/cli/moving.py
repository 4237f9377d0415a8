"""`still export`, `import`, `push` and `pull`: states that move between files, servers and stores.

With --store DIR a verb works on a store itself, where no server has it open; else on a server, as every verb.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TransferSpeedColumn,
)

from stillframe import moves
from stillframe import show as looks
from stillframe.cli.running import client_for, server_options
from stillframe.cli.terminal import print_json, say
from stillframe.model import Moved
from stillframe.moves import Remote

if TYPE_CHECKING:
    from stillframe.store.manifests import Manifest
    from stillframe.store.transfer import End

store_option = click.option(
    "--store",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="A store itself, instead of a server; no server may have it open, but to be read.",
)
lineage_option = click.option("--lineage", is_flag=True, help="The states that it came from too, with their names.")
name_option = click.option("--as", "name", metavar="NAME", help="What it is called there; as here by default.")
token_option = click.option(
    "--to-token", "there_token", envvar="STILLFRAME_THERE_TOKEN", metavar="T",
    help="The token of URL, unless it is in it [env: STILLFRAME_THERE_TOKEN].",
)  # fmt: skip
trust_option = click.option("--trust", is_flag=True, help="Take it whoever has made it: it may run code here.")


class Bar:
    """A progress bar on standard error, where a person looks. Threads may tell it at once."""

    def __init__(self, what: str, *, is_counting: bool = False) -> None:
        amounts = (MofNCompleteColumn(),) if is_counting else (DownloadColumn(), TransferSpeedColumn())
        columns = (TextColumn("{task.description}"), BarColumn(), *amounts)
        console = Console(stderr=True)
        self._progress = Progress(*columns, console=console, transient=True, disable=not sys.stderr.isatty())
        self._task = self._progress.add_task(looks.printable(what), total=None)

    def begin(self, manifest: Manifest, missing_bytes: int) -> None:
        """So much will be sent."""
        self._progress.reset(self._task, total=missing_bytes)

    def sent(self, size_bytes: int) -> None:
        """So much more was."""
        self._progress.advance(self._task, size_bytes)

    def done(self, count: int, of: int) -> None:
        """So many of so many things were looked at."""
        self._progress.update(self._task, completed=count, total=of)

    @contextmanager
    def shown(self, total_bytes: int | None = None) -> Iterator[Bar]:
        """The bar, as long as the block lasts."""
        self._progress.update(self._task, total=total_bytes)
        with self._progress:
            yield self


@contextmanager
def _end(url: str | None, token: str | None, store: Path | None, *, writer: bool) -> Iterator[End]:
    """This side of a transfer: the server that a verb talks to, or a store itself."""
    if store is not None:
        with moves.at_rest(store, writer=writer) as end:
            yield end
    else:
        with client_for(url, token) as client:
            yield Remote(client)


@click.command("export")
@click.argument("state")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@lineage_option
@store_option
@server_options
def export(
    state: str, file: Path, lineage: bool, store: Path | None, url: str | None, token: str | None, as_json: bool
) -> None:
    """Write a state to FILE, to be taken elsewhere by `still import`.

    The file has the state's snapshot and the cells of its lineage, signed by the store that it comes from. An
    older FILE stays until the new one is complete.

    \b
      still export model model.export
      still export model model.export --lineage
    """
    with Bar(f"export {state}").shown() as bar:
        if store is not None:
            size_bytes = _export_at_rest(store, state, file, lineage, bar)
        else:
            with client_for(url, token) as client:
                size_bytes = client.export(state, file, lineage=lineage, progress=bar.sent)
    if as_json:
        print_json({"file": str(file), "size_bytes": size_bytes})
    else:
        print(f"exported {looks.printable(state)} to {file}, {looks.size(size_bytes)}")


def _export_at_rest(store: Path, state: str, file: Path, lineage: bool, bar: Bar) -> int:
    from stillframe.store import Store
    from stillframe.store.exports import pieces, write_file
    from stillframe.store.manifests import manifest_of

    with Store.open(store, create=False, writer=False) as opened:
        return write_file(file, pieces(opened, manifest_of(opened, state, lineage=lineage), bar.sent))


@click.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--as", "name", metavar="NAME", help="What it is called here; as it was called by default.")
@trust_option
@store_option
@server_options
def import_(
    file: Path, name: str | None, trust: bool, store: Path | None, url: str | None, token: str | None, as_json: bool
) -> None:
    """Take the state that is in FILE, which `still export` has written.

    To use the state is to run what is in it. So it is refused unless the key that signed it is trusted here, by
    `still trust KEY`, or --trust is given. `still show FILE` says what is in it without running anything.

    \b
      still import model.export
      still import model.export --as model/2 --trust
    """
    with Bar(f"import {file.name}").shown(file.stat().st_size) as bar:
        if store is not None:
            moved = _import_at_rest(store, file, name, trust, bar)
        else:
            with client_for(url, token) as client:
                moved = client.import_(file, name, trust=trust, progress=bar.sent)
    _print_moved(moved, f"imported {looks.printable(moved.name)}", moved.name, as_json)


def _import_at_rest(store: Path, file: Path, name: str | None, trust: bool, bar: Bar) -> Moved:
    from stillframe.store import Store
    from stillframe.store.exports import import_state

    with Store.open(store) as opened, file.open("rb") as content:

        def read(size_bytes: int) -> bytes:
            found = content.read(size_bytes)
            bar.sent(len(found))
            return found

        got = import_state(opened, read, name=name, trust=trust)
    return Moved(got.name, got.id, 0, got.taken_names, got.missing_packages)


@click.command()
@click.argument("state")
@click.argument("to", metavar="URL|DIR")
@name_option
@lineage_option
@token_option
@store_option
@server_options
def push(
    state: str,
    to: str,
    name: str | None,
    lineage: bool,
    there_token: str | None,
    store: Path | None,
    url: str | None,
    token: str | None,
    as_json: bool,
) -> None:
    """Send a state to another server, or to a store in a directory. Only what is missing there is sent.

    The receiving side must trust this side's key before: `still keys` shows it here, `still trust KEY` is said
    there. A push that was interrupted goes on where it was when it is said again.

    \b
      still push model http://big-machine:8765 --as model
      still push model /media/disk/states
    """
    with (
        _end(url, token, store, writer=False) as here,
        moves.end_of(to, there_token, writer=True) as there,
        Bar(f"push {state}").shown() as bar,
    ):
        moved = moves.move(here, there, state, name=name, lineage=lineage, watcher=bar)
    _print_moved(moved, f"pushed {looks.printable(state)} to {_shown(to)}", state, as_json, is_sent=True)


@click.command()
@click.argument("state")
@click.argument("source", metavar="URL|DIR")
@click.option("--as", "name", metavar="NAME", help="What it is called here; as there by default.")
@lineage_option
@trust_option
@token_option
@store_option
@server_options
def pull(
    state: str,
    source: str,
    name: str | None,
    lineage: bool,
    trust: bool,
    there_token: str | None,
    store: Path | None,
    url: str | None,
    token: str | None,
    as_json: bool,
) -> None:
    """Fetch a state from another server, or from a store in a directory. Only what is missing here is fetched.

    As with `still import`, the other side's key must be trusted here, or --trust be given.

    \b
      still pull model http://big-machine:8765
      still pull model /media/disk/states --as model/disk
    """
    with (
        moves.end_of(source, there_token, writer=False) as there,
        _end(url, token, store, writer=True) as here,
        Bar(f"pull {state}").shown() as bar,
    ):
        moved = moves.move(there, here, state, name=name, lineage=lineage, trust=trust, watcher=bar)
    _print_moved(moved, f"pulled {looks.printable(state)} from {_shown(source)}", state, as_json, is_sent=True)


def _shown(place: str) -> str:
    """A place without its token."""
    return place.partition("?")[0] if moves.is_url(place) else place


def _print_moved(moved: Moved, what: str, asked: str, as_json: bool, *, is_sent: bool = False) -> None:
    """Say what has come of it; `asked` is what the state was called before, `is_sent` whether blobs were sent."""
    for name in moved.taken_names:
        say(f"an ancestor was called {looks.printable(name)!r}, which another state is called: it has no name now.")
    if moved.missing_packages:
        missing = ", ".join(f"{name} {version}" for name, version in sorted(moved.missing_packages.items()))
        say(f"packages that it needs are not there: {looks.printable(missing)}")
    if as_json:
        print_json(moved)
        return
    called = "" if moved.name == asked else f", as {looks.printable(moved.name)}"
    sent = f", {looks.size(moved.sent_bytes)} sent" if is_sent else ""
    print(f"{what}{called}{sent}")
