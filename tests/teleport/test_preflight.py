"""What is checked over there before anything is ended here: all of it in one error, and the program goes on."""

from __future__ import annotations

import hashlib
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from stillframe.errors import BadRequest
from stillframe.teleport import transports, wheel
from support.processes import until


def stayed(done: Any) -> str:
    """What the error said, in a program that went on here."""
    assert done.returncode == 40, (done.stdout, done.stderr)
    return done.stdout.decode()


def test_packages_that_are_not_there_are_all_listed_with_their_versions(away: Any) -> None:
    text = stayed(away.run("print('ran')", packages={"nowhere": "1.0", "msgspec": "0.0.1", "pytest": "0.1"}))
    assert "it lacks nowhere 1.0, pytest 0.1 (there: " in text
    assert "'nowhere 1.0', 'pytest 0.1" in text
    assert "msgspec" not in text, "the stillframe over there knows which msgspec it needs"
    assert "ran" not in text


def test_an_interpreter_that_is_not_there_is_named_with_those_that_are(away: Any) -> None:
    text = stayed(away.run("pass", python="/nowhere/python"))
    assert "it lacks the interpreter /nowhere/python (there: Python 3." in text


def test_an_interpreter_of_another_version_is_refused(shell: Any, tmp_path: Path) -> None:
    other = tmp_path / "python"
    # In the place of another Python: it answers the probe, and then as the far side does that finds none.
    answer = 'printf "\\000stillframe none Python 3.8.1\\n"'
    other.write_text(f'#!/bin/sh\ncase "$2" in *fromhex*) {answer};; esac\n')
    other.chmod(0o755)
    assert "Python 3.8.1" in stayed(shell.run("pass", python=str(other)))


def test_a_stillframe_of_another_format_is_refused(shell: Any) -> None:
    assert "plain 2 (there: 1)" in stayed(shell.run("pass", formats={"plain": 2}))


def test_a_program_that_cannot_be_loaded_there_goes_on_here(away: Any) -> None:
    text = stayed(away.run("# fails to load"))
    assert "could not be loaded there" in text
    assert "ValueError: as it was told to" in text


def test_a_place_that_cannot_be_reached_is_told_in_the_words_of_the_transport(shell: Any) -> None:
    shell.options["to"] = ["sh", "-c", "echo no way in >&2; exit 3"]
    text = stayed(shell.run("pass"))
    assert "cannot teleport to sh -c" in text
    assert "exit code 3): no way in" in text


def test_ctrl_c_gives_up_on_a_place_that_does_not_answer(shell: Any, tmp_path: Path) -> None:
    started = tmp_path / "started"
    to = ["sh", "-c", f"touch {started}; exec sleep 1000"]
    process = shell.start("pass", to=to)
    until(started.exists, 20, "the start of the transport")
    os.killpg(process.pid, signal.SIGINT)
    _, error = process.communicate(timeout=20)
    assert error.endswith(b"KeyboardInterrupt\n")
    assert process.returncode == -signal.SIGINT


def test_a_command_that_is_not_here_is_named(shell: Any) -> None:
    shell.options["to"] = ["there-is-no-such-command"]
    assert "there is no command 'there-is-no-such-command' here" in stayed(shell.run("pass"))


def test_a_host_that_is_not_there_is_told_in_the_words_of_ssh(request: Any, shell: Any) -> None:
    _, tools = request.getfixturevalue("ssh_place")
    shell.environment["PATH"] = f"{tools}:{shell.environment['PATH']}"
    shell.options["to"] = "ssh://nobody@localhost:1"
    text = stayed(shell.run("pass"))
    assert "cannot teleport to ssh://nobody@localhost:1" in text
    assert "Connection refused" in text


def test_files_that_are_missing_are_all_named_before_anything_is_sent(road: Any, tmp_path: Path) -> None:
    (tmp_path / "here.txt").write_text("x")
    text = stayed(road.run("pass", cwd=tmp_path, files=["here.txt", "gone.txt", "sub/gone.bin"]))
    assert "the file gone.txt, the file sub/gone.bin" in text


def test_files_outside_of_the_working_directory_are_refused(shell: Any, tmp_path: Path) -> None:
    assert "not below the working directory" in stayed(shell.run("pass", cwd=tmp_path, files=["/etc/passwd"]))


def test_files_are_found_there_under_the_same_path_with_mode_and_content(road: Any, tmp_path: Path) -> None:
    (tmp_path / "data" / "deep").mkdir(parents=True)
    (tmp_path / "data" / "deep" / "table.bin").write_bytes(os.urandom(3_000_000))
    (tmp_path / "data" / "link").symlink_to("deep/table.bin")
    tool = tmp_path / "tool.sh"
    tool.write_text("#!/bin/sh\necho hello from a tool\n")
    tool.chmod(0o751)
    program = """
import hashlib, os, subprocess
print(hashlib.sha256(open("data/link", "rb").read()).hexdigest(), oct(os.stat("tool.sh").st_mode & 0o777), flush=True)
print(os.readlink("data/link"), subprocess.run(["./tool.sh"], capture_output=True, text=True).stdout.strip())
print(os.getcwd())
"""
    done = road.run(program, cwd=tmp_path, files=["data", "tool.sh"])
    first, second, folder = done.stdout.decode().splitlines()
    digest = hashlib.sha256((tmp_path / "data" / "link").read_bytes()).hexdigest()
    assert first == f"{digest} 0o751"
    assert second == "deep/table.bin hello from a tool"
    if road.name == "local":
        assert folder == str(tmp_path)
    else:
        assert not Path(folder).exists(), "the working folder is removed at the end"
    assert stat.S_IMODE(tool.stat().st_mode) == 0o751


def test_the_working_folder_is_removed_when_the_program_is_killed(
    shell: Any, tmp_path: Path, line_of: Any
) -> None:
    (tmp_path / "a.txt").write_text("x")
    command = shell.command(
        "import os, time; print(os.getcwd(), flush=True); time.sleep(1000)", files=["a.txt"]
    )
    process = subprocess.Popen(command, cwd=tmp_path, env=shell.environment, stdout=subprocess.PIPE)
    shell.started.append(process)
    folder = Path(line_of(process).decode().strip())
    assert folder.is_dir()
    process.kill()
    until(lambda: not folder.exists(), 15, "the removal of the working folder")


@pytest.mark.parametrize(
    ("to", "what"),
    [
        ("somewhere", "cannot teleport to 'somewhere'"),
        ("ssh://", "cannot teleport to 'ssh://'"),
        ("ssh://host/path", "cannot teleport to 'ssh://host/path'"),
        ("ssh://host:port", "cannot teleport to 'ssh://host:port'"),
        ("ssh://-oProxyCommand=x", "cannot teleport to"),
        ([], "a command is a list of words"),
        (["sh", 3], "a command is a list of words"),
        (7, "A target is"),
    ],
)
def test_what_is_no_target_is_refused_with_those_that_are(to: Any, what: str) -> None:
    with pytest.raises(BadRequest, match=what):
        transports.transport_to(to)


def test_a_target_of_ssh_keeps_the_case_of_the_name_and_takes_user_and_port() -> None:
    assert transports.transport_to("ssh://me@Box:2222") == transports.Ssh("Box", "me", 2222)
    assert transports.transport_to("ssh://[::1]:22") == transports.Ssh("::1", None, 22)
    assert str(transports.transport_to("ssh://me@Box:2222")) == "ssh://me@Box:2222"


def test_the_same_installation_makes_the_same_wheel() -> None:
    assert wheel.build() == wheel.build()


@pytest.fixture
def bare_python(tmp_path: Path) -> str:
    """An interpreter that has nothing installed."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "bare")], check=True)
    return str(tmp_path / "bare" / "bin" / "python")
