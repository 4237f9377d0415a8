"""A state's children are the user's own, and its memory is shared with its ancestors."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from support.processes import proportional_bytes, until, with_marker
from support.server import Server

MIB = 1 << 20


@pytest.mark.parametrize("where", ["the newest state", "an older state"])
def test_os_wait_sees_no_children_that_are_not_the_users(kernel: Server, where: str) -> None:
    base = kernel.ok("import os")
    if where == "an older state":
        kernel.ok("x = 1", base)
    code = "try: print(os.wait())\nexcept ChildProcessError: print('none')"
    state = base
    for _ in range(4):
        assert kernel.printed(code, state) == "none\n"
        state = kernel.ok("x = 1", state)


def test_a_return_code_is_the_childs_own(kernel: Server) -> None:
    state = kernel.ok("import subprocess")
    for _ in range(3):
        state = kernel.ok(
            "c = [subprocess.run(['sh', '-c', f'exit {n}']).returncode for n in range(5)]", state
        )
        assert kernel.printed("print(c)", state) == "[0, 1, 2, 3, 4]\n"


def test_a_child_that_was_started_in_an_earlier_cell_is_waited_for_in_the_tip(kernel: Server) -> None:
    child = "subprocess.Popen(['sh', '-c', 'read x; exit 7'], stdin=subprocess.PIPE)"
    state = kernel.ok("x = 1", kernel.ok(f"import subprocess\np = {child}"))
    code = "_ = p.stdin.write(b'\\n'); p.stdin.flush(); print(p.wait(timeout=30))"
    assert kernel.printed(code, state) == "7\n"


def test_a_childs_input_ends_when_the_tip_closes_it(kernel: Server) -> None:
    """The states at rest hold copies of the pipe; a straight-line notebook must not hang on them."""
    child = "subprocess.Popen(['cat'], stdin=subprocess.PIPE, stdout=subprocess.PIPE)"
    state = kernel.ok("x = 1", kernel.ok(f"import subprocess\np = {child}"))
    assert kernel.printed("print(p.communicate(b'hi', timeout=5)[0])", state) == "b'hi'\n"


def test_os_wait_returns_the_users_child(kernel: Server) -> None:
    state = kernel.ok("import os")
    state = kernel.ok("x = 1", state)
    code = (
        "pid = os.fork()\nif pid == 0: os._exit(5)\nfound = os.wait(); print(found[0] == pid, found[1] >> 8)"
    )
    assert kernel.printed(code, state) == "True 5\n"


def test_a_handler_of_sigchld_is_called_for_the_users_children_only(kernel: Server) -> None:
    state = kernel.ok(
        "import signal, os\nhits = []\n_ = signal.signal(signal.SIGCHLD, lambda *a: hits.append(1))"
    )
    state = kernel.ok("x = 1", state)
    state = kernel.ok("x = 2", state)
    assert kernel.printed("print(hits)", state) == "[]\n"


@pytest.mark.parametrize("disposition", ["SIG_IGN", "SIG_DFL"])
def test_a_disposition_of_sigchld_is_kept(kernel: Server, disposition: str) -> None:
    state = kernel.ok(f"import signal\n_ = signal.signal(signal.SIGCHLD, signal.{disposition})")
    state = kernel.ok("x = 1", state)
    assert kernel.printed("print(signal.getsignal(signal.SIGCHLD).name)", state) == f"{disposition}\n"


HOOKS = "import os\nhooks = []\nos.register_at_fork(before=lambda: hooks.append(1))"


def test_hooks_of_the_users_at_fork_see_the_users_forks(kernel: Server) -> None:
    state = kernel.ok(HOOKS)
    fork = "pid = os.fork()\nif pid == 0: os._exit(0)\n_ = os.waitpid(pid, 0)"
    code = f"n = len(hooks)\n{fork}\nprint(len(hooks) - n)"
    assert [kernel.printed(code, state) for _ in range(2)] == ["1\n"] * 2


def test_hooks_of_the_users_at_fork_do_not_change_a_state_at_rest(kernel: Server) -> None:
    state = kernel.ok(HOOKS)
    assert {kernel.printed("print(len(hooks))", state) for _ in range(4)} == {"0\n"}


def test_a_branch_that_allocates_much_shares_the_bases_memory(kernel: Server) -> None:
    """Collections of garbage in a branch would touch, and so copy, each object of the base."""
    kernel.ok("base = [[i] for i in range(1_200_000)]", name="heap")
    branch = (
        "more = [[i] for i in range(600_000)]\nimport gc\nn = sum(s['collections'] for s in gc.get_stats())"
    )
    kernel.ok("x = 1", "heap")
    base_bytes = max(resident_bytes(pid) for pid in with_marker(kernel.marker))
    before = proportional_total(kernel)
    kernel.ok(branch, "heap", "branch")
    assert int(kernel.printed("print(n)", "branch")) > 0
    assert base_bytes > 64 * MIB
    grown = proportional_total(kernel) - before
    print(f"grown by {grown / base_bytes:.2f} of the base's {base_bytes / MIB:.0f} MiB")
    assert grown < 0.7 * base_bytes  # 0.45 of it is the branch's own


def resident_bytes(pid: int) -> int:
    """What is in memory of a process; 0 of one that has just ended."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError):
        return 0


_STILL = 8
"""So many samples in a row that are the same: the last of them are taken some ten milliseconds apart."""


def proportional_total(kernel: Server) -> int:
    """The memory of all processes of a server, once none is made, ends or grows: what one process shares with another
    is told by both, one after the other."""
    samples: list[dict[int, int]] = []

    def is_still() -> bool:
        samples.append({pid: proportional_bytes(pid) for pid in with_marker(kernel.marker)})
        last = samples[-_STILL:]
        sums = [sum(sample.values()) for sample in last]
        same = all(sample.keys() == last[0].keys() for sample in last) and max(sums) - min(sums) < MIB
        return len(last) == _STILL and same

    kernel.describe("heap")
    until(is_still, 30, "moment of rest")
    return sum(samples[-1].values())


def test_a_state_that_changes_little_costs_little(kernel: Server) -> None:
    kernel.ok("base = bytearray(300 << 20)", name="large")
    kernel.ok("x = 1", "large")
    kernel.ok("x = 2", "large", "small-change")
    memory = until(lambda: kernel.node("small-change", memory=True)["memory"], 10, "the memory")
    assert memory["private_bytes"] < 30 * MIB


def test_garbage_from_before_the_freeze_is_collected_in_a_branch(kernel: Server) -> None:
    setup = "import gc, weakref\nclass N: pass\nn = N(); n.me = n; w = weakref.ref(n)\ndel n"
    base = kernel.ok(f"import gc; gc.disable()\n{setup}")
    for _ in range(3):
        assert (
            kernel.printed("print(w() is None); _ = gc.collect(); print(w() is None)", base)
            == "False\nTrue\n"
        )


def test_a_cycle_is_collected_in_the_next_cell_of_the_tip(kernel: Server) -> None:
    state = kernel.ok("import gc, weakref\nclass N: pass\nn = N(); n.me = n; w = weakref.ref(n)")
    state = kernel.ok("del n", state)
    state = kernel.ok("_ = gc.collect()", state)
    assert kernel.printed("print(w() is None)", state) == "True\n"


def test_the_users_settings_of_gc_are_kept(kernel: Server) -> None:
    state = kernel.ok("import gc\ngc.disable(); gc.set_threshold(123, 4, 5)")
    kernel.ok("x = 1", state)
    assert kernel.printed("print(gc.isenabled(), gc.get_threshold())", state) == "False (123, 4, 5)\n"


def test_the_memory_of_a_deleted_state_comes_back(kernel: Server) -> None:
    def used_bytes() -> int:
        return sum(proportional_bytes(pid) for pid in with_marker(kernel.marker))

    before = used_bytes()
    kernel.ok("x = bytearray(b'x') * (200 << 20)", name="grew")
    until(lambda: used_bytes() > before + 150 * MIB, 15, "the memory's use")
    kernel.delete("grew")
    until(lambda: used_bytes() < before + 50 * MIB, 15, "the memory's return")
