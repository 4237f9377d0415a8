"""Code that takes all there is: output, descriptors, memory, time. It gets an error; the others get theirs."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.processes import open_descriptors, status, until, with_marker
from support.server import Bell, Server, stderr, stdout

MIB = 1 << 20


def well(kernel: Server) -> bool:
    return kernel.printed("print(6 * 7)", timeout_s=20) == "42\n"


@pytest.mark.parametrize(
    "flood",
    [
        "for _ in range(100): print('x' * (1 << 20))",
        "import os\nfor _ in range(1600): os.write(1, b'x' * (1 << 16))",
        "import subprocess\n_ = subprocess.run('yes | head -c 100000000', shell=True)",
        "print('\\n' * (100 << 20))",
        "import sys\nfor _ in range(100): sys.stderr.write('x' * (1 << 20))",
        "import ctypes\nc = ctypes.CDLL(None)\nfor _ in range(100): c.write(1, b'x' * (1 << 20), 1 << 20)",
    ],
    ids=["print", "os.write", "a child process", "one print", "stderr", "C"],
)
def test_a_flood_of_100_mb_is_cut_and_counted(kernel: Server, flood: str) -> None:
    reply = kernel.run(f"{flood}\nx = 1", timeout_s=100)
    assert reply["error"] is None
    assert len(stdout(reply)) + len(stderr(reply)) < 18 * MIB
    assert any(character.isdigit() for character in reply["output"][-1]["text"])
    assert well(kernel)


def test_a_million_displays_are_cut_and_counted(kernel: Server) -> None:
    start = time.monotonic()
    code = "from IPython.display import publish_display_data\nd = {'text/plain': 'x'}\n"
    reply = kernel.run(f"{code}for _ in range(1_000_000): publish_display_data(d)", timeout_s=150)
    assert reply["error"] is None and len(reply["output"]) <= 10_001
    assert "990,000" in stderr(reply) or "990000" in stderr(reply)
    assert well(kernel) and time.monotonic() - start < 150


def test_the_server_answers_while_a_cell_floods(kernel: Server, bell: Bell) -> None:
    cell = kernel.begin(f"{bell.ring}\nwhile True: print('x' * 10_000)", exec_id="flood")
    bell.wait()
    worst = 0.0
    for _ in range(30):
        start = time.perf_counter()
        kernel.states()
        worst = max(worst, time.perf_counter() - start)
    assert kernel.interrupt("flood")
    assert cell.reply(20)["error"]["kind"] == "interrupted"
    assert worst < 1.0


def test_a_flood_does_not_stay_in_the_servers_memory(fresh: Server) -> None:
    def resident_mib() -> int:
        return sum(int(status(pid).get("VmRSS", "0 kB").split()[0]) for pid in (fresh.process.pid,)) // 1024

    flood = "for _ in range(60): print('x' * (1 << 20))"
    fresh.run(flood, timeout_s=60)
    before = resident_mib()
    for _ in range(4):
        fresh.run(flood, timeout_s=60)
        fresh.reset()
    until(lambda: resident_mib() < before + 60, 10, "the memory's return")


def test_a_streaming_client_that_does_not_read_holds_nobody_up(kernel: Server, bell: Bell) -> None:
    body = {
        "code": f"{bell.ring}\nfor _ in range(3000): print('x' * 10_000)",
        "exec_id": "slow",
        "state_name": "initial",
    }
    with kernel.events("POST", "/execute", body):
        bell.wait()
        assert well(kernel)
        until(
            lambda: all(one["exec_id"] != "slow" for one in kernel.tree()["executions"]), 60, "the cell's end"
        )


EXHAUST = (
    "import os\nheld = []\ntry:\n    while True: held.append(os.open(os.devnull, os.O_RDONLY))\n"
    "except OSError as problem: number = problem.errno"
)


def test_code_without_a_free_descriptor_gets_its_error_and_goes_on(kernel: Server) -> None:
    name = kernel.new_name("exhausted-")
    reply = kernel.run(f"{EXHAUST}\nprint(number)", name=name, timeout_s=60)
    assert well(kernel)
    if reply["error"] is None:
        assert stdout(reply) == "24\n"
        for _ in range(2):
            after = kernel.run("print(len(held) > 100)", name, timeout_s=30)
            assert after["error"] is not None or stdout(after) == "True\n"
            assert after["error"] is None or after["error"]["kind"] in ("user", "died", "refused")
        assert kernel.call("GET", f"/states/{name}", timeout_s=35)[0] in (200, 409, 504)
    kernel.delete(name)
    assert well(kernel)


def test_a_branch_can_be_made_when_almost_no_descriptor_is_free(kernel: Server) -> None:
    name = kernel.ok(f"{EXHAUST}\nfor fd in held[-40:]: os.close(fd)", timeout_s=60)
    assert [kernel.printed("print(number)", name) for _ in range(3)] == ["24\n"] * 3
    kernel.delete(name)


def test_descriptors_of_deleted_states_come_back(fresh: Server) -> None:
    before = open_descriptors(fresh.process.pid)
    for _ in range(30):
        fresh.delete(fresh.ok("import os\nh = [os.open(os.devnull, os.O_RDONLY) for _ in range(500)]"))
    until(lambda: open_descriptors(fresh.process.pid) <= before + 20, 10, "the descriptors' return")


MARGIN = 3 << 30
"""What code may take in the tests below until the kernel's reserve is reached."""


def _no_swap() -> bool:
    return len(Path("/proc/swaps").read_text().splitlines()) == 1


@pytest.fixture
def narrow(tmp_path: Path) -> Iterator[Server]:
    """A server that keeps in reserve all memory that is available now but MARGIN."""
    if not _no_swap():
        pytest.skip("the machine has swap on: filling its memory would take for ever")
    lines = Path("/proc/meminfo").read_text().splitlines()
    available = next(int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvailable"))
    (tmp_path / "narrow").mkdir()
    server = Server(tmp_path / "narrow", limits={"reserved_memory_bytes": max(available - MARGIN, 1 << 28)})
    yield server.start()
    server.stop()


def test_code_that_takes_all_memory_is_ended_before_the_machine_is_in_trouble(narrow: Server) -> None:
    narrow.ok("x = 'kept'", name="kept")
    # Each piece is touched; it stops by itself far above the margin, should nobody end it.
    reply = narrow.run("held = [b'x' * (64 << 20) for _ in range(120)]", "kept", timeout_s=60)
    error = reply["error"]
    assert (error["ename"], error["kind"]) == ("StateProcessDied", "died")
    assert "memory" in error["evalue"].lower()
    assert narrow.printed("print(x)", "kept") == "kept\n"


def test_the_cell_that_takes_the_memory_is_ended_not_its_neighbour(narrow: Server, bell: Bell) -> None:
    neighbour = narrow.begin(f"y = b'x' * (64 << 20)\n{bell.ring}\nwhile True: pass", exec_id="neighbour")
    bell.wait()
    assert (
        narrow.run("held = [b'x' * (64 << 20) for _ in range(120)]", timeout_s=60)["error"]["kind"] == "died"
    )
    assert not neighbour.is_done()
    assert narrow.interrupt("neighbour")
    assert neighbour.reply()["error"]["kind"] == "interrupted"


def test_many_states_that_fill_the_memory_are_refused_in_time(narrow: Server) -> None:
    """Each branch keeps a piece; at last one is refused or ended, with a reason, and the others are intact."""
    narrow.ok("x = 'base'", name="base")
    kept, piece = [], 400 * MIB
    for number in range(20):
        reply = narrow.run(f"piece = b'x' * {piece}", "base", f"piece-{number}", timeout_s=60)
        if reply["error"] is not None:
            break
        kept.append(f"piece-{number}")
    error = reply["error"]
    assert error is not None and error["kind"] in ("refused", "died") and "memory" in error["evalue"].lower()
    assert len(kept) >= 3
    assert narrow.states() == ["initial", "base", *kept]
    for name in kept[1:]:
        narrow.delete(name)
    until(lambda: narrow.run("print(x, len(piece))", kept[0])["error"] is None, 20, "the kernel's recovery")
    assert narrow.printed("print(x, len(piece))", kept[0]) == f"base {piece}\n"


def test_a_cell_that_hangs_holds_up_nobody(kernel: Server, bell: Bell) -> None:
    cell = kernel.begin(
        f"{bell.ring}\nimport threading\nthreading.Lock().acquire() and threading.Event().wait()"
    )
    bell.wait()
    assert well(kernel) and not cell.is_done()
    kernel.interrupt(cell.exec_id)
    assert cell.reply(10)["error"]["kind"] == "interrupted"


def test_a_repr_that_hangs_is_ended_after_its_limit_and_holds_up_nobody(tmp_path: Path) -> None:
    (tmp_path / "cwd").mkdir()
    server = Server(tmp_path / "cwd", limits={"look_s": 1.5}).start()
    try:
        state = server.ok("class R:\n    def __repr__(self):\n        while True: pass\nr = R(); x = 1")
        found, body = server.call("GET", f"/states/{state}", timeout_s=20)
        assert found == 504 and body["error"]["code"] == "LookTimedOut"
        assert server.printed("print(x)", state) == "1\n"
    finally:
        server.stop()


def test_hundreds_of_states_are_listed_and_deleted(fresh: Server) -> None:
    names = [fresh.ok(f"x = {number}", name=f"state {number}") for number in range(300)]
    assert fresh.states() == ["initial", *names]
    assert fresh.printed("print(x)", "state 7") == "7\n"
    assert len(json.dumps(fresh.tree())) < 1 << 20
    fresh.reset()
    until(lambda: len(with_marker(fresh.marker)) < 10, 15, "the end of 300 states' processes")
