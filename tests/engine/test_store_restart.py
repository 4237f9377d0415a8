"""States outlive the server: however it ends, what is called stored is there again, and is right."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

from support.processes import until
from support.server import stdout
from support.stored import Stored, stored


def test_after_a_clean_stop_the_tree_is_as_it_was_and_its_states_are_right(tmp_path: Path) -> None:
    with stored(tmp_path) as server:
        server.ok("import numpy as np\na = np.arange(200_000.0)\nv = a[10:]\nlog = []", name="base")
        server.ok("def f(): return len(log)\nlog.append(1)", "base", "left")
        server.ok("log += [1, 2]; a[0] = 7", "base", "right")
        server.ok("", "right", "also right")
        before = [
            (node["id"], node["names"], node["parent"], node["code"]) for node in server.tree()["states"]
        ]
        server.restart()  # nothing waits for the captures: the stop does
        after = server.tree()["states"]
        assert [(node["id"], node["names"], node["parent"], node["code"]) for node in after] == before
        assert all(node["stored"] and node["processes"] == 0 for node in after if node["parent"])
        assert (
            server.printed("print(f(), log, v.base is a, a[0], len(v))", "left") == "1 [1] True 0.0 199990\n"
        )
        assert server.printed("v[0] = 5; print(log, a[0], a[10])", "right") == "[1, 2] 7.0 5.0\n"
        assert server.printed("print(a[10], a[0], log)", "base") == "10.0 0.0 []\n"


def test_a_restored_state_is_like_any_other(tmp_path: Path) -> None:
    """It is looked at, gone on from and branched; what came of it is stored in its turn."""
    with stored(tmp_path) as server:
        server.ok("x = [1]", name="one")
        server.restart()
        assert server.value("one", "x") == [1]
        server.ok("x.append(2)", "one", "two")
        server.ok("x.append(3)", "one", "three")
        assert server.printed("print(x)", "one") == "[1]\n"
        server.wait_stored()
        server.restart(signal.SIGKILL)
        assert [server.value(name, "x") for name in ("one", "two", "three")] == [[1], [1, 2], [1, 3]]


def test_names_that_were_moved_removed_and_reset_are_so_after_a_restart(tmp_path: Path) -> None:
    with stored(tmp_path) as server:
        for number in range(4):
            server.ok(f"x = {number}", name=f"n{number}")
        server.delete("n0")
        assert server.call("PATCH", "/states/n1", {"name": "renamed"})[0] == 200
        server.ok("x = 22", name="n2")
        server.wait_stored()
        server.restart()
        assert set(server.states()) == {"initial", "renamed", "n2", "n3"}
        assert [server.value(name, "x") for name in ("renamed", "n2", "n3")] == [1, 22, 3]
        server.reset()
        server.ok("y = 1", name="anew")
        server.restart()
        assert server.states() == ["initial", "anew"]


def test_a_state_that_was_not_stored_is_replayed_after_a_kill(tmp_path: Path) -> None:
    with stored(tmp_path, "--keep", "never") as server:
        server.ok("x = 1", name="one")
        server.ok("x += 1; print(x)", "one", "two")
        until(lambda: "two" in _names_on_disk(server), 10, "the catalog's row")
        server.restart(signal.SIGKILL)
        assert [server.node(name)["ways_back"] for name in ("one", "two")] == [["replay"], ["replay"]]
        assert not server.node("two")["stored"]
        assert server.printed("print(x)", "two") == "2\n"


def _names_on_disk(server: Stored) -> set[str]:
    with sqlite3.connect(f"file:{server.store / 'catalog.sqlite'}?mode=ro", uri=True) as connection:
        return {key for (key,) in connection.execute("SELECT key FROM names")}


def test_a_second_server_on_a_store_is_refused_with_a_sentence(tmp_path: Path) -> None:
    with stored(tmp_path) as server:
        command = [
            sys.executable,
            "-P",
            "-m",
            "stillframe.serve",
            "--token",
            "t",
            "--store",
            str(server.store),
        ]
        second = subprocess.run(command, capture_output=True, text=True, timeout=30, stdin=subprocess.DEVNULL)
        assert second.returncode == 2
        assert second.stderr.startswith(f"stillframe.serve: the store {server.store} is in use by process")
        assert str(server.process.pid) in second.stderr and second.stderr.count("\n") == 1
        server.ok("x = 1", name="unharmed")


def test_a_store_of_a_newer_version_is_refused_and_not_touched(tmp_path: Path) -> None:
    with stored(tmp_path) as server:
        server.ok("x = 1", name="one")
    version = server.store / "version"
    version.write_text("stillframe store 99\n")
    before = {path: path.read_bytes() for path in server.store.rglob("*") if path.is_file()}
    command = [sys.executable, "-P", "-m", "stillframe.serve", "--token", "t", "--store", str(server.store)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, stdin=subprocess.DEVNULL)
    assert done.returncode == 2 and "version 99" in done.stderr and "Traceback" not in done.stderr
    assert {path: path.read_bytes() for path in server.store.rglob("*") if path.is_file()} == before


def test_a_changed_blob_is_a_clear_error_and_other_states_are_not_harmed(tmp_path: Path) -> None:
    with stored(tmp_path) as server:
        server.ok("import numpy as np\na = np.arange(300_000.0)", name="hurt")
        server.ok("x = 1", name="sound")
        server.wait_stored()
        server.restart()
        largest = max((server.store / "blobs").rglob("*"), key=lambda path: path.stat().st_size)
        content = bytearray(largest.read_bytes())
        content[1000] ^= 1
        largest.chmod(0o644)
        largest.write_bytes(content)
        error = server.fails("a.sum()", "hurt")
        assert (error["ename"], error["kind"]) == ("CorruptBlob", "refused")
        assert "state 'hurt' cannot be restored" in error["evalue"] and largest.name[:12] in error["evalue"]
        status, body = server.call("GET", "/states/hurt/variables/a")
        assert status == 409 and body["error"]["code"] == "CorruptBlob" and body["error"]["hint"]
        largest.unlink()
        assert server.fails("a.sum()", "hurt")["ename"] == "MissingBlob"
        assert server.value("sound", "x") == 1


def test_a_reset_while_a_state_is_restored_ends_the_execution_that_needs_it(tmp_path: Path) -> None:
    with stored(tmp_path) as server:
        server.ok("import pandas\nx = 1", name="one", timeout_s=120)
        server.restart()
        cell = server.begin("x", "one", "two")  # imports pandas first, in a base
        until(lambda: server.tree()["executions"], 10, "it is under way")
        server.reset()
        assert cell.reply(30)["error"]["kind"] == "reset"
        assert server.states() == ["initial"]
        assert server.printed("print(1)") == "1\n"


def test_executions_at_once_in_a_state_that_was_evicted_share_its_restore(tmp_path: Path) -> None:
    with stored(tmp_path) as server:
        server.ok("x = [0]", name="one")
        server.restart()
        cells = [server.begin(f"x.append({number}); print(x)", "one") for number in range(8)]
        assert [stdout(cell.reply()) for cell in cells] == [f"[0, {number}]\n" for number in range(8)]
        counted = server.exchange("GET", "/metrics").body.decode()
        assert 'stillframe_store_events_total{event="restored"} 1.0' in counted


def test_a_tip_maps_the_blobs_of_its_state_and_writes_to_memory_of_its_own(tmp_path: Path) -> None:
    mapped = "print(sum('/blobs/' in line for line in open('/proc/self/maps')))"
    with stored(tmp_path) as server:
        server.ok("import numpy as np\na = np.arange(1_000_000.0)", name="base")
        server.wait_stored("base")
        server.ok(f"{mapped}\na[0] = 7; a[999_999] = 8", "base", "written")
        server.wait_stored("written")
        again = server.run(f"{mapped}\nprint(a[0], a[1], a[999_999])", "written", "again")
        assert stdout(again).splitlines()[1] == "7.0 1.0 8.0" and int(stdout(again).splitlines()[0]) > 0
        server.restart()
        assert server.printed("print(a[0], a[1], a[999_999])", "base") == "0.0 1.0 999999.0\n"
        assert server.printed("print(a[0], a[1], a[999_999])", "written") == "7.0 1.0 8.0\n"
