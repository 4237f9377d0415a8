"""`still run` is `python`: what a program says, sees and comes to is the same; and what is said of its captures."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from run.running import STILL, Ended, captured, environment, plainly, resumed, run, started, until

SAME = {
    "exit_with_a_number": "import sys; print('x'); sys.exit(3)",
    "exit_with_words": "import sys; sys.exit('no')",
    "exit_with_nothing": "raise SystemExit",
    "exception_uncaught": """
def f(n):
    try:
        return 1 / n
    except ZeroDivisionError as error:
        raise ValueError(n) from error
def g():
    f(0)
g()
""",
    "exception_with_a_hook": "import sys\nsys.excepthook = lambda *facts: print('mine', facts[0])\n1 / 0",
    "exception_with_a_broken_hook": "import sys\nsys.excepthook = lambda *facts: nobody\n1 / 0",
    "syntax_error": "x = (1,\ny = 2",
    "keyboard_interrupt": "print('x'); raise KeyboardInterrupt",
    "atexit": "import atexit; atexit.register(print, 'end'); atexit.register(print, 'before'); print('x')",
    "thread_after_main": """
import threading, time
def work():
    threading.main_thread().join()
    print('still here', threading.enumerate()[0])
threading.Thread(target=work).start()
print('main ends')
""",
    "what_a_program_sees": """
import os, signal, sys, threading
print(sys.argv, sys.orig_argv[1:], sys.path[0], sys.flags)
print(list(vars()), __name__, __file__, __spec__, __package__, type(__loader__), __builtins__, __doc__)
print(sys.modules['__main__'].__dict__ is globals(), sys._getframe().f_back)
print(threading.enumerate(), threading.active_count(), signal.pthread_sigmask(signal.SIG_BLOCK, []))
print(os.open(__file__, os.O_RDONLY), [signal.getsignal(n) for n in signal.valid_signals()])
print(os.getcwd(), sorted(set(os.environ) - {'LINES', 'COLUMNS'}))
""",
    "forks": """
import os
pid = os.fork()
if pid == 0:
    os._exit(7)
print(os.waitstatus_to_exitcode(os.wait()[1]))
""",
    "stdin": "import sys\nprint(sys.stdin.readline(), input(), sys.stdin.read())",
}


def normal(text: str) -> str:
    """Without addresses of objects."""
    import re

    return re.sub(r"0x[0-9a-f]+|\b\d{14,}\b", "ADDRESS", text)


@pytest.mark.parametrize("name", sorted(SAME))
def test_a_program_says_and_comes_to_the_same(name: str, tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(SAME[name])
    given = "one\ntwo\nthree\nfour\n"
    plain = plainly("program.py", "a", "--every", "-b", cwd=tmp_path, given=given)
    ours = captured("program.py", "a", "--every", "-b", cwd=tmp_path, given=given)
    assert normal(ours.stdout) == normal(plain.stdout)
    assert normal(ours.stderr) == normal(plain.stderr)
    assert ours.returncode == plain.returncode


def test_a_script_in_another_folder_and_behind_a_link_is_found_as_python_does(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "program.py").write_text(
        "import sys, beside; print(__file__, sys.argv, sys.path[0])"
    )
    (tmp_path / "real" / "beside.py").write_text("")
    (tmp_path / "link.py").symlink_to("real/program.py")
    for script in ("real/program.py", "link.py"):
        assert captured(script, cwd=tmp_path) == plainly(script, cwd=tmp_path)


@pytest.mark.parametrize(
    "arguments", [("-m", "pack.tool", "-x"), ("-m", "pack", "y"), ("-m", "pack.none"), ("pack",)]
)
def test_a_module_and_a_folder_run_as_python_runs_them(arguments: tuple[str, ...], tmp_path: Path) -> None:
    pack = tmp_path / "pack"
    pack.mkdir()
    (pack / "__init__.py").write_text("")
    says = "import sys\nprint(__name__, __file__, __package__, __spec__ and __spec__.name, sys.argv, sys.path[0])\n"
    (pack / "tool.py").write_text(says + "1 / 0")
    (pack / "__main__.py").write_text(says)
    plain, ours = plainly(*arguments, cwd=tmp_path), captured(*arguments, cwd=tmp_path)
    assert ours == plain


def test_a_script_that_is_not_there_is_an_error_of_ours(tmp_path: Path) -> None:
    done = captured("none.py", cwd=tmp_path)
    assert done == ("", "still: there is no file none.py. Name a script, or a module with -m.\n", 2)


# ---- What the program must not see --------------------------------------------------------------------------

UNTIL_CAPTURED = """
import os, signal, sys
seen = []
signal.signal(signal.SIGCHLD, lambda *facts: seen.append(facts[0]))
first = None
while True:
    try:
        inode = os.stat(sys.argv[1]).st_ino
    except FileNotFoundError:
        continue
    if first is None:
        first = inode
    elif inode != first:
        break
try:
    print(seen, os.wait())
except ChildProcessError:
    print(seen, 'no child')
"""


def test_the_program_gets_no_child_and_no_sigchld_of_a_capture(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(UNTIL_CAPTURED)
    done = captured("program.py", "program.py.snapshot", cwd=tmp_path)
    assert done == ("[] no child\n", "", 0)


def test_what_was_not_flushed_comes_out_once_in_each_world(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(
        "import os, sys\nprint('before', end=' ')\nprint('wrong', end=' ', file=sys.stderr)\n"
        "while not os.path.exists(sys.argv[1]): pass\nprint('after')\n"
    )
    # Output that no newline ends, and a pipe: nothing of it is written before the end.
    with started("run", "--every", "0.05s", "--quiet", "program.py", "seen", cwd=tmp_path) as process:
        until((tmp_path / "program.py.snapshot").exists, "snapshot")
        (tmp_path / "kept").hardlink_to(tmp_path / "program.py.snapshot")
        (tmp_path / "seen").touch()
        stdout, stderr = process.communicate()
        assert (stdout, process.returncode) == ("before after\n", 0)
        assert stderr == "wrong "
    again = resumed(tmp_path / "kept", "--once", cwd=tmp_path)
    assert again.stdout == "before after\n" and again.returncode == 0


# ---- Signals ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_that_ends_the_program_captures_it_first(number: signal.Signals, tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(
        "import os, sys\nprint('begin', flush=True)\nwhile not os.path.exists('go'): pass\nprint('end')\n"
    )
    name = signal.Signals(number).name
    with started("run", "--every", "never", "--on", name, "program.py", cwd=tmp_path) as process:
        assert process.stdout is not None and process.stdout.readline() == "begin\n"
        process.send_signal(number)
        assert process.wait(60) == -number
    (tmp_path / "go").touch()
    again = resumed(tmp_path / "program.py.snapshot", cwd=tmp_path)
    assert (again.stdout, again.returncode) == ("end\n", 0)
    assert not (tmp_path / "program.py.snapshot").exists()


def test_after_a_signal_that_does_not_end_it_the_program_goes_on(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(
        "import os, sys\nprint('begin', flush=True)\nwhile not os.path.exists('go'): pass\nprint('end')\n"
    )
    snapshot = tmp_path / "program.py.snapshot"
    with started("run", "--every", "never", "--on", "usr1", "program.py", cwd=tmp_path) as process:
        assert process.stdout is not None and process.stdout.readline() == "begin\n"
        process.send_signal(signal.SIGUSR1)
        until(snapshot.exists, "snapshot")
        snapshot.rename(tmp_path / "first")
        process.send_signal(signal.SIGUSR1)
        until(snapshot.exists, "snapshot")
        (tmp_path / "go").touch()
        assert process.wait(60) == 0
    assert resumed(tmp_path / "first", "--once", cwd=tmp_path)[::2] == ("end\n", 0)


def test_a_signal_to_a_process_that_the_program_forked_ends_only_that(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(
        "import os, signal\npid = os.fork()\n"
        "if pid == 0:\n    signal.pause()\n"
        "os.kill(pid, signal.SIGTERM)\nprint(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))\n"
    )
    done = captured("program.py", cwd=tmp_path, options=("--every", "never", "--on", "SIGTERM"))
    assert (done.stdout, done.returncode) == ("-15\n", 0)


# ---- The file -----------------------------------------------------------------------------------------------

WAITS = "import os, sys\nwhile not os.path.exists('go'): pass\nsys.exit(int(sys.argv[1]))\n"


UNTIL_GO = "import os\nwhile not os.path.exists('go'): pass\nfor n in range(3_000_000): pass\nprint('end')\n"
"""Behind what has been said it could be said again."""


def until_said(tmp_path: Path, *options: str) -> Ended:
    """Run the program until something is said of its captures, and then to its end."""
    with started("run", "--every", "0.02s", *options, "program.py", cwd=tmp_path) as process:
        assert process.stderr is not None
        said = process.stderr.readline()
        (tmp_path / "go").touch()
        stdout, stderr = process.communicate()
        return Ended(stdout, said + stderr, process.returncode)


def crashed(tmp_path: Path, *arguments: str) -> None:
    """Run the program in `tmp_path`, and kill it once it was captured."""
    with started("run", "--every", "0.05s", "--quiet", "program.py", *arguments, cwd=tmp_path) as process:
        until((tmp_path / "program.py.snapshot").exists, "snapshot")
        process.kill()


def test_a_snapshot_of_an_earlier_run_is_put_aside_and_said(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(WAITS)
    crashed(tmp_path, "0")
    (tmp_path / "go").touch()
    done = captured("program.py", "0", cwd=tmp_path)
    assert "an earlier run did not end" in done.stderr
    assert "still resume program.py.snapshot.old" in done.stderr
    assert resumed(tmp_path / "program.py.snapshot.old", cwd=tmp_path) == ("", "", 0)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["go", "program.py"]


def test_a_program_that_ends_badly_keeps_its_snapshot_and_says_so(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(WAITS)
    with started("run", "--every", "0.05s", "program.py", "3", cwd=tmp_path) as process:
        until((tmp_path / "program.py.snapshot").exists, "snapshot")
        (tmp_path / "go").touch()
        _, stderr = process.communicate()
    assert "captured in program.py.snapshot, from now on every 0.05 s" in stderr
    assert "ended with exit code 3; its last snapshot stays: still resume program.py.snapshot" in stderr
    assert resumed(tmp_path / "program.py.snapshot", "--once", cwd=tmp_path).returncode == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["go", "program.py", "program.py.snapshot"]


def test_two_programs_in_a_row_leave_nothing(tmp_path: Path) -> None:
    (tmp_path / "go").touch()
    (tmp_path / "program.py").write_text(WAITS)
    for _ in range(2):
        assert captured("program.py", "0", cwd=tmp_path) == ("", "", 0)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["go", "program.py"]


def test_a_file_that_is_no_snapshot_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text("print('x')")
    (tmp_path / "notes").write_text("mine")
    done = captured("program.py", cwd=tmp_path, options=("--to", "notes"))
    assert done.returncode == 2 and "is no snapshot: it stays" in done.stderr
    assert (tmp_path / "notes").read_text() == "mine"


@pytest.mark.parametrize("place", ["nowhere/x", "/dev/full/x", "/proc/x"])
def test_where_the_file_cannot_be_written_the_program_goes_on_and_it_is_said_once(
    place: str, tmp_path: Path
) -> None:
    (tmp_path / "program.py").write_text(UNTIL_GO)
    done = until_said(tmp_path, "--to", place)
    assert (done.stdout, done.returncode) == ("end\n", 0)
    assert done.stderr.count("cannot write the snapshot") == 1


def test_a_full_disk_is_said_and_the_program_goes_on(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(
        # A limit on the size of files is what a full disk is, to the copy alone.
        "import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        f"data = bytes(range(256)) * 40000\n{UNTIL_GO}"
    )
    done = until_said(tmp_path)
    assert (done.stdout, done.returncode) == ("end\n", 0)
    assert done.stderr.count("\n") == 1 and "cannot write the snapshot" in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["go", "program.py"]


# ---- What is put off ----------------------------------------------------------------------------------------


def test_a_program_within_native_code_is_put_off_and_it_is_said_what_is_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(
        "import signal\n"
        "said = []\n"
        "signal.signal(signal.SIGUSR1, lambda *_: said.append(1))\n"
        "def key(item):\n"
        "    while not said: pass\n"
        "    return item\n"
        "print(sorted([3, 1, 2], key=key))\n"
    )
    with started("run", "--every", "0.1s", "program.py", cwd=tmp_path) as process:
        assert process.stderr is not None
        said = process.stderr.readline()
        process.send_signal(signal.SIGUSR1)
        stdout, stderr = process.communicate()
    assert "could not be captured" in said and "sorted" in said
    assert (stdout, process.returncode) == ("[1, 2, 3]\n", 0)
    assert "could not be captured" not in stderr


def test_a_capture_comes_at_the_next_point_behind_native_code(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(
        "import os, sys, time\n"
        "def key(item):\n"
        "    end = time.monotonic() + 0.005\n"
        "    while time.monotonic() < end: pass\n"
        "    return item\n"
        "while not os.path.exists(sys.argv[1]):\n"
        "    found = sorted([3, 1, 2], key=key)\n"
        "print(found)\n"
    )
    done = captured("program.py", "program.py.snapshot", cwd=tmp_path)
    assert done == ("[1, 2, 3]\n", "", 0)


IN_A_FUNCTION = "import os\ndef main():\n    while not os.path.exists('go'): pass\nmain()\n"
"""Whoever asks for the interpreter is given it within `stat`, where nothing can be captured."""


@pytest.mark.parametrize("program", [("program.py",), ("-m", "program")])
def test_a_program_that_calls_the_kernel_all_the_time_is_captured_and_so_is_a_resumed_one(
    program: tuple[str, ...], tmp_path: Path
) -> None:
    (tmp_path / "program.py").write_text(IN_A_FUNCTION)
    snapshot = tmp_path / "at.snapshot"
    with started(
        "run", "--every", "0.05s", "--quiet", "--to", "at.snapshot", *program, cwd=tmp_path
    ) as process:
        until(snapshot.exists, "snapshot", process)
    first = snapshot.stat().st_ino
    with started("resume", "at.snapshot", cwd=tmp_path) as process:
        until(lambda: snapshot.stat().st_ino != first, "capture of the resumed program", process)


SUMS = "def main():\n    while True: sum(number * number for number in range(10_000))\nmain()\n"


def test_a_resumed_program_is_captured_between_two_native_calls(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(SUMS)
    crashed(tmp_path)
    snapshot = tmp_path / "program.py.snapshot"
    first = snapshot.stat().st_ino
    with started("resume", "program.py.snapshot", cwd=tmp_path) as process:
        until(lambda: snapshot.stat().st_ino != first, "capture of the resumed program", process)


def test_a_socket_is_named_once_and_the_program_goes_on(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(f"import socket\nline = socket.socket()\n{UNTIL_GO}")
    done = until_said(tmp_path)
    assert (done.stdout, done.returncode) == ("end\n", 0)
    assert done.stderr.count("line") == 1 and "socket" in done.stderr


def test_input_is_passed_through_while_the_program_is_captured(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(
        "import os, sys\nfirst = input()\nprint(first, flush=True)\n"
        "while not os.path.exists('program.py.snapshot'): pass\nprint(input())"
    )
    command = [*STILL, "run", "--every", "0.05s", "--quiet", "program.py"]
    process = subprocess.Popen(
        command, cwd=tmp_path, env=environment(), text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write("one\n")
    process.stdin.flush()
    assert process.stdout.readline() == "one\n"
    stdout, _ = process.communicate("two\n")
    assert (stdout, process.returncode) == ("two\n", 0)


def test_a_program_whose_main_thread_is_over_keeps_its_exit_code(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(
        "import os, sys, threading\n"
        "def work():\n"
        "    threading.main_thread().join()\n"
        "    print('main is over', flush=True)\n"
        "    while not os.path.exists('go'): pass\n"
        "    print('end')\n"
        "threading.Thread(target=work).start()\n"
        "sys.exit(3)\n"
    )
    snapshot = tmp_path / "program.py.snapshot"
    with started("run", "--every", "never", "--on", "USR1", "--quiet", "program.py", cwd=tmp_path) as process:
        assert process.stdout is not None and process.stdout.readline() == "main is over\n"
        process.send_signal(signal.SIGUSR1)
        until(snapshot.exists, "snapshot")
    (tmp_path / "go").touch()
    assert resumed(snapshot, "--once", cwd=tmp_path) == ("end\n", "", 3)


# ---- The command line ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--every", "soon"), "no duration"),
        (("--every", "0.0001s"), "too short"),
        (("--every", "never"), "would never capture"),
        (("--on", "SIGKILL"), "no signal that a program can hear"),
    ],
)
def test_what_makes_no_sense_is_refused(options: tuple[str, ...], says: str, tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text("")
    done = captured("program.py", cwd=tmp_path, options=options)
    assert done.returncode == 2 and says in done.stderr


def test_doctor_shows_a_snapshot_and_whether_it_fits_here(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(WAITS)
    crashed(tmp_path, "0")
    snapshot = tmp_path / "program.py.snapshot"
    done = run([*STILL, "doctor", "program.py.snapshot"], tmp_path)
    assert done.returncode == 0 and "captured by still run every 0.05 s" in done.stdout
    assert f"CPython {sys.version.split()[0]}" in done.stdout and "program.py 0" in done.stdout
    shown = run([*STILL, "doctor", "--json", "program.py.snapshot"], tmp_path)
    assert '"is_resumable":true' in shown.stdout
    os.truncate(snapshot, snapshot.stat().st_size - 4096)
    broken = run([*STILL, "doctor", "program.py.snapshot"], tmp_path)
    assert broken.returncode == 1 and "is damaged" in broken.stdout
