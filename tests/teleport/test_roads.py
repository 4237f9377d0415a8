"""What is the same on the road to every kind of place: streams, bytes, exit codes, signals, ends.

The program that travels is a text (see plain_envelope), so that nothing here depends on capture.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import signal
import subprocess
from typing import Any

import pytest

WAIT_FOR_CTRL_C = """
import sys, time
try:
    print("ready", flush=True)
    while True:
        time.sleep(60)
except KeyboardInterrupt:
    print("interrupted", flush=True)
    sys.exit(9)
"""


def test_the_program_runs_there_and_its_exit_code_is_ours(road: Any) -> None:
    done = road.run("import sys; print('there', len(data)); print('aside', file=sys.stderr); sys.exit(7)")
    assert (done.stdout, done.stderr, done.returncode) == (b"there 10\n", b"aside\n", 7)


def test_a_program_that_ends_well_ends_with_0(road: Any) -> None:
    assert road.run("pass").returncode == 0


def test_an_uncaught_exception_is_told_on_standard_error(road: Any) -> None:
    done = road.run("1 / 0")
    assert done.returncode == 1
    assert b"ZeroDivisionError" in done.stderr


def test_a_program_that_a_signal_ended_ends_us_by_the_same_signal(road: Any) -> None:
    done = road.run("import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    assert done.returncode == -signal.SIGKILL


def test_every_byte_of_the_envelope_arrives(road: Any) -> None:
    size = 9_000_001
    done = road.run("import hashlib; print(hashlib.sha256(data).hexdigest())", data_bytes=size)
    assert done.stdout.decode().strip() == hashlib.sha256(b"z" * size).hexdigest()


def test_every_byte_of_standard_input_and_output_passes(road: Any) -> None:
    told = bytes(range(256)) * 12_000 + b"the end, without a newline"
    echo = "import shutil, sys; shutil.copyfileobj(sys.stdin.buffer, sys.stdout.buffer); sys.stdout.flush()"
    done = road.run(echo, stdin=told)
    assert len(done.stdout) == len(told)
    assert done.stdout == told


def test_input_that_the_program_does_not_take_holds_nothing_up(road: Any) -> None:
    done = road.run("import sys; print(sys.stdin.readline()); sys.exit(3)", stdin=b"line\n" * 200_000)
    assert (done.stdout, done.returncode) == (b"line\n\n", 3)


def test_what_is_typed_is_answered_line_by_line(road: Any, line_of: Any) -> None:
    process = road.start("for line in __import__('sys').stdin: print('got', line.strip(), flush=True)")
    for word in (b"one", b"two"):
        process.stdin.write(word + b"\n")
        process.stdin.flush()
        assert line_of(process) == b"got " + word + b"\n"
    process.stdin.close()
    assert process.wait(20) == 0


def test_ctrl_c_is_a_keyboard_interrupt_there(road: Any, line_of: Any) -> None:
    process = road.start(WAIT_FOR_CTRL_C)
    assert line_of(process) == b"ready\n"
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to all of the foreground
    assert line_of(process) == b"interrupted\n"
    assert process.wait(20) == 9


def _fill(pipe: int) -> None:
    """Write until nothing more goes in."""
    os.set_blocking(pipe, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(pipe, b"x" * 4096)


def test_ctrl_c_comes_through_while_input_waits_that_nobody_takes(road: Any, line_of: Any) -> None:
    process = road.start(WAIT_FOR_CTRL_C)
    assert line_of(process) == b"ready\n"
    _fill(process.stdin.fileno())
    os.killpg(process.pid, signal.SIGINT)
    assert line_of(process) == b"interrupted\n"
    assert process.wait(20) == 9


def test_a_signal_to_us_is_the_programs(road: Any, line_of: Any) -> None:
    process = road.start(
        """
import signal, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit(11))
print("ready", flush=True)
signal.pause()
"""
    )
    assert line_of(process) == b"ready\n"
    process.terminate()
    assert process.wait(20) == 11


def test_a_sender_that_is_killed_leaves_no_program_behind(away: Any, line_of: Any, gone: Any) -> None:
    process = away.start("import os, time; print(os.getpid(), flush=True); time.sleep(1000)")
    there = int(line_of(process))
    process.kill()
    gone(there)


def test_standard_output_that_nobody_reads_ends_the_program(away: Any, line_of: Any) -> None:
    process = away.start("while True: print('y' * 1000)")
    line_of(process)
    process.stdout.close()
    assert process.wait(30) != 0


def test_what_a_program_leaves_running_does_not_hold_us_up(away: Any, line_of: Any, gone: Any) -> None:
    done = away.run(
        "import subprocess; print(subprocess.Popen(['sleep', '30'], stdin=-3).pid)"  # it keeps our streams open
    )
    assert done.returncode == 0
    os.kill(int(done.stdout), signal.SIGKILL)


def test_no_descriptor_and_no_child_of_the_teleport_is_left_in_the_program(road: Any) -> None:
    done = road.run(
        """
import os
kinds = []
for fd in map(int, os.listdir("/proc/self/fd")):
    if fd > 2 and os.path.lexists(f"/proc/self/fd/{fd}"):
        kinds.append(os.readlink(f"/proc/self/fd/{fd}"))
print([kind for kind in kinds if not kind.startswith("/dev/")])
try:
    os.waitpid(-1, os.WNOHANG)
except ChildProcessError:
    print("no child")
"""
    )
    assert done.stdout == b"[]\nno child\n"


def test_encodings_are_ours(road: Any) -> None:
    road.environment["PYTHONIOENCODING"] = "latin-1"
    assert road.run("print('é')").stdout == b"\xe9\n"


def test_our_options_are_those_of_the_interpreter_there(shell: Any) -> None:
    command = shell.command("import sys; print(sys.flags.optimize, sys.flags.utf8_mode, sys.warnoptions)")
    command[1:1] = ["-O", "-X", "utf8", "-W", "error::UserWarning"]
    done = subprocess.run(command, env=shell.environment, capture_output=True, check=True)
    assert done.stdout == b"1 1 ['error::UserWarning']\n"


def test_the_working_directory_is_where_the_shell_starts(shell: Any, tmp_path: Any) -> None:
    assert shell.run("import os; print(os.getcwd())", cwd=tmp_path).stdout.decode().strip() == str(tmp_path)


def test_closed_standard_streams_are_closed_to_nobodys_harm(shell: Any) -> None:
    closed = ["sh", "-c", 'exec "$@" <&- 2>&-', "sh"]
    command = [*closed, *shell.command("import sys; print(repr(sys.stdin.read())); raise SystemExit(6)")]
    done = subprocess.run(command, env=shell.environment, stdout=subprocess.PIPE, timeout=60, check=False)
    assert (done.stdout, done.returncode) == (b"''\n", 6)


NOISY = ["sh", "-c", 'echo "Welcome to $(uname)."; eval "$0"']


@pytest.mark.parametrize("options", [{}, {"each": [1]}, {"stay": True, "then": "copies.wait()"}])
def test_what_a_login_script_prints_is_no_part_of_it(shell: Any, options: Any) -> None:
    assert shell.run("print('there')", to=NOISY, **options).stdout == b"there\n"


def test_a_command_line_of_ssh_is_a_road_too(request: Any, shell: Any) -> None:
    _, tools = request.getfixturevalue("ssh_place")
    shell.environment["PATH"] = f"{tools}:{shell.environment['PATH']}"
    done = shell.run(
        "import sys; print(sys.stdin.read()); sys.exit(3)", stdin=b"in", to=["ssh", "-T", "here"]
    )
    assert (done.stdout, done.returncode) == (b"in\n", 3)


@pytest.mark.parametrize("name", ["dash", "bash", "busybox", "zsh", "fish", "tcsh"])
def test_every_shell_understands_the_command(shell: Any, name: str) -> None:
    if shutil.which(name) is None:
        pytest.skip(f"no {name} here")
    words = ["busybox", "sh", "-c"] if name == "busybox" else [name, "-c"]
    assert shell.run("print('there')", to=words).stdout == b"there\n"
