"""A program that goes on elsewhere finds a terminal there, if it had one here."""

from __future__ import annotations

import itertools
import signal
from collections.abc import Iterator
from typing import Any

import pytest
from screen import Screen

TALK = """
import os, signal, sys, time
size = lambda *_: print("size", *os.get_terminal_size(), flush=True)
signal.signal(signal.SIGWINCH, size)
print("terminals", [os.isatty(fd) for fd in range(3)], flush=True)
size()
while True:
    try:
        word = input("say: ")
        print("heard", word.upper(), flush=True)
        if word == "go":
            sys.exit(5)
    except KeyboardInterrupt:
        print("interrupted", flush=True)
"""


@pytest.fixture
def talk(road: Any) -> Iterator[Screen]:
    screen = Screen(road.command(TALK), road.environment)
    yield screen
    screen.close()


def test_it_is_a_terminal_of_the_same_size_and_follows_ours(talk: Screen) -> None:
    talk.wait_for(r"terminals \[True, True, True\]")
    talk.wait_for("size 77 33")
    talk.wait_for("say: ")
    sizes = itertools.cycle([(44, 100), (45, 100)])
    talk.repeat(lambda: talk.resize(*next(sizes)), "size 100 4[45]")


def test_what_is_typed_is_echoed_once_and_edited_there(talk: Screen) -> None:
    talk.wait_for("say: ")
    talk.type("hullo\x7f\x7f\x7fllo\r")
    talk.wait_for("heard HULLO")
    assert talk.shown.count("hul") == 1


def test_ctrl_c_interrupts_the_program_and_not_the_line(talk: Screen) -> None:
    talk.wait_for("say: ")
    talk.repeat(lambda: talk.type("\x03"), "interrupted")
    talk.wait_for("say: ")
    talk.type("go\r")
    talk.wait_for("heard GO")
    assert talk.process.wait(20) == 5


def test_ctrl_backslash_ends_it_as_it_would_here(talk: Screen) -> None:
    talk.wait_for("say: ")
    talk.type("\x1c")
    assert talk.process.wait(20) == -signal.SIGQUIT


def test_our_terminal_is_afterwards_as_it_was(road: Any) -> None:
    screen = Screen(road.command("print('done')"), road.environment)
    try:
        before = screen.modes()
        screen.wait_for("done")
        assert screen.process.wait(20) == 0
        assert screen.modes() == before
    finally:
        screen.close()


def test_standard_error_that_is_no_terminal_stays_apart(shell: Any, tmp_path: Any) -> None:
    command = shell.command("import os; print([os.isatty(fd) for fd in range(3)]); os.write(2, b'aside')")
    screen = Screen(
        ["sh", "-c", 'out=$1; shift; exec "$@" 2>"$out"', "sh", str(tmp_path / "err"), *command],
        shell.environment,
    )
    try:
        screen.wait_for(r"\[True, True, False\]")
        assert screen.process.wait(20) == 0
        assert (tmp_path / "err").read_bytes() == b"aside"
    finally:
        screen.close()


def test_output_that_goes_to_a_pipe_goes_to_a_pipe_there(shell: Any) -> None:
    command = shell.command("import os; print([os.isatty(fd) for fd in range(2)])")
    screen = Screen(["sh", "-c", '"$@" | cat', "sh", *command], shell.environment)
    try:
        screen.wait_for(r"\[False, False\]")
    finally:
        screen.close()


def test_a_terminal_that_is_gone_ends_the_program(away: Any, gone: Any) -> None:
    screen = Screen(
        away.command("import os, time; print('pid', os.getpid(), flush=True); time.sleep(1000)"),
        away.environment,
    )
    there = int(screen.wait_for(r"pid (\d+)")[1])
    screen.close()
    gone(there)
