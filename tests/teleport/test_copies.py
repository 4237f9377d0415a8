"""Several copies at once (`each`), and a sender that goes on (`stay`)."""

from __future__ import annotations

import signal
from typing import Any

import pytest


def test_each_copy_has_its_item_and_lines_are_never_mixed(road: Any) -> None:
    program = "for n in range(300): print(f'{item}:' + 'abcdefgh' * 20, flush=True)"
    done = road.run(program, each=list(range(8)))
    lines = done.stdout.decode().splitlines()
    assert sorted(lines) == sorted([f"{item}:" + "abcdefgh" * 20 for item in range(8)] * 300)
    assert done.returncode == 0


def test_the_exit_code_is_the_first_that_is_not_0(shell: Any) -> None:
    assert shell.run("raise SystemExit([0, 5, 9][item])", each=[1, 2, 3]).returncode == 5


def test_a_copy_that_a_signal_ended_counts_as_128_and_its_number(shell: Any) -> None:
    done = shell.run("import os; item and os.kill(os.getpid(), 15)", each=[1, 2])
    assert done.returncode == 128 + 15


def test_copies_have_no_standard_input(shell: Any) -> None:
    assert (
        shell.run("print(repr(__import__('sys').stdin.read()))", stdin=b"words\n", each=[1]).stdout == b"''\n"
    )


def test_ctrl_c_reaches_all_copies(shell: Any, line_of: Any) -> None:
    program = """
import time
try:
    print("ready", flush=True)
    time.sleep(1000)
except KeyboardInterrupt:
    raise SystemExit(3)
"""
    process = shell.start(program, each=[1, 2, 3])
    for _ in range(3):
        assert line_of(process) == b"ready\n"
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 3


def test_if_one_copy_cannot_be_loaded_none_begins(shell: Any) -> None:
    done = shell.run("# fails to load\nprint('ran')", each=[1, 2])
    assert b"stayed" in done.stdout
    assert b"ran" not in done.stdout


@pytest.mark.parametrize("code", [0, 6])
def test_a_sender_that_stays_gets_a_handle_with_the_copys_exit_code(road: Any, code: int) -> None:
    done = road.run(
        f"print('copy'); raise SystemExit({code})",
        stay=True,
        then="print('sender', copies.wait(), copies.returncode, copies.poll())",
    )
    assert sorted(done.stdout.splitlines()) == [b"copy", f"sender {code} {code} {code}".encode()]
    assert done.returncode == 41


def test_a_sender_that_stays_keeps_its_standard_input(shell: Any) -> None:
    done = shell.run(
        "print('copy', repr(input.__self__ and __import__('sys').stdin.read()))",
        stdin=b"mine\n",
        stay=True,
        then="copies.wait(); print('sender', sys.stdin.read())",
    )
    assert done.stdout == b"copy ''\nsender mine\n\n"


def test_a_handle_is_a_context_manager_that_waits(shell: Any) -> None:
    done = shell.run(
        "print('copy')",
        stay=True,
        then="\nwith copies as copy:\n  print(copy.name)\nprint(copies.returncode)",
    )
    assert done.stdout.splitlines()[-1] == b"0"


def test_a_copy_can_be_killed(road: Any) -> None:
    done = road.run(
        "import os, time; print(os.getpid(), flush=True); time.sleep(1000)",
        stay=True,
        then="assert copies.poll() is None; copies.kill(); print('ended', copies.wait())",
    )
    assert done.stdout.splitlines()[-1] == b"ended -9"


def test_several_that_stay_give_several_handles(shell: Any) -> None:
    done = shell.run(
        "raise SystemExit(item + 1)", stay=True, each=[1, 2], then="print([copy.wait() for copy in copies])"
    )
    assert done.stdout == b"[1, 2]\n"


def test_copies_that_stay_leave_no_descriptor_open_in_the_sender(shell: Any) -> None:
    count = "len(os.listdir('/proc/self/fd'))"
    done = shell.run("pass", stay=True, each=[1, 2, 3], then=f"[c.wait() for c in copies]; print({count})")
    assert int(done.stdout) <= 5
