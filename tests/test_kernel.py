"""The embedded kernel as a guest of its host program, and the package as an import."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import stillframe
from cli_support import has_ended
from stillframe import Kernel, Limits


def test_a_closed_kernel_has_ended_and_says_so() -> None:
    with Kernel() as kernel:
        held = int(kernel.execute("import os; os.getpid()", name="one").text)
    assert has_ended(kernel.pid, 0) and has_ended(held)
    kernel.close()
    with pytest.raises(stillframe.ServerUnreachable, match="this Kernel was closed"):
        kernel.states()


def test_a_kernel_whose_process_was_killed_says_so() -> None:
    with Kernel() as kernel:
        kernel.states()
        os.kill(kernel.pid, 9)
        assert has_ended(kernel.pid)
        with pytest.raises(stillframe.ServerUnreachable, match="was ended by signal 9"):
            kernel.states()


def test_a_kernel_ends_with_the_program_that_owns_it_however_that_ends() -> None:
    program = "import stillframe; k = stillframe.Kernel(); print(k.pid, flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as owner:
        assert owner.stdout is not None
        pid = int(owner.stdout.readline())
        owner.kill()
    assert has_ended(pid)


def test_a_kernel_that_nobody_closed_ends_with_its_program() -> None:
    program = "import stillframe; k = stillframe.Kernel(); print(k.pid)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert has_ended(int(done.stdout)) and not done.stderr


def test_a_forked_child_that_outlives_the_owner_does_not_keep_the_kernel() -> None:
    program = (
        "import os, stillframe\n"
        "k = stillframe.Kernel()\n"
        "if os.fork() == 0:\n    input()\n    os._exit(0)\n"
        "print(k.pid, flush=True)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as owner:
        assert owner.stdout is not None and owner.stdin is not None
        pid = int(owner.stdout.readline())
        owner.wait()
        # The child still waits for its line here.
        assert has_ended(pid)
        owner.stdin.write("\n")


def test_the_hosts_children_signals_and_threads_are_left_alone() -> None:
    program = (
        "import signal, subprocess, threading, stillframe\n"
        "before = [signal.getsignal(n) for n in range(1, 32)], threading.active_count()\n"
        "child = subprocess.Popen(['sh', '-c', 'read x; exit 7'], stdin=subprocess.PIPE)\n"
        "with stillframe.Kernel() as k:\n"
        "    k.execute('1')\n"
        "    child.communicate(b'go\\n')\n"
        "    assert ([signal.getsignal(n) for n in range(1, 32)], threading.active_count()) == before\n"
        "print(child.returncode)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("7\n", "")


def test_control_c_interrupts_all_of_many() -> None:
    program = (
        "import stillframe\n"
        "k = stillframe.Kernel()\n"
        "ENDLESS = 'print(1, flush=True)\\nwhile True: pass'\n"
        "heard = []\n"
        "def on_output(event, data):\n"
        "    heard.append(data['text'])\n"
        "    if ''.join(heard).count('1') == 2: print('both run', flush=True)\n"
        "item = {'code': ENDLESS, 'on_output': on_output}\n"
        "try:\n"
        "    k.execute_many([item, item, item], max_workers=2)\n"
        "except KeyboardInterrupt:\n"
        "    print(k.tree().executions, k.states())\n"
        "k.close()\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as host:
        assert host.stdout is not None
        assert host.stdout.readline() == "both run\n"
        host.send_signal(signal.SIGINT)
        assert host.stdout.read() in ("[] ['initial']\n", "both run\n[] ['initial']\n")
    assert host.returncode == 0


def test_a_kernel_that_cannot_start_says_why(tmp_path: Path) -> None:
    with pytest.raises(stillframe.ServerUnreachable, match="No such file or directory"):
        Kernel(python=tmp_path / "python")
    with pytest.raises(stillframe.ServerUnreachable, match="ended with exit code 1"):
        Kernel(python="/bin/false")


def test_limits_directory_and_environment_are_the_kernels_own(tmp_path: Path) -> None:
    limits = Limits(outputs=3)
    with Kernel(limits=limits, cwd=tmp_path, env={"COLOUR": "blue"}) as kernel:
        told = kernel.execute(f"import os; (os.getcwd() == {str(tmp_path)!r}, os.environ['COLOUR'])").text
        assert told == "(True, 'blue')"
        assert len(kernel.execute("for i in range(9): display(i)").outputs) <= 4
    assert "COLOUR" not in os.environ


# The package


def test_importing_the_package_loads_nothing_else() -> None:
    program = "import sys, stillframe; print([m for m in sys.modules if m.startswith('stillframe')])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "['stillframe']\n"


def test_every_public_name_is_there() -> None:
    assert all(getattr(stillframe, name) is not None for name in stillframe.__all__)
    assert set(stillframe.__all__) <= set(dir(stillframe))
    with pytest.raises(AttributeError, match="nothing"):
        stillframe.nothing


def test_another_system_is_refused_with_what_to_do() -> None:
    program = "import sys; sys.platform = 'darwin'; import stillframe"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "UnsupportedPlatform: stillframe runs on Linux" in done.stderr
