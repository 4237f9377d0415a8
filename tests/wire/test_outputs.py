"""Outputs: nbformat's list, rich display, and the order in which things happened, whoever wrote."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path

import nbformat
import pytest

from support.server import Bell, Json, Server, result, stderr


def kinds(reply: Json) -> list[str]:
    """The outputs, as "stdout:text", "stderr:text" or the text/plain after the type."""
    return [
        f"{out['name']}:{out['text']}" if out["output_type"] == "stream"
        else f"{out['output_type']}:{out['data'].get('text/plain')}"
        for out in reply["output"]
    ]  # fmt: skip


def outputs(kernel: Server, code: str, state: str = "initial") -> list[str]:
    reply = kernel.run(code, state)
    assert reply["error"] is None, "\n".join(reply["error"]["traceback"])
    return kinds(reply)


ORDERS = {
    "print, display, print gives three": (
        "print('a'); display(1); print('b')", ["stdout:a\n", "display_data:1", "stdout:b\n"],
    ),
    "neighbours of one stream are merged": (
        "print('a'); print('b')\nimport sys; _ = sys.stdout.write('c')", ["stdout:a\nb\nc"],
    ),
    "stdout and stderr alternate as they were written": (
        "import sys\nfor i in range(3):\n    print(i); print(i, file=sys.stderr)",
        ["stdout:0\n", "stderr:0\n", "stdout:1\n", "stderr:1\n", "stdout:2\n", "stderr:2\n"],
    ),
    "a result comes last": ("print('a'); 5", ["stdout:a\n", "execute_result:5"]),
    "descriptor 1 is standard output, in order": (
        "import os\nprint('a'); _ = os.write(1, b'b\\n'); print('c'); _ = os.write(1, b'd\\n')",
        ["stdout:a\nb\nc\nd\n"],
    ),
    "descriptor 2 is standard error, in order": (
        "import os\nprint('a'); _ = os.write(2, b'b\\n'); print('c')", ["stdout:a\n", "stderr:b\n", "stdout:c\n"],
    ),
    "descriptors and displays alternate": (
        "import os\n_ = os.write(1, b'a\\n'); display(1); _ = os.write(2, b'b\\n'); display(2); print('c')",
        ["stdout:a\n", "display_data:1", "stderr:b\n", "display_data:2", "stdout:c\n"],
    ),
    "C's printf without a newline is in order": (
        "import ctypes\nc = ctypes.CDLL(None)\nprint('a')\n_ = c.printf(b'b'); _ = c.fflush(None)\nprint('c')",
        ["stdout:a\nbc\n"],
    ),
    "C's printf is shown even when nobody flushes it": (
        "import ctypes\n_ = ctypes.CDLL(None).printf(b'unflushed')", ["stdout:unflushed"],
    ),
    "C's printf comes before a later display": (
        "import ctypes\n_ = ctypes.CDLL(None).puts(b'a')\ndisplay(1)\nprint('b')",
        ["stdout:a\n", "display_data:1", "stdout:b\n"],
    ),
    "os.system writes in order": (
        "import os\nprint('a'); _ = os.system('echo b; echo c >&2'); print('d')",
        ["stdout:a\nb\n", "stderr:c\n", "stdout:d\n"],
    ),
    "a child process writes in order": (
        "from subprocess import run\nprint('a'); _ = run(['echo', 'b']); display(1); _ = run(['echo', 'c'])",
        ["stdout:a\nb\n", "display_data:1", "stdout:c\n"],
    ),
    "a forked child writes in order": (
        "import os\nprint('a')\npid = os.fork()\nif pid == 0:\n    os.write(1, b'b\\n'); os._exit(0)\n"
        "_ = os.waitpid(pid, 0)\nprint('c')",
        ["stdout:a\nb\nc\n"],
    ),
    "a thread writes in order": (
        "from threading import Thread\nprint('a')\n"
        "t = Thread(target=print, args=('b',)); t.start(); t.join()\nprint('c')",
        ["stdout:a\nb\nc\n"],
    ),
    "shell commands write in order": ("print('a')\n!echo b\nprint('c')", ["stdout:a\nb\nc\n"]),
    "sys.__stdout__ is captured": ("import sys\nprint('a', file=sys.__stdout__, flush=True)", ["stdout:a\n"]),
    "faulthandler's text is standard error": (
        "import faulthandler, sys\nfaulthandler.dump_traceback(file=sys.__stderr__)\nprint('a')", None,
    ),
    "text without a newline is shown": ("print('a', end='')", ["stdout:a"]),
    "a carriage return is kept": ("print('1%\\r2%\\r', end='')", ["stdout:1%\r2%\r"]),
    "unicode is kept": ("print('日本 🙂 ü')", ["stdout:日本 🙂 ü\n"]),
}  # fmt: skip


@pytest.mark.parametrize("fact", ORDERS)
def test_outputs_come_in_order(kernel: Server, fact: str) -> None:
    code, expected = ORDERS[fact]
    found = outputs(kernel, code)
    if expected is None:
        assert (
            found[0].startswith("stderr:")
            and "most recent call first" in found[0]
            and found[1] == "stdout:a\n"
        )
    else:
        # A shell command may have a terminal of its own, which ends lines with \r\n.
        assert [text.replace("\r\n", "\n") for text in found] == expected


def test_order_holds_over_many_writers(kernel: Server) -> None:
    code = (
        "import os, subprocess\nfor i in range(20):\n    print(f'p{i}')\n    _ = os.write(1, b'w%d\\n' % i)\n"
        "    if i % 5 == 0: _ = subprocess.run(['echo', f's{i}'])\n    display(i)"
    )
    expected = []
    for i in range(20):
        expected += [f"stdout:p{i}\nw{i}\n" + (f"s{i}\n" if i % 5 == 0 else ""), f"display_data:{i}"]
    assert outputs(kernel, code) == expected


def test_a_character_split_between_two_writes_is_one_character(kernel: Server) -> None:
    code = "import os\nfor b in '日'.encode(): _ = os.write(1, bytes([b]))\n_ = os.write(1, b'\\xff!')"
    assert outputs(kernel, code) == ["stdout:日\ufffd!"]


def test_nothing_that_a_cell_writes_reaches_the_servers_own_pipes(fresh: Server) -> None:
    code = "import os, sys, subprocess\nprint('LEAK'); _ = os.write(1, b'LEAK'); _ = os.write(2, b'LEAK')\n"
    code += "_ = subprocess.run('echo LEAK; echo LEAK >&2', shell=True)\nprint('LEAK', file=sys.__stderr__)"
    base = fresh.ok(code)
    fresh.ok(code, base)
    fresh.run("import ctypes, os\nctypes.CDLL(None).printf(b'LEAK'); os.write(1, b'LEAK'); os.abort()")
    assert fresh.written_to_stdout() == b""
    assert b"LEAK" not in fresh.stderr_path.read_bytes()


def test_what_a_cell_wrote_before_it_died_is_in_its_outputs(kernel: Server) -> None:
    reply = kernel.run("import os\nprint('print'); _ = os.write(1, b'write\\n'); display(1); os._exit(3)")
    assert kinds(reply) == ["stdout:print\nwrite\n", "display_data:1"]


def test_outputs_are_valid_nbformat(kernel: Server) -> None:
    code = "print(1); display(2, {'a': 1})\nimport sys; print('e', file=sys.stderr)\n[1, 2]"
    cell = nbformat.v4.new_code_cell(code)
    cell.outputs = [nbformat.from_dict(out) for out in kernel.run(code)["output"]]
    for out in cell.outputs:
        if out.output_type == "execute_result":
            out.setdefault("execution_count", 1)
    nbformat.validate(nbformat.v4.new_notebook(cells=[cell]))


def test_rich_representations_are_in_the_mime_bundle(kernel: Server) -> None:
    code = "class R:\n    __repr__ = lambda s: 'plain'\n    _repr_html_ = lambda s: '<b>rich</b>'\nR()"
    data = kernel.run(code)["output"][-1]["data"]
    assert data["text/plain"] == "plain" and data["text/html"] == "<b>rich</b>"


def test_a_mime_bundle_method_is_used(kernel: Server) -> None:
    code = (
        "class R:\n    def _repr_mimebundle_(self, include=None, exclude=None):\n"
        "        return {'application/x-mine': {'a': 1}, 'text/plain': 'p'}, {'application/x-mine': {'m': 2}}\nR()"
    )
    out = kernel.run(code)["output"][-1]
    assert out["data"]["application/x-mine"] == {"a": 1}
    assert out["metadata"]["application/x-mine"] == {"m": 2}


def test_ipython_display_is_used(kernel: Server) -> None:
    code = "class R:\n    def _ipython_display_(self): print('shown itself')\nR()"
    assert outputs(kernel, code) == ["stdout:shown itself\n"]


def test_bytes_of_an_image_are_base64(kernel: Server) -> None:
    code = "class R:\n    def _repr_png_(self): return b'\\x89PNG not really'\nR()"
    data = kernel.run(code)["output"][-1]["data"]
    assert base64.b64decode(data["image/png"]) == b"\x89PNG not really"


def test_a_raising_representation_is_an_output(kernel: Server) -> None:
    code = "class R:\n    __repr__ = lambda s: 'p'\n    def _repr_html_(self): raise ValueError('broken html')\nR()"
    reply = kernel.run(code)
    assert reply["error"] is None and reply["state_name"] and result(reply) == "p"
    assert "broken html" in stderr(reply)


def test_a_raising_repr_is_an_output(kernel: Server) -> None:
    reply = kernel.run("class R:\n    def __repr__(self): raise ValueError('broken repr')\nR()")
    assert reply["error"] is None and "broken repr" in json.dumps(reply["output"])


def test_display_takes_several_objects(kernel: Server) -> None:
    assert outputs(kernel, "display(1, 'two')") == ["display_data:1", "display_data:'two'"]


def test_display_is_no_variable_of_the_state(kernel: Server) -> None:
    state = kernel.ok("display(1)")
    assert kernel.describe(state)["variables"] == {}


def test_a_users_own_display_is_kept(kernel: Server) -> None:
    state = kernel.ok("display = 5")
    assert kernel.describe(state)["variables"]["display"]["repr"] == "5"
    assert kernel.printed("print(display)", state) == "5\n"


def test_a_raw_mime_bundle_can_be_displayed(kernel: Server) -> None:
    out = kernel.run("display({'text/html': '<i>x</i>'}, raw=True)")["output"][0]
    assert out["output_type"] == "display_data" and out["data"] == {"text/html": "<i>x</i>"}


@pytest.mark.parametrize("end", ["", "\nplt.show()", "\nplt.show()\nprint('after')"])
def test_an_open_figure_is_a_png(kernel: Server, end: str) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    reply = kernel.run("import matplotlib.pyplot as plt\n_ = plt.plot([1, 2])" + end)
    pictures = [out for out in reply["output"] if "image/png" in out.get("data", {})]
    assert len(pictures) == 1 and pictures[0]["output_type"] == "display_data"
    assert base64.b64decode(pictures[0]["data"]["image/png"]).startswith(b"\x89PNG")


def test_a_shown_figure_is_not_shown_again_in_the_next_cell(kernel: Server) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    state = kernel.ok("import matplotlib.pyplot as plt\n_ = plt.plot([1, 2])")
    assert kernel.run("x = 1", state)["output"] == []


def test_a_figure_is_shown_between_prints(kernel: Server) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    reply = kernel.run(
        "import matplotlib.pyplot as plt\nprint('a'); _ = plt.plot([1]); plt.show(); print('b')"
    )
    assert [out["output_type"] for out in reply["output"]] == ["stream", "display_data", "stream"]


def test_a_huge_representation_is_cut_and_says_so(kernel: Server) -> None:
    reply = kernel.run("class R:\n    def __repr__(self): return 'x' * (50 << 20)\nR()", timeout_s=60)
    text = result(reply)
    assert text is not None and len(text) < 5 << 20
    assert any(word in text[-500:].lower() for word in ("cut", "truncated", "characters", "limit"))


def test_a_huge_repr_of_a_variable_is_cut(kernel: Server) -> None:
    state = kernel.ok("text = 'x' * (10 << 20)")
    assert len(kernel.describe(state)["variables"]["text"]["repr"]) < 11_000


def test_output_beyond_the_limit_is_counted_not_kept(kernel: Server) -> None:
    reply = kernel.run("for _ in range(40): print('x' * (1 << 20))", timeout_s=60)
    assert reply["error"] is None
    assert len(json.dumps(reply["output"])) < 20 << 20
    last = reply["output"][-1]
    assert last["name"] == "stderr" and any(character.isdigit() for character in last["text"])


def test_more_outputs_than_the_limit_are_counted_not_kept(kernel: Server) -> None:
    reply = kernel.run("for i in range(12_000): display(i)", timeout_s=60)
    assert reply["error"] is None and len(reply["output"]) <= 10_001
    assert "2,000" in stderr(reply) or "2000" in stderr(reply)


def test_late_output_of_a_child_process_is_not_in_another_branch(
    kernel: Server, bell: Bell, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    late = f"read x < {gate}; echo LATE; {bell.ring_in_shell}"
    kernel.ok(f"import subprocess\np = subprocess.Popen({late!r}, shell=True)")
    other = kernel.begin(
        f"open({str(gate)!r}, 'w').write('go\\n')\nopen({str(tmp_path / 'end')!r}, 'x').close()\nprint('mine')"
    )
    bell.wait()
    assert kinds(other.reply()) == ["stdout:mine\n"]


def test_a_warning_is_on_stderr_with_the_users_line(kernel: Server) -> None:
    reply = kernel.run("import warnings\nwarnings.warn('careful')")
    assert "UserWarning: careful" in stderr(reply) and "stillframe" not in stderr(reply)


def test_progress_bars_on_stderr_flow(kernel: Server) -> None:
    code = "import sys\nfor i in range(5): print(f'\\r{i}', end='', file=sys.stderr, flush=True)"
    assert outputs(kernel, code) == ["stderr:\r0\r1\r2\r3\r4"]


def test_logging_goes_to_stderr(kernel: Server) -> None:
    reply = kernel.run("import logging\nlogging.warning('noted')\nprint('x')")
    assert "WARNING:root:noted" in stderr(reply)


def test_standard_input_is_empty(kernel: Server) -> None:
    assert kernel.printed("import os\nprint(os.read(0, 10))") == "b''\n"
    assert kernel.printed("import subprocess\nprint(subprocess.run('cat', timeout=5).returncode)") == "0\n"


@pytest.mark.parametrize(
    "code",
    [
        "for i in range(3): i",
        "if True: 5",
        "5; None",
        "5;",
        "x = 5",
        "# 5",
        "'a' and None",
        "with open('/dev/null'): 5",
    ],
)
def test_a_line_shows_no_value_but_that_of_a_last_expression(kernel: Server, code: str) -> None:
    assert kernel.run(code)["output"] == []


@pytest.mark.parametrize("code", ["5", " 5 # five", "(2 +\n3)", "4; 5", "x = 4\n5", "5\n\n", "\n5", "# x\n5"])
def test_the_value_of_the_last_expression_is_the_result(kernel: Server, code: str) -> None:
    assert [output["data"]["text/plain"] for output in kernel.run(code)["output"]] == ["5"]
