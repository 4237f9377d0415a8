"""Real programs, captured where they are: what they hold, chains of teleports, there and back."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from screen import Screen

Run = Callable[..., Any]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Runs a program of its own file, in a folder of its own."""

    def run(text: str, *words: str, stdin: str = "", **environment: str) -> Any:
        script = tmp_path / "program.py"
        script.write_text("import os, sys\nimport stillframe.teleport\n" + text)
        return subprocess.run(
            [sys.executable, str(script), *words],
            cwd=tmp_path,
            env=dict(os.environ, **environment),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run


ELSEWHERE = f'["sh", "-c"], python={sys.executable!r}'


@pytest.mark.parametrize("to", ["'local'", ELSEWHERE])
def test_it_goes_on_in_the_middle_of_a_function_with_all_that_it_holds(run: Run, to: str) -> None:
    done = run(
        f"""
def outer(words):
    first = words[0]
    def inner(n):
        for word in words:
            if word == "b":
                r = stillframe.teleport({to})
            yield word, word is first, n
    return [triple for triple in inner(3)], first is words[0]
print(outer(["a", "b", "c"]), file=sys.stderr)
sys.exit(4)
"""
    )
    assert done.stderr == "([('a', True, 3), ('b', False, 3), ('c', False, 3)], True)\n"
    assert done.returncode == 4


def test_a_local_teleport_keeps_the_process_and_frees_the_old_interpreter(run: Run) -> None:
    done = run(
        """
before = os.getpid(), os.getppid(), os.getpgrp(), os.getsid(0)
r = stillframe.teleport()
print(before == (os.getpid(), os.getppid(), os.getpgrp(), os.getsid(0)), type(r).__name__)
"""
    )
    assert (done.stdout, done.stderr) == ("True Resumed\n", "")


def test_to_local_nothing_is_imported_that_is_only_needed_elsewhere(run: Run) -> None:
    done = run(
        """
here = set(sys.modules)
stillframe.teleport()
slow = {"importlib.metadata", "inspect", "dataclasses", "msgspec", "blake3", "ctypes", "pathlib", "subprocess"}
print(sorted(slow & sys.modules.keys() - here))
"""
    )
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_fifty_teleports_in_a_row_leave_one_process(run: Run) -> None:
    done = run(
        """
pids, descriptors = set(), set()
for n in range(50):
    stillframe.teleport()
    pids.add(os.getpid())
    descriptors.add(len(os.listdir("/proc/self/fd")))
print(n, len(pids), len(descriptors))
"""
    )
    assert (done.stdout, done.stderr) == ("49 1 1\n", "")


def test_ten_hops_through_shells_come_to_an_end_with_all_streams(run: Run) -> None:
    done = run(
        f"""
pids = set()
for n in range(10):
    stillframe.teleport({ELSEWHERE})
    pids.add(os.getpid())
    print(n, sys.stdin.readline().strip(), flush=True)
print(len(pids), "left to read:", sys.stdin.read().split())
sys.exit(12)
""",
        stdin="".join(f"line{n}\n" for n in range(12)),
    )
    assert done.returncode == 12
    assert done.stdout.splitlines()[-1] == "10 left to read: ['line10', 'line11']"


@pytest.mark.parametrize("to", ["'local'", ELSEWHERE])
def test_lines_that_python_has_read_ahead_are_read_there(run: Run, to: str) -> None:
    words = [f"wörd{n}" for n in range(5000)]
    done = run(
        f"""
found = []
for line in sys.stdin:
    found.append(line.strip())
    if len(found) in (1, 700, 4000):
        stillframe.teleport({to})
print(found == [f"wörd{{n}}" for n in range(5000)], len(found))
""",
        stdin="\n".join(words),
    )
    assert done.stdout == "True 5000\n", done.stderr


def test_what_was_printed_before_is_printed_once(run: Run) -> None:
    done = run(
        f"""
print("before")
sys.stdout.write("half a line, ")
stillframe.teleport()
print("between")
stillframe.teleport({ELSEWHERE})
print("after")
"""
    )
    assert done.stdout == "before\nhalf a line, between\nafter\n"


def test_atexit_runs_once_and_over_there(run: Run) -> None:
    done = run(
        f"""
import atexit
here = os.getpid()
atexit.register(lambda: print("at exit", os.getpid() == here))
stillframe.teleport({ELSEWHERE})
print("there")
"""
    )
    assert done.stdout == "there\nat exit False\n"


def test_each_item_is_the_very_object_that_the_program_holds(run: Run) -> None:
    done = run(
        """
class Task:
    pass
tasks = [Task(), Task(), Task()]
mine = stillframe.teleport(each=tasks)
print(tasks.index(mine), type(mine) is Task, "__stillframe_items__" in globals())
"""
    )
    assert sorted(done.stdout.splitlines()) == [f"{n} True False" for n in range(3)]


def test_eight_copies_at_once(run: Run) -> None:
    done = run("n = stillframe.teleport(each=range(8))\nprint(n * n)\nsys.exit(n == 5 and 50)")
    assert sorted(map(int, done.stdout.split())) == [n * n for n in range(8)]
    assert done.returncode == 50


def test_a_sender_that_stays_gets_a_handle_and_its_copy_a_resumed(run: Run) -> None:
    done = run(
        """
answer = stillframe.teleport(stay=True)
if answer.__class__.__name__ == "Resumed":
    print("copy", answer.where.rpartition(":")[2])
    sys.exit(3)
print("sender", answer.wait())
"""
    )
    assert done.stdout == "copy 3 in <module>\nsender 3\n".replace("copy 3", "copy 4")


def test_copies_are_sent_one_after_the_other_while_earlier_ones_run(run: Run) -> None:
    done = run(
        """
from stillframe.errors import StillframeError
copies = []
for n in range(3):
    answer = stillframe.teleport(stay=True)
    if type(answer).__name__ == "Resumed":
        print("copy", n, [copy.name for copy in copies])
        for copy in copies:
            try:
                copy.wait()
                print("waited for one that is not ours")
            except StillframeError as error:
                assert "sent by another process" in str(error)
        sys.exit(n + 1)
    copies.append(answer)
print("codes", [copy.wait() for copy in copies])
"""
    )
    assert sorted(done.stdout.splitlines()) == [
        "codes [1, 2, 3]",
        "copy 0 []",
        "copy 1 ['local']",
        "copy 2 ['local', 'local']",
    ], done.stderr


@pytest.mark.parametrize("to", ["'local'", ELSEWHERE])
def test_threads_go_on_there(run: Run, to: str) -> None:
    done = run(
        f"""
import threading
count, stop = 0, threading.Event()
def work():
    global count
    while not stop.wait(0.001):
        count += 1
thread = threading.Thread(target=work)
thread.start()
for hop in range(3):
    before = count
    stillframe.teleport({to})
    while count < before + 5:
        stop.wait(0.001)
stop.set()
thread.join()
print("ended", threading.active_count())
"""
    )
    assert done.stdout == "ended 1\n", done.stderr


def test_what_a_thread_does_while_the_program_leaves_is_not_done_twice(run: Run) -> None:
    done = run(
        f"""
import threading
twice, stop = [], threading.Event()
def work():
    n = 0
    while not stop.wait(0.0005):
        try:
            os.mkdir(str(n))
        except FileExistsError:
            twice.append(n)
        n += 1
thread = threading.Thread(target=work)
thread.start()
for hop in range(5):
    stillframe.teleport({ELSEWHERE})
stop.set()
thread.join()
# A call that is on its way when the program leaves is made again there.
print(len(twice) <= 5, twice)
"""
    )
    assert done.stdout.startswith("True"), done.stdout[:200] + done.stderr


def test_a_program_that_cannot_be_captured_goes_on_here(run: Run) -> None:
    done = run(
        """
import socket
from stillframe.errors import CannotCapture
channel = socket.socket()
here = os.getpid()
for way in ({"to": "local"}, {"to": ["sh", "-c"], "python": sys.executable}):
    try:
        stillframe.teleport(**way)
    except CannotCapture as error:
        print("channel" in str(error), os.getpid() == here)
"""
    )
    assert done.stdout == "True True\nTrue True\n", done.stderr


def test_the_environment_is_the_places_but_for_the_programs_own_changes(run: Run) -> None:
    there = ["env", "PLACE=there", "HOME=/there", "GONE=there", "sh", "-c"]
    done = run(
        f"""
os.environ["MINE"] = "set here"
del os.environ["GONE"]
stillframe.teleport()
stillframe.teleport({there!r}, python=sys.executable)
print(os.environ["PLACE"], os.environ["HOME"], os.environ["MINE"], os.environ.get("GONE"))
""",
        PLACE="here",
        HOME="/here",
        GONE="here",
    )
    assert done.stdout == "there /there set here None\n", done.stderr


def test_modules_of_the_users_own_travel_with_their_state(run: Run, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "count = 0\ndef add():\n    global count\n    count += 1\n    return count\n"
    )
    done = run(
        f"""
import mine
mine.add()
os.chdir("/")
stillframe.teleport({ELSEWHERE})
import mine as again
print(mine.add(), again is mine)
"""
    )
    assert done.stdout == "2 True\n"


def test_a_module_that_travels_as_a_file_can_be_imported_there_for_the_first_time(
    run: Run, tmp_path: Path
) -> None:
    (tmp_path / "later.py").write_text("where = __file__\n")
    done = run(
        f"stillframe.teleport({ELSEWHERE}, files=['later.py'])\nimport later\nprint(later.where, os.getcwd())"
    )
    where, folder = done.stdout.split()
    assert where == f"{folder}/later.py"
    assert folder != str(tmp_path)


def test_an_uncaught_exception_shows_the_traceback_of_the_program_alone(run: Run) -> None:
    done = run(
        f"""
def fail():
    stillframe.teleport({ELSEWHERE})
    raise KeyError("there")
fail()
"""
    )
    assert done.returncode == 1
    assert "KeyError: 'there'" in done.stderr
    assert 'line 6, in fail\n    raise KeyError("there")' in done.stderr
    assert "stillframe/" not in done.stderr


def test_an_environment_of_its_own_is_made_and_used_again(run: Run, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(bare)], check=True)
    text = f"""
from stillframe.errors import TeleportFailed
to = {{"to": ["sh", "-c"], "python": {str(bare / "bin" / "python")!r}}}
try:
    stillframe.teleport(**to)
except TeleportFailed as error:
    print(error.missing)
stillframe.teleport(install=True, **to)
print(sys.prefix)
"""
    done = run(text, XDG_CACHE_HOME=str(tmp_path / "cache"))
    if "could not be installed" in done.stderr:
        pytest.skip("no index with the packages that are installed here")
    missing, prefix = done.stdout.splitlines()
    assert "'stillframe 0.1.0'" in missing
    assert prefix.startswith(str(tmp_path / "cache" / "stillframe" / "environments"))
    made = os.stat(prefix).st_ctime_ns
    assert run(text, XDG_CACHE_HOME=str(tmp_path / "cache")).stdout.splitlines()[-1] == prefix
    assert os.stat(prefix).st_ctime_ns == made


def test_a_terminal_survives_there_and_on(tmp_path: Path) -> None:
    script = tmp_path / "program.py"
    script.write_text(
        f"""
import os, sys
import stillframe.teleport
for to in ({{"to": "local"}}, {{"to": ["sh", "-c"], "python": {sys.executable!r}}}, {{"to": "local"}}):
    stillframe.teleport(**to)
    print("terminals", [os.isatty(fd) for fd in range(3)], flush=True)
    print("heard", input("say: "), flush=True)
"""
    )
    screen = Screen([sys.executable, str(script)], dict(os.environ))
    try:
        for word in ("one", "two", "three"):
            screen.wait_for(r"terminals \[True, True, True\]")
            screen.wait_for("say: ")
            screen.type(word + "\r")
            screen.wait_for(f"heard {word}")
        assert screen.process.wait(20) == 0
    finally:
        screen.close()
