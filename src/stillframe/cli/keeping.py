"""`still prune`, `keys`, `trust` and `distrust`: what a store keeps, and whose states it takes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from rich.text import Text

from stillframe import show as looks
from stillframe.cli.moving import Bar, store_option
from stillframe.cli.running import client_for, server_options
from stillframe.cli.terminal import Rows, console, print_json
from stillframe.errors import BadRequest, StateNotFound
from stillframe.model import Archived, Keys, Pruned


@click.command()
@click.option("--keep-days", type=click.FloatRange(0), metavar="N", help="Delete what was not used for N days.")
@click.option("--dry-run", is_flag=True, help="Only say what would be removed.")
@store_option
@server_options
def prune(
    keep_days: float | None, dry_run: bool, store: Path | None, url: str | None, token: str | None, as_json: bool
) -> None:
    """Remove from the store what no state needs: what was deleted, and half transfers.

    With --keep-days, states that were not used for so long are deleted first; not pinned ones, nor those that
    others came from. What runs meanwhile is safe. Blobs younger than an hour stay.

    \b
      still prune --dry-run
      still prune --keep-days 30
      still prune --store ~/states
    """
    if store is not None:
        pruned = _prune_at_rest(store, keep_days, dry_run)
    else:
        with client_for(url, token) as client:
            pruned = client.prune(keep_days, dry_run=dry_run)
    if as_json:
        print_json(pruned)
        return
    verb = "would remove" if dry_run else "removed"
    what = f"{looks.counted(pruned.states, 'state')} and {looks.counted(pruned.blobs, 'blob')}"
    print(f"{verb} {what}, {looks.size(pruned.size_bytes)}")
    if pruned.names:
        print("not used for so long: " + ", ".join(map(looks.printable, pruned.names)))
    if pruned.young_blobs:
        print(f"{pruned.young_blobs} more blobs that nobody needs are younger than an hour")


def _prune_at_rest(store: Path, keep_days: float | None, dry_run: bool) -> Pruned:
    from stillframe.store import Store
    from stillframe.store.prune import prune

    with Store.open(store, create=False, writer=not dry_run) as opened:
        names = opened.catalog.names()
        found = prune(opened, keep_days, dry_run, unnamed=True)
    gone = sorted(name for name, state_id in names.items() if state_id in found.states)
    return Pruned(gone, len(found.states), found.blobs, found.size_bytes, found.young_blobs)


@click.command()
@click.option("--days", type=click.FloatRange(0), default=30, show_default=True, metavar="N", help="Not used.")
@click.option("--dry-run", is_flag=True, help="Only say what would be compressed.")
@store_option
@server_options
def archive(
    days: float, dry_run: bool, store: Path | None, url: str | None, token: str | None, as_json: bool
) -> None:
    """Compress in the store what was not used for long.

    What only states need that were not used for so many days, and that are not pinned. Each stays what it is, and
    is expanded when it is used next: 2 to 5 s/GB, once. What runs meanwhile is safe.

    \b
      still archive --dry-run
      still archive --days 7
      still archive --store ~/states
    """
    with Bar("archive").shown() as bar:
        if store is not None:
            found = _archive_at_rest(store, days, dry_run, bar)
        else:
            with client_for(url, token) as client:
                found = client.archive(days, dry_run=dry_run)
    if as_json:
        print_json(found)
        return
    if dry_run:
        print(f"would compress {found.blobs} blobs, {looks.size(found.size_bytes)}")
    else:
        amounts = f"{looks.size(found.size_bytes)} take {looks.size(found.archived_bytes)} now"
        print(f"compressed {found.blobs} blobs" + (f": {amounts}" if found.blobs else ""))
    if found.unfit_blobs:
        print(f"{found.unfit_blobs} more would not get smaller, and stay as they are")
    if found.returned_blobs:
        verb = "would leave" if dry_run else "left"
        print(f"{found.returned_blobs} are in use again, and {verb} the archive")
    if found.damaged_blobs:
        print(f"{found.damaged_blobs} are damaged, and were left: run `still doctor` on the store")


def _archive_at_rest(store: Path, days: float, dry_run: bool, bar: Bar) -> Archived:
    from stillframe.store import Store
    from stillframe.store.archive import archive

    with Store.open(store, create=False, writer=not dry_run) as opened:
        return archive(opened, days, dry_run=dry_run, progress=bar.done)


@contextmanager
def deleting(store: Path) -> Iterator[Callable[[str], None]]:
    """What deletes a state by its name in a store that no server has open."""
    from stillframe.store import Store

    with Store.open(store, create=False) as opened:

        def delete(name: str) -> None:
            names = opened.catalog.names()
            if name not in names:
                raise StateNotFound.among(name, names)
            opened.catalog.remove_name(name)

        yield delete


@click.command()
@store_option
@server_options
def keys(store: Path | None, url: str | None, token: str | None, as_json: bool) -> None:
    """Show the store's own key, and those that it trusts.

    \b
      still keys
    """
    if store is not None:
        found = _keys_at_rest(store)
    else:
        with client_for(url, token) as client:
            found = client.keys()
    if as_json:
        print_json(found)
        return
    rows = Rows("key", "", "since")
    rows.add(found.key, Text("this store's own", style="dim"), "")
    for trusted in found.trusted:
        rows.add(trusted.key, looks.printable(trusted.comment), looks.age(trusted.added) if trusted.added else "")
    rows.print(console())


def _keys_at_rest(store: Path) -> Keys:
    from stillframe.store import Store

    with Store.open(store, create=False, writer=False) as opened:
        return Keys(opened.key().public, opened.catalog.trusted_keys())


@click.command()
@click.argument("key")
@click.option("--comment", default="", metavar="TEXT", help="Whose it is, for `still keys`.")
@store_option
@server_options
def trust(key: str, comment: str, store: Path | None, url: str | None, token: str | None, as_json: bool) -> None:
    """Take states that were signed with KEY: to use one is to run what its owner has made.

    `still keys` shows the key of a server or a store there.

    \b
      still trust 3f9ac2…  --comment big-machine
    """
    if store is not None:
        from stillframe.store import Store

        with Store.open(store) as opened:
            opened.catalog.trust_key(key, comment)
    else:
        with client_for(url, token) as client:
            client.trust(key, comment)
    print_json({"trusted": key}) if as_json else print(f"states signed with {looks.printable(key)} are taken")


@click.command()
@click.argument("key")
@store_option
@server_options
def distrust(key: str, store: Path | None, url: str | None, token: str | None, as_json: bool) -> None:
    """Take no more states that were signed with KEY. Those that are here stay.

    \b
      still distrust 3f9ac2…
    """
    if store is not None:
        from stillframe.store import Store

        with Store.open(store, create=False) as opened:
            was_trusted = opened.catalog.distrust_key(key)
    else:
        with client_for(url, token) as client:
            was_trusted = client.distrust(key)
    if not was_trusted:
        raise BadRequest(f"the key {looks.printable(key)} was not trusted.", "See `still keys`.")
    print_json({"distrusted": key}) if as_json else print(f"states signed with {looks.printable(key)} are refused")
