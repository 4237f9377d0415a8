"""Code that attacks its own process: an error or a result for that request, and nothing else is touched."""

from __future__ import annotations

import json
import signal

import pytest

from support.processes import open_descriptors, until, with_marker
from support.server import Bell, Server, stdout

# Anything may become of these cells but a hang, a failure of the request, or harm to others.
ANY_END = {
    "kills its process group": "import os, signal; os.killpg(0, signal.SIGKILL)",
    "kills all it may with SIGTERM of its group": "import os, signal; os.kill(0, signal.SIGTERM); import time; "
    "time.sleep(1)",
    "closes all its descriptors": "import os; os.closerange(0, 65536)",
    "closes all and prints": "import os; os.closerange(0, 65536); print('x')",
    "closes descriptors 0, 1, 2": "import os\nfor fd in (0, 1, 2): os.close(fd)\nprint('x')",
    "closes all but 0, 1, 2": "import os; os.closerange(3, 65536); print('x')",
    "redirects 1 and 2 to nothing": "import os; n = os.open(os.devnull, os.O_WRONLY); os.dup2(n, 1); "
    "os.dup2(n, 2); print('x')",
    "points every descriptor elsewhere": "import os\nn = os.open(os.devnull, os.O_RDWR)\n"
    "for fd in [int(f) for f in os.listdir('/proc/self/fd')]:\n    if fd != n: os.dup2(n, fd)",
    "writes nonsense into every descriptor": "import os\nfor fd in range(3, 200):\n"
    "    try: os.write(fd, b'\\0nonsense' * 9)\n"
    "    except OSError: pass",
    "reads every descriptor empty": "import os\nfor fd in range(3, 200):\n    try: os.set_blocking(fd, False); "
    "os.read(fd, 1 << 20)\n"
    "    except OSError: pass",
    "sends nonsense to every socket": "import os, socket\nfor fd in range(3, 200):\n"
    "    try: socket.socket(fileno=os.dup(fd)).send(b'{}' * 50)\n"
    "    except OSError: pass",
    "shuts every socket": "import os, socket\nfor fd in range(3, 200):\n"
    "    try: socket.socket(fileno=os.dup(fd)).shutdown(2)\n"
    "    except OSError: pass",
    "replaces sys.stdout": "import sys, io; sys.stdout = io.StringIO(); print('x')",
    "sets sys.stdout to None": "import sys; sys.stdout = sys.stderr = sys.__stdout__ = None; print('x')",
    "closes sys.stdout": "import sys; sys.stdout.close(); sys.stderr.close()",
    "sets sys.stdout to a broken object": "import sys; sys.stdout = sys.stderr = object()",
    "replaces print": "import builtins; builtins.print = None",
    "replaces os.write": "import os; os.write = lambda *a: 1 / 0",
    "replaces os.fork and os._exit": "import os; os.fork = os._exit = os.getpid = os.read = os.close = None",
    "replaces many builtins": "import builtins\n"
    "for n in ('len', 'open', 'isinstance', 'getattr', 'list', 'dict', 'type', 'str'):\n"
    "    setattr(builtins, n, None)",
    "deletes builtins": "del __builtins__",
    "empties builtins": "import builtins; vars(builtins).clear()",
    "empties sys.modules": "import sys; sys.modules.clear()",
    "replaces modules": "import sys\n"
    "for n in ('os', 'socket', 'signal', 'json', 'gc', 'random', 'msgspec', 'threading'):\n"
    "    sys.modules[n] = None",
    "replaces __main__": "import sys, types; sys.modules['__main__'] = types.ModuleType('other')",
    "deletes __main__": "import sys; del sys.modules['__main__']",
    "clears its globals": "globals().clear()",
    "monkeypatches gc": "import gc; gc.freeze = gc.collect = gc.unfreeze = gc.disable = gc.enable = lambda *a: 1 / 0",
    "monkeypatches random": "import random; random.getstate = random.setstate = random.seed = lambda *a: 1 / 0",
    "monkeypatches signal": "import signal\n"
    "signal.signal = signal.set_wakeup_fd = signal.pthread_sigmask = lambda *a: 1 / 0",
    "monkeypatches socket and json": "import socket, json; socket.socket.send = json.dumps = json.loads = None",
    "ignores all signals": "import signal\nfor s in set(signal.Signals) - {9, 19}: signal.signal(s, signal.SIG_IGN)",
    "blocks all signals": "import signal; signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))",
    "raises in a handler of SIGCHLD": "import signal, os\ndef h(*a): raise RuntimeError\n"
    "signal.signal(signal.SIGCHLD, h)\n"
    "if os.fork() == 0: os._exit(0)\nimport time; time.sleep(0.05)",
    "traces": "import sys; sys.settrace(lambda *a: (_ for _ in ()).throw(ValueError))",
    "profiles": "import sys; sys.setprofile(lambda *a: 1 / 0)",
    "hooks exceptions": "import sys; sys.excepthook = sys.displayhook = sys.unraisablehook = None\n5",
    "breaks the shell": "ip = get_ipython(); ip.run_cell = ip.run_code = ip.display_pub = ip.displayhook = None",
    "replaces the namespace": "get_ipython().user_ns = {}",
    "registers a raising hook at fork": "import os\n"
    "os.register_at_fork(before=lambda: 1 / 0, after_in_child=lambda: 1 / 0, after_in_parent=lambda: 1 / 0)",
    "registers a hook at fork that exits": "import os; os.register_at_fork(after_in_child=lambda: os._exit(3))",
    "registers a hook that ends cells": "get_ipython().events.register('post_run_cell', lambda *a: 1 / 0)",
    "an audit hook that raises": "import sys\ndef h(e, a):\n    if e == 'os.fork': raise RuntimeError\n"
    "sys.addaudithook(h)",
    "recursion without a limit": "import sys; sys.setrecursionlimit(10**8)\nx = []\n"
    "for _ in range(10**6): x = [x]\nrepr(x)",
    "a recursion bomb": "def f(n): return f(n + 1) + f(n + 1)\nf(0)",
    "a repr that never ends": "class R:\n    def __repr__(self): return repr(self)\nR()",
    "an exception whose traceback is huge": "def f(n): return f(n - 1) if n else 1 / 0\nf(900)",
    "an exception with a hostile str": "class E(Exception):\n    def __str__(self): import os; os._exit(1)\nraise E",
    "an unhashable, incomparable object in a variable": "class H:\n    __hash__ = None\n"
    "    def __eq__(self, o): 1 / 0\n"
    "    def __getattribute__(self, n): raise ValueError(n)\nh = H()",
    "a metaclass that lies": "class M(type):\n    def __getattribute__(c, n): raise ValueError(n)\n"
    "class C(metaclass=M): pass\nc = C()",
    "variables with strange names": "globals()['a b'] = 1; globals()['\\ud800'] = 2; globals()[5] = 3; "
    "globals()[''] = 4",
    "drops its session and its root": "import os; os.setsid() if os.getpid() != os.getsid(0) else None; "
    "os.chdir('/proc')",
    "lives in a deleted directory": "import os, tempfile; d = tempfile.mkdtemp(dir='.'); os.chdir(d); "
    "os.rmdir('../' + os.path.basename(d))",
    "limits its own CPU time": "import resource; resource.setrlimit(resource.RLIMIT_CPU, (0, 1))\nwhile True: pass",
    "limits its own memory": "import resource; resource.setrlimit(resource.RLIMIT_AS, (1 << 28, 1 << 28)); "
    "x = bytearray(1 << 27)",
    "limits its own descriptors": "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3)); x = 1",
    "limits its own processes": "import resource; resource.setrlimit(resource.RLIMIT_NPROC, (1, 1)); x = 1",
    "execs another program": "import os; os.execlp('sleep', 'sleep', '0.01')",
    "raises while it is displayed": "class D:\n    def _ipython_display_(self): raise SystemExit(3)\nD()",
    "an output that cannot be encoded": "print('\\ud800'); '\\udfff'",
    "a mime bundle that is not JSON": "d = {'text/plain': object(), 5: b'\\xff'}\n"
    "display(d | {'application/json': {1, 2}}, raw=True)",
    "stops itself in a child": "import os, signal\npid = os.fork()\n"
    "if pid == 0: os.kill(os.getpid(), signal.SIGSTOP)\n",
    "unregisters its reapers": "import ctypes; ctypes.CDLL(None).prctl(36, 0, 0, 0, 0); "
    "ctypes.CDLL(None).prctl(1, 0, 0, 0, 0)",
    "is not dumpable": "import ctypes; ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)",
    "starts a thread that prints for ever": "import threading, time\ndef f():\n    while True: print('x' * 99); "
    "time.sleep(0.001)\n"
    "threading.Thread(target=f, daemon=True).start()",
    "starts a thread that runs code after the cell": "import threading\ndef f(n):\n"
    "    for _ in range(n): exec('x = 1', globals())\n"
    "threading.Thread(target=f, args=(200_000,)).start()",
    "starts a thread that kills after the cell": "import threading, os, time\ndef f(): time.sleep(0.02); "
    "os._exit(9)\n"
    "threading.Thread(target=f).start()",
    "starts a thread that interrupts after the cell": "import threading, os, time, signal, _thread\n"
    "def f(): time.sleep(0.02); _thread.interrupt_main()\nthreading.Thread(target=f).start()",
    "a signal by alarm after the cell": "import signal; _ = signal.setitimer(signal.ITIMER_REAL, 0.02)",
    "frees what it does not own": "import ctypes; ctypes.pythonapi.Py_DecRef(ctypes.py_object(None)) ; "
    "ctypes.memset(id(5000) + 8, 0, 8)",
}  # fmt: skip


@pytest.fixture
def others(kernel: Server) -> str:
    """A state that must never notice anything, and one from which the attacks come."""
    if kernel.process.poll() is not None:
        kernel.start()  # an attack before this one has ended the server, and its test has failed
    if "ground" not in kernel.states():
        kernel.ok("import os\nvictim = [1, 2, 3]\ndef check(): return sum(victim)", name="victim")
        kernel.ok("own = [1]", name="ground")
    return "ground"


def well(kernel: Server) -> None:
    """Every other state is intact and the server answers."""
    assert (
        kernel.printed("print(check(), len(victim), os.path.exists('.'))", "victim", timeout_s=20)
        == "6 3 True\n"
    )
    assert kernel.printed("print(own)", "ground", timeout_s=20) == "[1]\n"
    assert kernel.call("GET", "/health", timeout_s=10)[1]["status"] == "ok"


@pytest.mark.parametrize("what", ANY_END)
def test_whatever_it_does_to_itself_nothing_else_is_touched(kernel: Server, others: str, what: str) -> None:
    name = kernel.new_name("hostile-")
    reply = kernel.run(ANY_END[what], others, name, timeout_s=30)
    assert reply["error"] is None or reply["error"]["kind"] in ("user", "died")
    assert (reply["state_name"] == name) == (reply["error"] is None)
    # The attack itself must have run.
    assert reply["error"] is None or reply["error"]["ename"] not in (
        "SyntaxError",
        "IndentationError",
        "NameError",
    )
    well(kernel)
    if reply["error"] is None:
        # The state that came of it can be looked at and run in, or says why not; then it can be deleted.
        assert kernel.call("GET", f"/states/{name}", timeout_s=35)[0] in (200, 409, 504)
        for _ in range(2):
            after = kernel.run("zzz = 1", name, kernel.new_name("after-"), timeout_s=30)
            assert after["error"] is None or after["error"]["kind"] in ("user", "died", "refused")
        assert kernel.delete(name) == 200
        well(kernel)


def test_no_process_of_the_attacks_is_left(kernel: Server, others: str) -> None:
    """This runs after the attacks: what is left is what a fresh kernel has."""
    kernel.reset()
    until(lambda: len(with_marker(kernel.marker)) < 8, 10, "the end of the attackers' processes")


def test_what_is_printed_after_stdout_was_closed_does_not_break_the_next_cell(kernel: Server) -> None:
    state = kernel.ok("import sys; sys.stdout = None")
    assert kernel.run("x = 1", state)["error"] is None


def test_a_cell_that_writes_to_a_closed_descriptor_1_gets_its_error(kernel: Server) -> None:
    assert kernel.fails("import os; os.close(1); os.write(1, b'x')")["ename"] == "OSError"


def test_output_after_redirecting_descriptor_1_back_is_captured(kernel: Server) -> None:
    code = (
        "import os\nkept = os.dup(1); n = os.open(os.devnull, os.O_WRONLY); _ = os.dup2(n, 1)\n"
        "_ = os.write(1, b'lost'); _ = os.dup2(kept, 1); _ = os.write(1, b'back\\n')"
    )
    assert kernel.printed(code) == "back\n"


def test_a_descriptor_that_was_redirected_in_one_branch_works_in_another(kernel: Server) -> None:
    base = kernel.ok("import os, subprocess")
    kernel.ok("os.dup2(os.open(os.devnull, os.O_WRONLY), 1)", base)
    assert kernel.printed("_ = subprocess.run(['echo', 'hi'])", base) == "hi\n"


def test_forked_children_that_outlive_the_cell_end_with_a_reset(kernel: Server) -> None:
    code = "import os, time\nfor _ in range(5):\n    pid = os.fork()\n    if pid == 0:\n        os.setsid()\n"
    code += "        while True: time.sleep(1000)\n    print(pid)"
    children = {int(pid) for pid in stdout(kernel.run(code)).split()}
    assert len(children) == 5 and children <= set(with_marker(kernel.marker))
    kernel.reset()
    until(lambda: not children & set(with_marker(kernel.marker)), 10, "the children's end")


def test_a_forked_child_that_returns_from_the_cell_is_not_a_second_reply(kernel: Server) -> None:
    reply = kernel.run(
        "import os\npid = os.fork()\nx = 'parent' if pid else 'child'", name="forked", timeout_s=30
    )
    assert reply["error"] is None
    assert kernel.printed("print(x)", "forked") == "parent\n"
    assert kernel.printed("print(1)", "initial") == "1\n"


def test_a_fork_burst_is_survived_and_cleaned_up(kernel: Server, bell: Bell) -> None:
    code = "import os, time\nfor _ in range(200):\n    if os.fork() == 0:\n        while True: time.sleep(1000)\n"
    before = len(with_marker(kernel.marker))
    cell = kernel.begin(f"{code}\n{bell.ring}\nwhile True: pass")
    bell.wait()
    assert len(with_marker(kernel.marker)) >= 200
    well_enough = kernel.printed("print(2)", timeout_s=10)
    assert well_enough == "2\n"
    kernel.interrupt(cell.exec_id)
    assert cell.reply(20)["error"]["kind"] == "interrupted"
    until(lambda: len(with_marker(kernel.marker)) <= before + 3, 20, "the children's end")


def test_a_cell_cannot_reach_the_server_by_its_pid(fresh: Server) -> None:
    """A cell runs as the same user and may kill the server: then everything of it ends, nothing hangs."""
    try:
        fresh.run(f"import os; os.kill({fresh.process.pid}, {int(signal.SIGKILL)})", timeout_s=10)
    except (ConnectionError, OSError, EOFError):
        pass
    fresh.process.wait(10)
    until(lambda: not fresh.left(), 5, "the end of every process")


def test_the_server_has_no_descriptor_more_after_the_attacks(fresh: Server) -> None:
    def once() -> None:
        for code in (
            "import os; os.closerange(0, 65536)",
            "import os; os._exit(1)",
            "import sys; sys.stdout.close()",
        ):
            fresh.run(code, timeout_s=20)
        fresh.reset()

    once()
    before = until(lambda: open_descriptors(fresh.process.pid), 5)
    for _ in range(5):
        once()
    until(lambda: open_descriptors(fresh.process.pid) <= before + 5, 10, "the descriptors' return")


def test_strange_variables_do_not_break_the_description(kernel: Server) -> None:
    state = kernel.ok(ANY_END["variables with strange names"])
    status, body = kernel.call("GET", f"/states/{state}")
    assert status == 200 and json.dumps(body)
