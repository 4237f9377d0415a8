"""However something ends, nothing of it is left, and nothing else ends with it."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path

import pytest

from support.processes import open_descriptors, status, until, with_marker
from support.server import Bell, Pending, Server, stdout

LOAD = [
    "while True: pass",
    "sum(range(10**12))",
    "import time\ntime.sleep(1000)",
    "import subprocess\nsubprocess.run(['sleep', '1000'])",
    "import os\nif os.fork() == 0:\n    while True: pass\nimport time; time.sleep(1000)",
    "import signal, time\nfor s in set(signal.Signals) - {9, 19}: signal.signal(s, signal.SIG_IGN)\n"
    "time.sleep(1000)",
    "import os, time\nos.setsid()\ntime.sleep(1000)",
    "import threading, time\nthreading.Thread(target=time.sleep, args=(1000,)).start()\ntime.sleep(1000)",
]


def loaded(server: Server, bell: Bell) -> None:
    """Fill a server: states at rest with children of their own, and cells that run in all ways."""
    base = server.ok("import subprocess\np = subprocess.Popen(['sleep', '1000'])\nx = bytearray(1 << 20)")
    for number in range(4):
        server.ok(f"y = {number}", base)
    server.ok("import subprocess\nd = subprocess.Popen(['sleep', '1000'], start_new_session=True)")
    for code in LOAD:
        Pending(server, f"{bell.ring}\n{code}", base, None, {"exec_id": code[:20], "timeout_s": 30})
    for _ in LOAD:
        bell.wait()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT], ids=lambda n: n.name)
def test_when_the_server_ends_no_process_of_it_is_left_within_a_second(
    fresh: Server, bell: Bell, number: signal.Signals
) -> None:
    loaded(fresh, bell)
    assert len(with_marker(fresh.marker)) > 10
    fresh.process.send_signal(number)
    # A polite end has some time to say goodbye; what it leaves has none.
    fresh.process.wait(5)
    start = time.monotonic()
    until(lambda: not fresh.left(), 5, "the end of every process")
    assert time.monotonic() - start < 1.0


def test_when_each_parent_among_its_processes_is_killed_no_process_is_left(fresh: Server, bell: Bell) -> None:
    """Whichever process supervises, be it the server or one of its own."""
    loaded(fresh, bell)
    there = set(with_marker(fresh.marker))
    for pid in {_parent(pid) for pid in there} & there:
        os.kill(pid, signal.SIGKILL)
    fresh.process.wait(5)
    until(lambda: not fresh.left(), 2, "the end of every process")


def test_deleting_states_ends_their_processes(fresh: Server) -> None:
    fresh.ok("x = 1", name="kept")
    baseline = until(lambda: _settled(fresh), 10, "a settled number of processes")
    names = [fresh.ok(f"x = {number}") for number in range(20)]
    assert len(with_marker(fresh.marker)) > baseline
    for name in names:
        assert fresh.delete(name) == 200
    # Spares and tips of the few most recent states may stay; they are bounded.
    until(
        lambda: len(with_marker(fresh.marker)) <= baseline + 2, 10, "the end of the deleted states' processes"
    )


def test_deleting_everything_leaves_no_state_process(fresh: Server) -> None:
    fresh.reset()
    baseline = until(lambda: _settled(fresh), 10, "a settled number of processes")
    state = "initial"
    for number in range(10):
        state = fresh.ok(f"x = {number}", state, f"n{number}")
    fresh.reset()
    until(lambda: len(with_marker(fresh.marker)) <= baseline + 1, 10, "the end of all states' processes")


def test_a_reset_ends_everything_that_runs(fresh: Server, bell: Bell) -> None:
    state = fresh.ok("x = 1", name="gone")
    codes = ["while True: pass", "import time; time.sleep(1000)", "sum(range(10**12))"]
    cells = [fresh.begin(f"{bell.ring}\n{code}", state, f"new{n}") for n, code in enumerate(codes)]
    for _ in cells:
        bell.wait()
    start = time.monotonic()
    fresh.reset()
    for cell in cells:
        error = cell.reply(10)["error"]
        assert (error["ename"], error["evalue"], error["kind"]) == ("KernelReset", "", "reset")
    assert time.monotonic() - start < 5
    assert fresh.states() == ["initial"]
    assert fresh.fails("x")["ename"] == "NameError"


def test_a_reset_ends_children_of_states(fresh: Server) -> None:
    fresh.ok("import subprocess\np = subprocess.Popen(['sleep', '1239'])")
    # Popen returns as soon as the child has its own memory; its arguments are put there a moment later.
    until(lambda: _running(fresh, "sleep 1239"), what="the child is there")
    fresh.reset()
    until(lambda: not _running(fresh, "sleep 1239"), 5, "the child's end")


def test_a_delete_ends_children_of_the_state(fresh: Server) -> None:
    fresh.ok("import subprocess\np = subprocess.Popen(['sleep', '1240'])", name="parent")
    fresh.delete("parent")
    until(lambda: not _running(fresh, "sleep 1240"), 5, "the child's end")


def test_children_of_a_failed_cell_end(fresh: Server) -> None:
    fresh.fails("import subprocess\np = subprocess.Popen(['sleep', '1241'])\n1 / 0")
    until(lambda: not _running(fresh, "sleep 1241"), 5, "the child's end")


def test_a_cell_that_is_killed_from_outside_says_so_and_its_source_goes_on(
    kernel: Server, bell: Bell
) -> None:
    for round_ in range(3):
        state = kernel.ok(f"x = [{round_}]")
        cell = kernel.begin(
            f"import os\nprint(os.getpid(), flush=True)\nx.append(1)\n{_tell(bell)}\nwhile True: pass", state
        )
        bell.wait()
        pid = int((kernel.cwd / "pid").read_text())
        os.kill(pid, signal.SIGKILL)
        reply = cell.reply(10)
        assert reply["error"]["kind"] == "died" and reply["error"]["ename"] == "StateProcessDied"
        assert "SIGKILL" in reply["error"]["evalue"]
        assert stdout(reply) == f"{pid}\n"
        assert kernel.printed("print(x)", state) == f"[{round_}]\n"
    (kernel.cwd / "pid").unlink()


def test_a_stopped_cell_can_be_interrupted(kernel: Server, bell: Bell) -> None:
    cell = kernel.begin(f"import os\n{_tell(bell)}\nwhile True: pass")
    bell.wait()
    os.kill(int((kernel.cwd / "pid").read_text()), signal.SIGSTOP)
    assert kernel.interrupt(cell.exec_id)
    assert cell.reply(10)["error"]["kind"] == "interrupted"
    (kernel.cwd / "pid").unlink()


def test_a_killed_tip_costs_nothing_but_itself(kernel: Server) -> None:
    """Each process that a state has may be killed between cells: another way leads back."""
    state = kernel.ok("import os\nx = 41")
    pid = int(kernel.printed("print(os.getpid())", state))
    if pid in with_marker(kernel.marker):  # the number may be a stranger's by now
        os.kill(pid, signal.SIGKILL)
    assert kernel.printed("print(x + 1)", state) == "42\n"


def test_all_processes_of_a_state_may_be_killed_and_it_replays(fresh: Server) -> None:
    state = fresh.ok("x = 1")
    state = fresh.ok("x += 41", state, "killed")
    known = set(with_marker(fresh.marker))
    supervisors = {_parent(pid) for pid in known} | {fresh.process.pid}
    for pid in known - supervisors:
        with contextlib.suppress(ProcessLookupError):  # a look at the cell before, which has ended
            os.kill(pid, signal.SIGKILL)
    reply = fresh.run("print(x)", state, timeout_s=30)
    assert stdout(reply) == "42\n" or reply["error"]["ename"] in ("StateUnreachable", "StateProcessDied")
    assert fresh.call("GET", "/states")[0] == 200


def test_a_run_under_a_taken_name_that_is_interrupted_leaves_the_name(kernel: Server, bell: Bell) -> None:
    kernel.ok("x = 'old'", name="name")
    cell = kernel.begin(f"x = 'new'\n{bell.ring}\nwhile True: pass", "initial", "name")
    bell.wait()
    assert kernel.printed("print(x)", "name") == "old\n"
    kernel.interrupt(cell.exec_id)
    cell.reply()
    assert kernel.printed("print(x)", "name") == "old\n"


def test_deleting_a_source_while_a_cell_runs_in_it_does_not_end_the_cell(kernel: Server, bell: Bell) -> None:
    gate = Bell(kernel.cwd / "gate")
    try:
        kernel.ok("x = 1", name="source")
        cell = kernel.begin(f"{bell.ring}\n_ = open({str(gate.path)!r}).read(1)\ny = x", "source", "result")
        bell.wait()
        assert kernel.delete("source") == 200
        os.write(os.open(gate.path, os.O_RDWR), b"x")
        assert cell.reply()["state_name"] == "result"
        assert kernel.printed("print(y)", "result") == "1\n"
    finally:
        gate.close()


def test_the_server_keeps_no_descriptor_of_a_state_that_is_gone(fresh: Server) -> None:
    def used() -> int:
        return max(open_descriptors(pid) for pid in _supervisors(fresh))

    for _ in range(5):
        fresh.ok("x = 1")
    fresh.reset()
    before = until(lambda: _steady(used), 10, "a steady number of descriptors")
    for number in range(40):
        name = fresh.ok(f"x = {number}")
        if number % 4 == 0:
            fresh.fails("import os; os._exit(1)", name)
        fresh.fails("1 / 0", name)
    fresh.reset()
    until(lambda: used() <= before + 4, 10, "the descriptors' return")


def test_a_process_with_the_number_of_one_that_died_before_is_not_taken_for_it(fresh: Server) -> None:
    """Orphans end in the supervisor's hands; the machine gives their numbers to new processes in time."""
    last_pid = Path("/proc/sys/kernel/ns_last_pid")
    if not os.access(last_pid, os.W_OK):
        pytest.skip("only root may choose the number of the next process")
    orphans = (
        "import os\nr, w = os.pipe()\nif os.fork() == 0:\n    for _ in range(300):\n"
        "        if (pid := os.fork()) == 0: os.kill(os.getpid(), 9)\n        _ = os.write(w, b'%d ' % pid)\n"
        "    os._exit(0)\n_ = os.wait(); print(os.read(r, 9999).decode())"
    )
    pids = sorted(map(int, fresh.printed(orphans).split()))
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids), 10, "the orphans' end")
    state = fresh.ok("x = 1")
    for number in range(20):
        last_pid.write_text(str(pids[number * 10] - 1))
        fresh.ok(f"x = {number}", state)
        assert fresh.printed("print(x)", state) == "1\n"


def test_two_servers_side_by_side_do_not_know_each_other(fresh: Server, kernel: Server) -> None:
    kernel.ok("x = 'one'", name="side")
    fresh.ok("x = 'two'", name="side")
    fresh.reset()
    assert kernel.printed("print(x)", "side") == "one\n"


def _tell(bell: Bell) -> str:
    return f"with open('pid', 'w') as _f: _ = _f.write(str(os.getpid()))\n{bell.ring}"


def _running(server: Server, text: str) -> bool:
    return any(text in found for found in with_marker(server.marker).values())


def _parent(pid: int) -> int:
    return int(status(pid).get("PPid", "0"))


def _supervisors(server: Server) -> set[int]:
    there = set(with_marker(server.marker))
    return ({_parent(pid) for pid in there} & there) | {server.process.pid}


def _settled(server: Server) -> int:
    return _steady(lambda: len(with_marker(server.marker)))


def _steady(measure: object) -> int:
    """What ten measurements in a row agree on; 0 where they do not."""
    found = {measure() for _ in range(10)}  # type: ignore[operator]
    return found.pop() if len(found) == 1 else 0
