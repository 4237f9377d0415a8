"""POST /interrupt: it works wherever the code is, and no state is lost by it."""

from __future__ import annotations

import time

import pytest

from support.processes import until, with_marker
from support.server import Bell, Json, Server, stdout

GRACE_S = 1.0

WAITS = {
    "a loop in Python": "while True: pass",
    "time.sleep": "import time\ntime.sleep(1000)",
    "a lock": "import threading\nlock = threading.Lock(); lock.acquire(); lock.acquire()",
    "an event": "import threading\nthreading.Event().wait()",
    "a queue": "import queue\nqueue.Queue().get()",
    "a thread's join": "import threading\nt = threading.Thread(target=threading.Event().wait, daemon=True)\n"
    "t.start(); t.join()",
    "select": "import select, os\nselect.select([os.pipe()[0]], [], [])",
    "a pipe's read": "import os\nos.read(os.pipe()[0], 1)",
    "a top-level await": "import asyncio\nawait asyncio.sleep(1000)",
    "an awaited task of a thread": "import asyncio, threading\nawait asyncio.sleep(0)\n"
    "await asyncio.Event().wait()",
    "a list comprehension": "[x for x in iter(int, 1)]",
}

STUBBORN = {
    "C code": "sum(range(10**12))",
    "a regular expression": "import re\nre.match('(a+)+$', 'a' * 40 + 'b')",
    "except BaseException": "while True:\n    try:\n        while True: pass\n    except BaseException: pass",
    "a handler that ignores SIGINT": "import signal, time\n_ = signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
    "while True: time.sleep(1000)",
    "a blocked signal": "import signal, time\n_ = signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 32))\n"
    "while True: time.sleep(1000)",
    "C's pause in ctypes": "import ctypes\nwhile True: ctypes.CDLL(None).sleep(1000)",
}


def interrupted(kernel: Server, bell: Bell, code: str, *, within_s: float) -> Json:
    """Run `code`, interrupt it when it has rung the bell; its reply, and that nothing was lost."""
    before, after = kernel.ok("x = [1]"), kernel.new_name("after-")
    cell = kernel.begin(f"x.append(2); print('begun')\n{bell.ring}\n{code}", before, after)
    bell.wait()
    start = time.monotonic()
    assert kernel.interrupt(cell.exec_id) is True
    reply = cell.reply(within_s + 10)
    took_s = time.monotonic() - start
    assert took_s < within_s
    error = reply["error"]
    assert (error["ename"], error["evalue"], error["kind"]) == ("KeyboardInterrupt", "", "interrupted")
    assert reply["state_name"] is None and after not in kernel.states()
    assert stdout(reply) == "begun\n"
    assert kernel.printed("print(x)", before) == "[1]\n"
    return reply


@pytest.mark.parametrize("where", WAITS)
def test_an_interrupt_ends_code_in(kernel: Server, bell: Bell, where: str) -> None:
    interrupted(kernel, bell, WAITS[where], within_s=GRACE_S)


@pytest.mark.parametrize("where", STUBBORN)
def test_code_that_does_not_heed_an_interrupt_is_killed_after_the_grace(
    kernel: Server, bell: Bell, where: str
) -> None:
    interrupted(kernel, bell, STUBBORN[where], within_s=GRACE_S + 2)


def test_an_interrupt_ends_code_that_waits_for_a_child_process(kernel: Server, bell: Bell) -> None:
    code = f"import subprocess\nsubprocess.run(['sh', '-c', '{bell.ring_in_shell}; exec sleep 1234'])"
    interrupted(kernel, Twice(bell), code, within_s=GRACE_S + 2)
    until(lambda: _none_runs(kernel, "sleep 1234"), 5, "the child's end")


def test_an_interrupt_ends_a_shell_command(kernel: Server, bell: Bell) -> None:
    interrupted(kernel, Twice(bell), f"!{bell.ring_in_shell}; exec sleep 1235", within_s=GRACE_S + 2)
    until(lambda: _none_runs(kernel, "sleep 1235"), 5, "the command's end")


def test_an_interrupt_ends_os_system(kernel: Server, bell: Bell) -> None:
    code = f"import os\nwhile True: os.system('{bell.ring_in_shell}; exec sleep 1236')"
    interrupted(kernel, Twice(bell), code, within_s=GRACE_S + 2)
    until(lambda: _none_runs(kernel, "sleep 1236"), 5, "the command's end")


def test_a_caught_interrupt_is_the_codes_own_business(kernel: Server, bell: Bell) -> None:
    # Rung inside the try, so that the interrupt cannot come before it.
    code = f"import time\ntry:\n    {bell.ring}\n    time.sleep(1000)\nexcept KeyboardInterrupt: x = 'caught'"
    cell = kernel.begin(code, name="caught")
    bell.wait()
    assert kernel.interrupt(cell.exec_id) is True
    assert cell.reply()["state_name"] == "caught"
    assert kernel.printed("print(x)", "caught") == "caught\n"


def test_finally_runs_when_interrupted(kernel: Server, bell: Bell) -> None:
    code = f"import time\ntry:\n    {bell.ring}\n    time.sleep(1000)\nfinally: print('cleaned up')"
    cell = kernel.begin(code)
    bell.wait()
    kernel.interrupt(cell.exec_id)
    assert stdout(cell.reply()) == "cleaned up\n"


def test_an_interrupt_ends_the_execution_it_names_and_no_other(kernel: Server, bell: Bell) -> None:
    wait = f"{bell.ring}\nimport time\ntime.sleep(1000)"
    first, second = kernel.begin(wait, exec_id="one"), kernel.begin(wait, exec_id=2)
    bell.wait()
    until(lambda: len(kernel.tree()["executions"]) == 2, what="two executions")
    assert kernel.interrupt(2) is True
    assert second.reply()["error"]["ename"] == "KeyboardInterrupt"
    assert not first.is_done()
    assert kernel.interrupt("one") is True
    assert first.reply()["error"]["ename"] == "KeyboardInterrupt"


@pytest.mark.parametrize("exec_id", ["nobody", 77, ""])
def test_an_unknown_execution_is_not_interrupted(kernel: Server, exec_id: object) -> None:
    assert kernel.call("POST", "/interrupt", {"exec_id": exec_id}) == (200, {"interrupted": False})


def test_a_finished_execution_is_not_interrupted(kernel: Server) -> None:
    kernel.ok("x = 1", exec_id="finished")
    assert kernel.interrupt("finished") is False


def test_an_interrupt_without_exec_id_is_a_400(kernel: Server) -> None:
    assert kernel.call("POST", "/interrupt", {})[0] == 400


def test_an_interrupted_cell_in_the_newest_state_leaves_it_newest(kernel: Server, bell: Bell) -> None:
    state = "initial"
    for number in range(3):
        state = kernel.ok(f"x = {number}", state)
        cell = kernel.begin(f"x = 'lost'\n{bell.ring}\nwhile True: pass", state)
        bell.wait()
        kernel.interrupt(cell.exec_id)
        assert cell.reply()["error"]["kind"] == "interrupted"
    assert kernel.printed("print(x)", state) == "2\n"


def test_an_interrupt_does_not_reach_states_at_rest(kernel: Server, bell: Bell) -> None:
    kernel.ok(
        "import signal\nhits = []\n_ = signal.signal(signal.SIGINT, lambda *a: hits.append(1))", name="rest"
    )
    cell = kernel.begin(f"{bell.ring}\nwhile not hits: pass", "rest")
    bell.wait()
    kernel.interrupt(cell.exec_id)
    cell.reply()
    assert kernel.printed("print(hits)", "rest") == "[]\n"


class Twice:
    """A bell that must ring twice: once in the cell, once in its child."""

    def __init__(self, bell: Bell) -> None:
        self._bell = bell
        self.ring, self.ring_in_shell = bell.ring, bell.ring_in_shell

    def wait(self) -> None:
        self._bell.wait()
        self._bell.wait()


def _none_runs(kernel: Server, command: str) -> bool:
    return not any(command in text for text in with_marker(kernel.marker).values())
