"""`still serve` and `still stop`: the beginning and the end of this user's server."""

from __future__ import annotations

import contextlib
import os
import secrets
import select
import sys
from pathlib import Path
from typing import get_args

import click

import stillframe
from stillframe.cli import running
from stillframe.cli.terminal import print_json, say
from stillframe.errors import StillframeError
from stillframe.model import Keep, Limits

END_S = 10.0
"""How long `still stop` waits for the server's process to end."""
STORING_S = 3600.0
"""The same where the server has a store."""
KEEP = "Which states are captured: each new one, those that are evicted, or none."


@click.command()
@click.option("--bind", default="127.0.0.1:0", show_default=True, metavar="HOST:PORT", help="0: a free port.")
@click.option("--token", envvar="STILLFRAME_TOKEN", metavar="T", help="Made and printed if none is given.")
@click.option("--allow-host", multiple=True, metavar="NAME", help="Answer to this Host too; may be repeated.")
@click.option("--display-max-rows", type=click.IntRange(1), metavar="N", help="Rows of a data frame shown.")
@click.option("--display-max-columns", type=click.IntRange(1), metavar="N", help="Columns shown.")
@click.option("--display-max-colwidth", type=click.IntRange(1), metavar="N", help="Characters in each.")
@click.option("--store", type=click.Path(file_okay=False, path_type=Path), metavar="DIR", help="Keep states there.")
@click.option("--keep", type=click.Choice(get_args(Keep)), default="always", show_default=True, help=KEEP)
@click.option("--memory-budget", type=click.IntRange(1), metavar="MB", help="Of states at rest; others are evicted.")
@click.option("--process-budget", type=click.IntRange(1), metavar="N", help="Processes that hold states at rest.")
@click.option("--processes", type=click.IntRange(1), metavar="N", help="State processes at once.")
@click.option("--ready-processes", type=click.IntRange(0), metavar="N", help="Tips and spares that wait.")
@click.option("--standby-processes", type=click.IntRange(0), metavar="N", help="Forks that wait unused.")
@click.option("--reserved-memory-mb", type=click.IntRange(1), metavar="MB", help="Must stay available.")
@click.option("--interrupt-grace", type=click.FloatRange(0), metavar="S", help="From interrupt to kill.")
@click.option("--look", type=click.FloatRange(0, min_open=True), metavar="S", help="Looking at a state.")
@click.option("--replay", type=click.FloatRange(0), metavar="S", help="Longest lineage that is replayed.")
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON: url, token, pid.")
@click.option("--lock-is-held", is_flag=True, hidden=True)
def serve(
    bind: str,
    token: str | None,
    allow_host: tuple[str, ...],
    as_json: bool,
    lock_is_held: bool,
    store: Path | None,
    keep: Keep,
    memory_budget: int | None,
    reserved_memory_mb: int | None,
    interrupt_grace: float | None,
    look: float | None,
    replay: float | None,
    **plain: int | None,
) -> None:
    """Serve a kernel over HTTP until Ctrl-C or `still stop`.

    The other verbs find it by a file that only you can read, in $XDG_RUNTIME_DIR/stillframe, or else in
    ~/.local/state/stillframe. Where one of yours runs already, the new one is reached by --url alone.

    With --store its states are there again when it is started anew, however it ended. They are captured in the
    background; beyond a budget, those not used for longest rest in the store alone until they are used.

    \b
      still serve --bind 127.0.0.1:8765
      still serve --store ~/states --process-budget 50
      curl -H "Authorization: Bearer $TOKEN" http://127.0.0.1:8765/states
    """
    from stillframe import serve as server

    given = {
        **plain,
        "memory_budget_bytes": None if memory_budget is None else memory_budget << 20,
        "reserved_memory_bytes": None if reserved_memory_mb is None else reserved_memory_mb << 20,
        "interrupt_grace_s": interrupt_grace,
        "look_s": look,
        "replay_s": replay,
    }
    limits = Limits(**{name: value for name, value in given.items() if value is not None})  # type: ignore[arg-type]
    # The code that runs here must not find the token in its environment.
    os.environ.pop("STILLFRAME_TOKEN", None)
    used = token or secrets.token_urlsafe(32)
    with contextlib.ExitStack() as starting:
        if not lock_is_held:
            starting.enter_context(running.lock())
        other = running.running()
        if other is not None:
            say(f"a server of yours runs at {other[1].url} already; this one is reached by --url alone.")

        def announce(information: server.ConnectionInfo) -> None:
            url, pid = information.url, information.pid
            starting.close()
            if as_json:
                print_json({"url": url, "token": used, "pid": pid})
            else:
                shown = url if token else f"{url}/?token={used}"
                print(f"stillframe {stillframe.__version__} serves at {shown}\nCtrl-C ends it.", flush=True)

        server.run(
            bind=bind,
            token=used,
            limits=limits,
            store=store,
            keep=keep,
            allow_hosts=allow_host,
            connection_file=running.connection_file() if other is None else None,
            announce=announce,
        )


@click.command()
@running.server_options
def stop(url: str | None, token: str | None, as_json: bool) -> None:
    """End the server and all its states; those of a store that are not stored yet are stored first.

    \b
      still stop
    """
    client = running.existing(url, token)
    if client is None:
        print_json({"stopped": False}) if as_json else say("no server of yours runs.")
        return
    with client:
        health = client.health()
        pid = health.get("pid")
        pidfd = _pidfd(pid) if url is None else None
        client.shutdown()
    if pidfd is not None and not _wait(pidfd, STORING_S if health.get("store") else END_S):
        raise StillframeError(f"the server (process {pid}) has not ended in time.", f"kill {pid}")
    print_json({"stopped": True, "pid": pid}) if as_json else print(f"stopped the server at {client.url}")
    sys.stdout.flush()


def _pidfd(pid: object) -> int | None:
    try:
        return os.pidfd_open(pid) if isinstance(pid, int) else None
    except OSError:
        return None


def _wait(pidfd: int, patience_s: float) -> bool:
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    try:
        return bool(poll.poll(patience_s * 1000))
    finally:
        os.close(pidfd)
