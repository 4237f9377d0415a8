"""A capture whose blobs a prune has taken before they were named is made again, also where somebody waited for it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from support.server import SOURCE

PROGRAM = """
import asyncio, sys
from pathlib import Path
from stillframe.engine.protocol import Execute
from stillframe.engine.running import Wanted
from stillframe.engine.supervisor import Supervisor
from stillframe.errors import MissingBlob

async def stored(supervisor):
    with supervisor.journal.listening() as events:
        async for event in events:
            if event.name == "state_stored":
                return event.data["name"]

async def main():
    supervisor = Supervisor(store=Path(sys.argv[1]), keep="evict")
    await supervisor.start()
    try:
        await supervisor.execute(1, "initial", Wanted(Execute("x = 1"), "one"))
        state = supervisor.state("one")
        await supervisor.processes.settled(state)
        catalog, missed = supervisor.keeping.catalog, []
        real = catalog.captured

        async def captured(*arguments):
            if not missed:
                missed.append("a blob")
                raise MissingBlob("a prune was here")
            return await real(*arguments)

        catalog.captured = captured
        waiting = asyncio.create_task(stored(supervisor))
        print(await supervisor.keeping.captures.capture(state), missed)
        print(await asyncio.wait_for(waiting, 60))
    finally:
        supervisor.stop()

asyncio.run(main())
"""


def test_a_capture_that_lost_a_blob_to_a_prune_is_made_again(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path / "store")],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={"PYTHONPATH": str(SOURCE)},
        cwd=tmp_path,
    )
    assert (done.stdout, done.stderr, done.returncode) == ("False ['a blob']\none\n", "", 0)
