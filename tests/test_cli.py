"""The `still` command, as its users run it: a process, its output, its exit code."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest

from cli_support import Home, Scripted, Served, has_ended, served
from stillframe import connect
from stillframe.cli.main import still as group
from support.processes import held_to_permissions

VERBS = sorted(group.commands)


@pytest.fixture(scope="module")
def server() -> Iterator[Served]:
    with served() as one:
        yield one


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    """A home in which no server runs yet."""
    home = Home(tmp_path)
    yield home
    home.close()


@pytest.fixture
def there(tmp_path: Path, server: Served) -> Home:
    """A home whose verbs are told of a server, which has been reset."""
    return Home.beside(server, tmp_path)


def notebook_at(path: Path, *sources: str) -> Path:
    """A notebook with these code cells, and markdown between them."""
    cells: list[Any] = []
    for number, source in enumerate(sources):
        cells += [
            nbformat.v4.new_markdown_cell(f"cell {number}", id=f"m{number}"),
            nbformat.v4.new_code_cell(source, id=f"c{number}"),
        ]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    return path


# Help and errors


def test_help_lists_every_verb_and_each_has_an_example(there: Home) -> None:
    told = there.still("--help").out
    assert all(f"  {verb} " in told for verb in VERBS)
    for verb in VERBS:
        help_of_verb = there.still(verb, "--help").out
        assert f"    still {verb}" in help_of_verb or f"| still {verb}" in help_of_verb, verb
        # What these two print is the program's own.
        assert "--json" in help_of_verb or verb in ("run", "resume"), verb


def test_a_refusal_is_one_line_with_what_to_do_and_exit_code_2(there: Home) -> None:
    there.still("execute", "x = 1", "--as", "train")
    done = there.still("show", "trian", code=2)
    assert (done.out, done.err) == ("", "still: no state is called 'trian'. Did you mean 'train'?\n")


def test_a_wrong_command_line_is_exit_code_2(there: Home) -> None:
    for wrong in (["execute"], ["nothing"], ["execute", "1", "--file", "f"], ["delete"], ["tree", "--what"]):
        assert there.still(*wrong, code=2).err


def test_a_server_that_does_not_answer_is_exit_code_2(there: Home) -> None:
    done = there.still("tree", "--url", "http://127.0.0.1:1", code=2)
    assert done.err.startswith("still: nobody answers at http://127.0.0.1:1: Connection refused.")


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (b"SSH-2.0-OpenSSH_9.6\r\n", "what it says is no HTTP: SSH-2.0-OpenSSH_9.6."),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 6\r\n\r\n<html>", "not as a kernel does: <html>."),
    ],
)
def test_a_server_that_is_no_kernel_is_said_to_be_none(there: Home, answer: bytes, told: str) -> None:
    with Scripted(lambda connection: (other.read(connection), connection.sendall(answer))[1]) as other:
        done = there.still("tree", "--url", other.url, code=2)
    assert told in done.err and done.err.count("\n") == 1


def test_output_that_nobody_reads_to_its_end_is_no_error(there: Home) -> None:
    with there.start("execute", "for i in range(100_000): print(i)") as verb:
        assert verb.stdout is not None and verb.stderr is not None
        verb.stdout.readline()
        verb.stdout.close()
        assert "Traceback" not in verb.stderr.read()


# execute


def test_execute_shows_outputs_and_names_the_state(there: Home) -> None:
    done = there.still(
        "execute", "import sys; print('out'); print('err', file=sys.stderr); 6 * 7", "--as", "a"
    )
    assert done.out == "out\n42\n"
    assert done.err.startswith("err\nstill: state 'a' in ")


def test_execute_takes_code_from_standard_input_and_from_a_file(there: Home) -> None:
    assert there.still("execute", "-", stdin="print('in')").out == "in\n"
    (there.work / "code.py").write_text("print('file')")
    assert there.still("execute", "--file", "code.py").out == "file\n"


def test_code_is_read_in_the_encoding_that_it_says(there: Home) -> None:
    latin = "# -*- coding: latin-1 -*-\nprint('ä' == '\\xe4')".encode("latin-1")
    (there.work / "latin.py").write_bytes(latin)
    (there.work / "marked.py").write_bytes(b"\xef\xbb\xbfprint('marked')")
    assert there.still("execute", "--file", "latin.py").out == "True\n"
    assert there.still("execute", "--file", "marked.py").out == "marked\n"
    (there.work / "bad.py").write_bytes(b"\xff\xfe = 1")
    done = there.still("execute", "--file", "bad.py", code=2)
    assert done.err.startswith("still: bad.py is no Python source: ") and done.err.count("\n") == 1


def test_a_file_that_the_system_does_not_give_is_one_line(there: Home) -> None:
    done = there.still("execute", "--file", "/proc/self/mem", code=2)
    assert done.err == "still: Input/output error.\n"


@pytest.mark.parametrize("verb", [("run",), ("resume",), ("execute", "--file"), ("import",), ("notebook",)])
def test_a_file_that_may_not_be_read_is_refused_before_anything_is_begun(
    verb: tuple[str, ...], tmp_path: Path
) -> None:
    (tmp_path / "secret").touch(mode=0o000)
    command = [*held_to_permissions(), sys.executable, "-m", "stillframe", *verb, "secret"]
    environment = os.environ | {"XDG_RUNTIME_DIR": str(tmp_path)}
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment, timeout=60)
    assert done.returncode == 2 and not done.stdout
    assert "Permission denied" in done.stderr or "is not readable" in done.stderr
    assert "Traceback" not in done.stderr and "server" not in done.stderr


def test_what_is_neither_a_state_nor_a_file_is_said_so(there: Home) -> None:
    assert "there is no file 'none', and no state is called 'none'" in there.still("resume", "none", code=2).err
    (there.work / "text").write_text("text")
    assert "and the file of this name is no export" in there.still("show", "text", code=2).err


def test_execute_runs_in_the_state_that_it_is_told(there: Home) -> None:
    there.still("execute", "x = 1", "--as", "one")
    assert there.still("execute", "x + 1", "--in", "one").out == "2\n"
    assert there.still("execute", "x", code=1).err.splitlines()[-1].startswith("NameError")


def test_an_error_of_the_code_is_a_traceback_and_exit_code_1(there: Home) -> None:
    done = there.still("execute", "print('before')\n1 / 0", code=1)
    assert done.out == "before\n" and "ZeroDivisionError: division by zero" in done.err
    assert "\x1b" not in done.err


def test_execute_json_is_the_execution(there: Home) -> None:
    told = there.still("execute", "print('a'); 1", "--as", "one", "--json").json()
    assert told["state"] == "one" and told["error"] is None and len(told["outputs"]) == 2
    failed = there.still("execute", "1 / 0", "--json", code=1).json()
    assert failed["error"]["ename"] == "ZeroDivisionError" and failed["state"] is None


def test_outputs_are_printed_as_they_happen(there: Home) -> None:
    fifo = str(there.path / "fifo")
    os.mkfifo(fifo)
    with there.start("execute", f"print('first', flush=True); open({fifo!r}).read();") as verb:
        assert verb.stdout is not None
        # The cell ends only after this line was seen.
        assert verb.stdout.readline() == "first\n"
        Path(fifo).write_text("")
        assert verb.wait() == 0


def test_control_c_interrupts_the_execution_on_the_server(there: Home) -> None:
    there.still("execute", "x = 1", "--as", "one")
    with there.start("execute", "print('runs', flush=True)\nwhile True: pass", "--in", "one") as verb:
        assert verb.stdout is not None and verb.stderr is not None
        assert verb.stdout.readline() == "runs\n"
        verb.send_signal(signal.SIGINT)
        told = verb.stderr.read()
        assert verb.wait() == 130
    assert "still: interrupting" in told and "KeyboardInterrupt" in told
    assert there.still("tree", "--json").json()["executions"] == []
    assert there.still("execute", "x", "--in", "one").out == "1\n"


# The other verbs


def test_tree_shows_branches_with_times_memory_and_ways_back(there: Home) -> None:
    there.still("execute", "a = 1", "--as", "a")
    for name in ("b", "c"):
        there.still("execute", "a = 2", "--in", "a", "--as", name)
    lines = there.still("tree").out.splitlines()
    assert [line.split()[:2] for line in lines[1:3]] == [["●", "initial"], ["●", "a"]]
    assert lines[3].startswith("├─● b") and lines[4].startswith("└─● c")
    assert "ways back" in lines[0] and "MB" in lines[2] + lines[3] and "a = 2" in lines[4]
    told = there.still("tree", "--json").json()
    assert [state["names"] for state in told["states"]] == [["initial"], ["a"], ["b"], ["c"]]
    assert told["states"][1]["memory"]["private_bytes"] > 0


def test_show_tells_a_state_and_a_variable(there: Home) -> None:
    there.still("execute", "x = {'a': 1}\ny = {1}", "--as", "one")
    told = there.still("show", "one").out
    assert "x = {'a': 1}" in told and "dict" in told and "set" in told
    assert there.still("show", "one", "--json").json()["variables"]["y"] == {"type": "set", "repr": "{1}"}
    assert there.still("show", "one", "x").out == "{'a': 1}\n"
    assert there.still("show", "one", "x", "--json").json()["json"] == {"a": 1}
    assert "no variable 'z'" in there.still("show", "one", "z", code=2).err


def test_delete_and_rename_do_so(there: Home) -> None:
    for name in ("a", "b", "c d"):
        there.still("execute", "", "--as", name)
    assert there.still("rename", "c d", "e").out == "c d is now e\n"
    assert there.still("rename", "e", "f/g", "--json").json() == {"name": "f/g"}
    assert there.still("delete", "a", "b").out == "deleted a, b\n"
    assert there.still("delete", "f/g", "--json").json() == {"deleted": ["f/g"]}
    names = [state["names"] for state in there.still("tree", "--json").json()["states"]]
    assert names == [["initial"]]


def test_delete_stops_at_what_is_not_there_and_says_what_it_did(there: Home) -> None:
    there.still("execute", "", "--as", "a")
    done = there.still("delete", "a", "never", code=2)
    assert done.out == "deleted a\n" and "no state is called 'never'" in done.err


def test_reset_leaves_the_initial_state(there: Home) -> None:
    there.still("execute", "", "--as", "a")
    assert there.still("reset", "--yes").out.startswith("reset")
    assert there.still("reset", "--json").json() == {"status": "ok"}
    assert len(there.still("tree", "--json").json()["states"]) == 1


def test_interrupt_ends_one_execution_or_all(there: Home) -> None:
    for arguments in ([], ["endless"]):
        fifo = str(there.path / f"fifo{len(arguments)}")
        os.mkfifo(fifo)
        code = f"open({fifo!r}, 'w').close()\nwhile True: pass"
        program = (
            "import os, stillframe\n"
            "k = stillframe.connect(os.environ['STILLFRAME_URL'], os.environ['STILLFRAME_TOKEN'])\n"
            f"print(k.execute({code!r}, exec_id='endless').error.kind)\n"
        )
        with subprocess.Popen(
            [sys.executable, "-c", program], env=there.environment, stdout=subprocess.PIPE, text=True
        ) as other:
            Path(fifo).read_text()
            assert there.still("interrupt", *arguments, "--json").json() == {"interrupted": ["endless"]}
            assert other.stdout is not None and other.stdout.read() == "interrupted\n"
    assert there.still("interrupt").out == "interrupted nothing: nothing runs\n"
    assert "no execution 'nothing' runs" in there.still("interrupt", "nothing", code=2).err


def test_doctor_finds_this_machine_fit_and_the_server_well(there: Home) -> None:
    done = there.still("doctor")
    assert "CPython" in done.out and "pidfd" in done.out and "ok at http" in done.out
    told = there.still("doctor", "--json").json()
    assert {finding["verdict"] for finding in told} <= {"ok", "slow"}
    assert {"platform", "python", "pidfd", "C extension", "server"} <= {finding["what"] for finding in told}


def test_doctor_says_what_is_wrong_with_exit_code_1(there: Home) -> None:
    done = there.still("doctor", STILLFRAME_URL="http://127.0.0.1:1", code=1)
    assert "wrong" in done.out and "nobody answers" in done.out and "still serve" in done.out


# notebook


def test_notebook_makes_a_state_for_each_code_cell(there: Home) -> None:
    notebook_at(there.work / "n.ipynb", "x = 1", "x += 1\nprint(x)", "x * 10")
    before = (there.work / "n.ipynb").read_bytes()
    done = there.still("notebook", "n.ipynb")
    assert [line.split()[1] for line in done.err.splitlines()] == ["1/3", "2/3", "3/3"]
    assert there.still("show", "n/2", "x").out == "2\n"
    assert (there.work / "n.ipynb").read_bytes() == before


def test_notebook_writes_outputs_back_that_nbformat_takes(there: Home) -> None:
    path = notebook_at(
        there.work / "n.ipynb", "x = 1\nprint('a')\nprint('b')", "x + 1", "raise ValueError('no')"
    )
    path.chmod(0o640)
    there.still("notebook", "n.ipynb", "--write", code=1)
    book = nbformat.read(path, as_version=4)
    nbformat.validate(book)
    code = [cell for cell in book.cells if cell.cell_type == "code"]
    assert code[0].outputs == [{"name": "stdout", "output_type": "stream", "text": "a\nb\n"}]
    assert code[1].outputs[0]["data"]["text/plain"] == "2" and code[1].outputs[0]["execution_count"] == 2
    assert code[2].outputs[-1]["ename"] == "ValueError"
    assert [cell.execution_count for cell in code] == [1, 2, 3]
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert list(there.work.iterdir()) == [path]


def test_notebook_stops_at_the_first_error_and_goes_on_from_there(there: Home) -> None:
    path = there.work / "n.ipynb"
    notebook_at(path, "x = 1; import random; r = random.random()", "y = z", "w = x + y")
    done = there.still("notebook", "n.ipynb", code=1)
    assert "NameError" in done.err and "3/3" not in done.err
    first = there.still("show", "n/1", "r").out
    notebook_at(path, "raise RuntimeError('not again')", "y = 5", "w = x + y")
    told = there.still("notebook", "n.ipynb", "--from", "2", "--json").json()
    assert told["ok"] and [cell["cell"] for cell in told["cells"]] == [2, 3]
    assert there.still("show", "n/3", "w").out == "6\n" and there.still("show", "n/3", "r").out == first


def test_notebook_from_a_cell_whose_state_before_is_not_kept_says_where_to_begin(there: Home) -> None:
    notebook_at(there.work / "n.ipynb", "x = 1", "y = 1", "z = 1")
    there.still("execute", "", "--as", "n/1")
    done = there.still("notebook", "n.ipynb", "--from", "3", code=2)
    assert done.err == (
        "still: no state is called 'n/2', from which cell 3 would go on. "
        "Begin at a cell whose state before is kept: --from 2.\n"
    )
    assert "has 3 of them" in there.still("notebook", "n.ipynb", "--from", "4", code=2).err


def test_notebook_begins_in_a_state_and_names_by_a_prefix(there: Home) -> None:
    there.still("execute", "x = 5", "--as", "base")
    notebook_at(there.work / "n.ipynb", "x += 1")
    there.still("notebook", "n.ipynb", "--state", "base", "--prefix", "try 2")
    assert there.still("show", "try 2/1", "x").out == "6\n"


def test_a_notebook_that_was_changed_meanwhile_is_not_overwritten(there: Home) -> None:
    path = there.work / "n.ipynb"
    notebook_at(path, f"open({str(path)!r}, 'a').write('\\n'); print('kept')")
    done = there.still("notebook", "n.ipynb", "--write")
    assert path.read_bytes().endswith(b"\n\n") and "was changed while it ran" in done.err
    assert "kept" in (there.work / "n.outputs.ipynb").read_text()


def test_what_is_no_notebook_is_refused(there: Home) -> None:
    for content in ("", "[]", "{}", '{"nbformat": 3, "worksheets": []}', '{"nbformat": 4, "cells": 1}'):
        (there.work / "n.ipynb").write_text(content)
        assert "n.ipynb is" in there.still("notebook", "n.ipynb", code=2).err


def test_a_large_number_in_a_notebook_is_kept(there: Home) -> None:
    path = notebook_at(there.work / "n.ipynb", "1")
    book = json.loads(path.read_text())
    book["metadata"]["large"] = 10**30
    path.write_text(json.dumps(book))
    there.still("notebook", "n.ipynb", "--write")
    assert json.loads(path.read_text())["metadata"]["large"] == 10**30


# serve, stop, and a server in the background


def test_a_verb_starts_a_server_says_so_and_the_next_one_finds_it(home: Home) -> None:
    first = home.still("execute", "x = 1", "--as", "one")
    assert (
        "no server was running; started one at http://127.0.0.1:" in first.err and "`still stop`" in first.err
    )
    second = home.still("execute", "x", "--in", "one")
    assert second.out == "1\n" and "started" not in second.err


def test_the_connection_file_is_for_its_user_alone_and_goes_with_the_server(home: Home) -> None:
    home.still("tree")
    path = home.connection_file
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    told = json.loads(path.read_bytes())
    assert {"url", "token", "pid"} <= set(told)
    command = Path(f"/proc/{told['pid']}/cmdline").read_bytes()
    assert told["token"].encode() not in command
    done = home.still("stop")
    assert done.out == f"stopped the server at {told['url']}\n"
    assert has_ended(told["pid"], 0) and not path.exists()


def test_stop_without_a_server_says_so(home: Home) -> None:
    assert home.still("stop").err == "still: no server of yours runs.\n"
    assert home.still("stop", "--json").json() == {"stopped": False}
    assert not home.connection_file.exists()


def test_two_verbs_at_once_start_one_server(home: Home) -> None:
    with contextlib.ExitStack() as ending:
        verbs = [ending.enter_context(home.start("execute", "1", "--as", f"s{n}")) for n in range(3)]
        told = [verb.communicate() for verb in verbs]
    assert [verb.returncode for verb in verbs] == [0, 0, 0], told
    assert sum("started one" in err for _, err in told) == 1
    assert len(home.still("tree", "--json").json()["states"]) == 4


def test_a_connection_file_that_nobody_stands_behind_is_as_good_as_none(home: Home) -> None:
    home.still("tree")
    pid = home.server_pid()
    os.kill(pid, signal.SIGKILL)
    assert has_ended(pid)
    assert home.connection_file.exists()
    assert "started one" in home.still("tree").err
    assert home.server_pid() != pid


def test_a_connection_file_that_others_can_change_is_refused(home: Home) -> None:
    home.still("stop")
    home.connection_file.write_text('{"url": "http://127.0.0.1:1", "token": "t", "pid": 1}')
    home.connection_file.chmod(0o666)
    assert "can be changed or read by others" in home.still("tree", code=2).err
    home.connection_file.unlink()


def test_serve_prints_its_url_and_token_and_ends_with_control_c(home: Home) -> None:
    with home.start("serve", "--json", "--ready-processes", "2") as server:
        assert server.stdout is not None and server.stderr is not None
        told = json.loads(server.stdout.readline())
        with connect(told["url"], told["token"]) as client:
            assert client.states() == ["initial"] and client.health()["pid"] == told["pid"]
            assert client.execute("import os; 'STILLFRAME_TOKEN' in os.environ").text == "False"
        assert "started" not in home.still("tree").err
        server.send_signal(signal.SIGINT)
        assert "Traceback" not in server.stderr.read()
        assert server.wait() in (0, 130)
    assert not home.connection_file.exists()


def test_serve_tells_people_where_it_is(home: Home) -> None:
    with home.start("serve") as server:
        assert server.stdout is not None
        line = server.stdout.readline()
        assert line.startswith("stillframe ") and "serves at http://127.0.0.1:" in line
        with connect(line.split()[-1]) as client:
            assert client.states() == ["initial"]
        home.still("stop")
        assert server.wait() == 0


def test_a_second_server_leaves_the_first_ones_connection_file(home: Home) -> None:
    home.still("tree")
    before = home.connection_file.read_bytes()
    with home.start("serve", "--json") as second:
        assert second.stdout is not None and second.stderr is not None
        told = json.loads(second.stdout.readline())
        assert home.still("stop", "--url", told["url"], "--token", told["token"]).out
        assert second.wait() == 0
        assert "runs at" in second.stderr.read()
    assert home.connection_file.read_bytes() == before
    assert "started" not in home.still("tree").err


def test_verbs_leave_the_token_out_of_what_they_say(home: Home) -> None:
    home.still("tree")
    token = json.loads(home.connection_file.read_bytes())["token"]
    for verb in (["tree"], ["doctor"], ["show", "never"], ["stop"]):
        done = home.still(*verb, code=None)
        assert token not in done.out + done.err


def test_a_state_inside_a_call_is_resumed_and_a_file_is_a_file(there: Home) -> None:
    code = "import stillframe; r = stillframe.snapshot('half'); print('went on with', r and r.value)"
    there.still("execute", code)
    done = there.still("resume", "half", "--value", '{"a": 1}', "--as", "other")
    assert done.out == "went on with {'a': 1}\n" and done.err.startswith("still: state 'other' in")
    assert '"state":"other 2"' in there.still("resume", "half", "--as", "other 2", "--json").out
    (there.work / "half").write_text("no snapshot")
    assert "half" in there.still("resume", "half", code=2).err
    assert there.still("resume", "half", "--state").out == "went on with None\n"
    done = there.still("resume", "nowhere", code=2)
    told = "there is no file 'nowhere', and no state is called 'nowhere'. Did you mean 'other'?"
    assert (done.out, done.err) == ("", f"still: {told}\n")
    there.still("execute", "import stillframe; r = stillframe.snapshot('failing'); 1 / (r is None)")
    assert "ZeroDivisionError" in there.still("resume", "failing", code=1).err


FAILS = """
def share(of, among):
    return of // among
def shares(people):
    return [share(12, people)]
print(shares(0))
"""


def test_a_failed_cell_is_mended_and_goes_on_from_where_it_failed(there: Home) -> None:
    kept = ("--on-error", "keep", "--error-as", "broken")
    assert "ZeroDivisionError" in there.still("execute", FAILS, *kept, code=1).err
    assert there.still("resume", "broken", "--mend", "among = 3", "--as", "whole").out == "[4]\n"
    assert there.still("resume", "broken", "--mend", "people = 6", "--frame", "-2").out == "[2]\n"
    assert "ZeroDivisionError" in there.still("resume", "broken", code=1).err, "it fails again where nothing is mended"
    assert "among" in there.still("show", "broken").out
    (there.work / "broken").write_text("no snapshot")
    said = there.still("resume", "broken", "--mend", "among = 3", code=2).err
    assert "--mend is for states" in said and "--state" in said
