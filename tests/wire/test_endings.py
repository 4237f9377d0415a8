"""What ends a cell ends that execution and nothing else: exits, crashes, memory, questions to nobody."""

from __future__ import annotations

import time

import pytest

from support.server import Json, Server, stdout

USER = {
    "sys.exit()": ("import sys; sys.exit()", "SystemExit", ""),
    "sys.exit(3)": ("import sys; sys.exit(3)", "SystemExit", "3"),
    "sys.exit of a text": ("import sys; sys.exit('bye')", "SystemExit", "bye"),
    "exit()": ("exit()", "SystemExit", None),
    "quit()": ("quit()", "SystemExit", None),
    "a bare SystemExit": ("raise SystemExit", "SystemExit", ""),
    "a GeneratorExit": ("raise GeneratorExit('g')", "GeneratorExit", "g"),
    "an exception of the user's own": ("class Mine(BaseException): pass\nraise Mine('m')", "Mine", "m"),
    "a MemoryError": ("x = bytearray(1 << 62)", "MemoryError", None),
    "a RecursionError": ("def f(): return f()\nf()", "RecursionError", None),
    "a StopIteration": ("next(iter([]))", "StopIteration", ""),
    "an exception group": ("raise ExceptionGroup('g', [ValueError(1)])", "ExceptionGroup", None),
    "an exception whose str raises": (
        "class E(Exception):\n    def __str__(self): raise ValueError\nraise E", "E", None,
    ),
    "an exception from a long chain": (
        "e = None\nfor i in range(300):\n    try: raise ValueError(i) from e\n"
        "    except ValueError as p: e = p\nraise e",
        "ValueError", "299",
    ),
    "CancelledError": ("import asyncio; raise asyncio.CancelledError('c')", "CancelledError", "c"),
    "an exit in a coroutine": ("import asyncio\nawait asyncio.sleep(0)\nimport sys; sys.exit(4)", "SystemExit", "4"),
}  # fmt: skip

DEATHS = {
    "os._exit(0)": ("import os; os._exit(0)", "0"),
    "os._exit(7)": ("import os; os._exit(7)", "7"),
    "a segfault": ("import ctypes; ctypes.string_at(0)", "SIGSEGV"),
    "an abort": ("import os; os.abort()", "SIGABRT"),
    "SIGKILL to itself": ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "SIGKILL"),
    "SIGTERM to itself": ("import os, signal; os.kill(os.getpid(), signal.SIGTERM); import time; time.sleep(9)", ""),
    "an exec of another program": ("import os; os.execvp('true', ['true'])", ""),
    "a fatal error of Python": ("import ctypes; ctypes.pythonapi.Py_FatalError(b'on purpose')", "SIGABRT"),
    "a SIGALRM": ("import signal; signal.alarm(1)\nwhile True: pass", "SIGALRM"),
}  # fmt: skip

QUESTIONS = {
    "input()": "input('name? ')",
    "input in a function": "def ask(): return input()\nask()",
    "getpass": "import getpass\ngetpass.getpass()",
    "a line of sys.stdin by input": "import builtins\nbuiltins.input()",
}


@pytest.fixture(scope="module")
def source(kernel: Server) -> str:
    return kernel.ok("x = [1]\nimport threading\nlock = threading.Lock()", name="source")


def intact(kernel: Server) -> bool:
    """Whether the source is what it was, and can be gone on from."""
    assert kernel.printed("print(x, lock.locked())", "source") == "[1] False\n"
    return kernel.printed("x.append(5); print(x)", "source") == "[1, 5]\n"


@pytest.mark.parametrize("what", USER)
def test_an_exception_ends_its_execution_only(kernel: Server, source: str, what: str) -> None:
    code, ename, evalue = USER[what]
    reply = kernel.run(f"x.append(2); lock.acquire(); print('so far')\n{code}", source, "never")
    error = reply["error"]
    assert (error["ename"], error["kind"]) == (ename, "user")
    assert evalue is None or error["evalue"] == evalue
    assert stdout(reply).startswith("so far\n") and reply["state_name"] is None
    assert intact(kernel)


@pytest.mark.parametrize("what", DEATHS)
def test_a_death_ends_its_execution_only(kernel: Server, source: str, what: str) -> None:
    code, how = DEATHS[what]
    start = time.monotonic()
    reply = kernel.run(f"x.append(2); lock.acquire(); print('so far', flush=True)\n{code}", source, "never")
    error = reply["error"]
    assert (error["ename"], error["kind"]) == ("StateProcessDied", "died")
    assert how in error["evalue"] and error["evalue"]
    assert reply["state_name"] is None and "so far" in stdout(reply)
    assert time.monotonic() - start < 10
    assert intact(kernel)


@pytest.mark.parametrize("what", QUESTIONS)
def test_a_question_to_nobody_is_an_error_at_once(kernel: Server, source: str, what: str) -> None:
    start = time.monotonic()
    error = kernel.fails(QUESTIONS[what], source)
    assert error["kind"] == "user" and time.monotonic() - start < 5
    assert "input" in (error["ename"] + error["evalue"]).lower() or error["ename"] == "EOFError"
    assert intact(kernel)


def test_a_memory_error_can_be_caught(kernel: Server) -> None:
    assert kernel.printed("try: bytearray(1 << 62)\nexcept MemoryError: print('caught')") == "caught\n"


def test_an_exit_in_a_thread_ends_the_thread_only(kernel: Server) -> None:
    code = "import sys, threading\nt = threading.Thread(target=sys.exit); t.start(); t.join()\nprint('on')"
    assert kernel.printed(code) == "on\n"


def test_an_exception_in_a_thread_is_an_output(kernel: Server) -> None:
    code = "import threading\nt = threading.Thread(target=lambda: 1 / 0); t.start(); t.join()"
    reply = kernel.run(code)
    assert reply["error"] is None
    assert "ZeroDivisionError" in "".join(out.get("text", "") for out in reply["output"])


def test_atexit_functions_do_not_run_when_states_end(kernel: Server) -> None:
    path = kernel.cwd / "ran-at-exit"
    code = f"import atexit\n_ = atexit.register(lambda: open({str(path)!r}, 'x').close())"
    state = kernel.ok(code, name="atexit")
    kernel.ok("y = 1", state, "atexit-child")
    kernel.fails("1 / 0", state)
    kernel.delete("atexit")
    kernel.reset()
    assert not path.exists()


def test_many_deaths_in_a_row_leave_the_kernel_well(kernel: Server) -> None:
    state = kernel.ok("x = 0")
    for number in range(20):
        assert died(kernel.run("import os; os._exit(1)", state))
        state = kernel.ok(f"x += {number}", state)
    assert kernel.printed("print(x)", state) == "190\n"


def died(reply: Json) -> bool:
    return reply["error"]["kind"] == "died"
