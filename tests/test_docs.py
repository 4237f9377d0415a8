"""The docs say what is so: their examples run, what they name is there, and what is there is named.

How examples are marked:
  * `python` blocks are programs. A comment behind a print is what it prints.
  * `console` blocks are sessions: `$ command`, then what it prints. `still serve` runs on in the background.
  * `sh` blocks are for people: only verbs of the Makefile and pip. `text` blocks are pictures.

The blocks of one page are one session, in their order. Times, sizes, ports and ids may differ; `…` stands
for anything, and on a line of its own for any number of lines.
"""

from __future__ import annotations

import contextlib
import os
import re
import select
import shutil
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, get_args

import nbformat
import pytest

from cli_support import Home
from stillframe import errors, model
from stillframe.cli import demo
from stillframe.cli.main import still
from stillframe.engine import protocol
from support.processes import until, with_marker

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
LANGUAGES = {"python", "console", "sh", "text"}
PORT = "8765"
"""The port of the docs; a free one is used instead."""
MARKER = "SF_TEST_DOCS"
PATIENCE_S = 60.0
END = "end-of-the-output"


class Block(NamedTuple):
    """A fenced block of a page."""

    page: Path
    line: int
    language: str
    text: str


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page, in their order."""
    text = page.read_text()
    found = re.finditer(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [Block(page, text[: m.start()].count("\n") + 1, m[1], m[2]) for m in found]


RUN = [page for page in PAGES if any(block.language in ("python", "console") for block in blocks(page))]


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


# Running examples

VARIABLE = (
    (r"\b\d+(\.\d+)? (ms|s|min|h)\b( ago)?|\bnow\b", "TIME"),
    (r"\b\d+(\.\d+)? (B|KB|MB|GB)\b", "SIZE"),
    (r"127\.0\.0\.1:\d+", "ADDRESS"),
    (r"\bprocess \d+", "process ID"),
    (r"\b[0-9a-f]{32}\b", "ID"),
    (r'"duration_s":[\d.e-]+', '"duration_s":TIME'),
    (r" +", " "),
    (r"-{5,}", "-----"),
)


def normal(text: str) -> str:
    """Text without what differs from run to run."""
    for pattern, word in VARIABLE:
        text = re.sub(pattern, word, text)
    return "\n".join(line.rstrip() for line in text.strip("\n").split("\n"))


def pattern_of(expected: str) -> re.Pattern[str]:
    """What matches normal text that is as expected."""
    lines = []
    for line in normal(expected).split("\n"):
        anything = line.strip() == "…"
        lines.append("(?:.*\n)*?" if anything else re.escape(line).replace("…", ".*") + "\n")
    return re.compile("".join(lines))


def assert_same(found: str, expected: str, where: str) -> None:
    """That `found` is what the docs show; both in full where it is not."""
    if not pattern_of(expected).fullmatch(normal(found) + "\n"):
        raise AssertionError(f"{where}\n--- the docs:\n{expected}\n--- found:\n{found}")


class Session:
    """Runs the examples of one page: one shell, one home, servers that end with it."""

    def __init__(self, home: Home, marker: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = str(probe.getsockname()[1])
        self.home = home
        programs = home.path / "bin"
        programs.mkdir()
        for name, command in (
            ("still", f'"{sys.executable}" -m stillframe'),
            ("python3", f'"{sys.executable}"'),
        ):
            (programs / name).write_text(f'#!/bin/sh\nexec {command} "$@"\n')
            (programs / name).chmod(stat.S_IRWXU)
        self.environment = home.environment | {
            "PATH": f"{programs}:{os.environ['PATH']}", MARKER: marker, "PYTHONUNBUFFERED": "1",
        }  # fmt: skip
        self.servers: list[subprocess.Popen[bytes]] = []
        self.shell = self._start(["bash", "--norc"], stdin=subprocess.PIPE)

    def _start(self, command: list[str], **options: Any) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=self.home.work,
            env=self.environment, start_new_session=True, **options,
        )  # fmt: skip

    def run(self, block: Block) -> None:
        """Run a block; AssertionError where it does not do what it says."""
        where = f"{name_of(block.page)}, line {block.line}"
        text = block.text.replace(PORT, self.port)
        if block.language == "python":
            self._run_python(text, where)
            return
        for example in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
            command, expected = self._split(example)
            if command.startswith("still serve"):
                found = self._serve(command, lines=expected.count("\n"))
            else:
                found = self._type(command)
            assert_same(found, expected, f"{where}: $ {command}")

    def _split(self, example: str) -> tuple[str, str]:
        """A command, which goes on where a line ends in a backslash, and what it prints."""
        found = re.match(r"(?:.*\\\n)*.*\n", example)
        assert found is not None, example
        return found[0].strip(), example[found.end() :]

    def _run_python(self, text: str, where: str) -> None:
        expected = re.findall(r"^\s*print\(.*\)\s+# (.*)$", text, re.MULTILINE)
        done = subprocess.run(
            [sys.executable, "-c", text], cwd=self.home.work, env=self.environment, check=False,
            capture_output=True, text=True, timeout=PATIENCE_S, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        assert done.returncode == 0, f"{where}: {done.stderr}"
        assert_same(done.stdout, "\n".join(expected), where)

    def _type(self, command: str) -> str:
        """Have the shell run a command; what it printed."""
        assert self.shell.stdin is not None
        self.shell.stdin.write(f"{command}\nprintf '\\n{END}\\n'\n".encode())
        self.shell.stdin.flush()
        return self._read(self.shell, lambda text: text.endswith(f"\n{END}\n")).removesuffix(f"\n{END}\n")

    def _serve(self, command: str, lines: int) -> str:
        server = self._start(["bash", "-c", f"exec {command}"], stdin=subprocess.DEVNULL)
        self.servers.append(server)
        return self._read(server, lambda text: text.count("\n") >= lines)

    def _read(self, process: subprocess.Popen[bytes], is_enough: Any) -> str:
        assert process.stdout is not None
        said, deadline_s = b"", time.monotonic() + PATIENCE_S
        while not is_enough(said.decode(errors="replace")):
            assert select.select([process.stdout], [], [], max(0.0, deadline_s - time.monotonic()))[0], said
            piece = os.read(process.stdout.fileno(), 65536)
            assert piece, f"it ended: {said.decode(errors='replace')}"
            said += piece
        return said.decode()

    def close(self) -> None:
        """End the shell, the servers, and what a verb has started in the background."""
        assert self.shell.stdin is not None
        self.shell.stdin.close()
        for process in (self.shell, *self.servers):
            process.terminate()
            process.wait(PATIENCE_S)
            assert process.stdout is not None
            process.stdout.close()
        self.home.close()


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    """A session in a home of its own; afterwards no process of it is left."""
    session = Session(Home(tmp_path), str(tmp_path))
    cells = [nbformat.v4.new_code_cell(source) for source in ("x = [3, 1, 2]", "x.sort()", "x")]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), session.home.work / "analysis.ipynb")
    with contextlib.closing(session):
        yield session
    until(lambda: not with_marker(f"{MARKER}={tmp_path}"), 10, "the end of every process of the examples")


@pytest.mark.parametrize("page", RUN, ids=name_of)
def test_the_examples_of_a_page_do_what_it_says(page: Path, session: Session) -> None:
    examples = [block for block in blocks(page) if block.language in ("python", "console")]
    if any("$ curl" in block.text for block in examples) and shutil.which("curl") is None:
        pytest.skip("curl is not installed: the examples over REST are not run")
    for block in examples:
        session.run(block)


def test_an_example_that_says_something_else_is_seen() -> None:
    assert_same("1 in 3 ms\n2\n", "1 in 0.5 ms\n…", "here")
    for wrong in ("2 in 3 ms\n2\n", "1 in 3 ms", "1 in 3 ms\n2\n3"):
        with pytest.raises(AssertionError, match="the docs"):
            assert_same(wrong, "1 in 3 ms\n2", "here")


def test_there_are_examples_in_python_rest_and_cli() -> None:
    texts = [block.text for block in blocks(ROOT / "README.md") if block.language in ("python", "console")]
    for sign in ("stillframe.Kernel(", "stillframe.connect(", "$ still execute", "$ curl"):
        assert any(sign in text for text in texts), sign


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_block_of_a_page_says_what_it_is(page: Path) -> None:
    strange = [(block.line, block.language) for block in blocks(page) if block.language not in LANGUAGES]
    assert strange == []


# What the docs name is there


def test_every_link_leads_somewhere() -> None:
    program = [sys.executable, ROOT / "scripts" / "links.py", "README.md", "docs"]
    done = subprocess.run(program, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_every_link_to_a_heading_has_its_heading() -> None:
    missing = []
    for page in PAGES:
        for path, heading in re.findall(r"\]\(([^)#\s]*)#([^)\s]+)\)", page.read_text()):
            target = (page.parent / path) if path else page
            if "://" not in path and heading not in headings(target):
                missing.append((name_of(page), path, heading))
    assert missing == []


def headings(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    titles = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def test_every_test_that_the_docs_name_is_there() -> None:
    sources = "".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    tests = set(re.findall(r"^def (test_\w+)", sources, re.MULTILINE))
    named = {name for page in PAGES for name in re.findall(r"`(test_\w+)`", page.read_text())}
    assert named and named - tests == set()


def test_every_file_that_the_docs_name_is_there() -> None:
    made_by_make = {"docs/benchmarks.md", "docs/soak.md"}
    missing = []
    for page in PAGES:
        for path in re.findall(r"`((?:tests|scripts|docs|engine)/[\w./]+\.\w+)`", page.read_text()):
            place = ROOT / "src" / "stillframe" if path.startswith("engine/") else ROOT
            if path not in made_by_make and not (place / path).exists():
                missing.append((name_of(page), path))
    assert missing == []


def test_every_verb_of_make_that_the_docs_name_is_there() -> None:
    verbs = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {verb for page in PAGES for verb in re.findall(r"(?:^|`)make ([a-z-]+)", page.read_text(), re.M)}
    assert {"demo", "test"} <= named and named - verbs == set()


def test_every_decision_that_is_cited_is_there() -> None:
    numbers = {path.name[:4] for path in (DOCS / "decisions").glob("*.md")}
    sources = [path.read_text() for path in (ROOT / "src").rglob("*.py")]
    sources += [path.read_text() for path in (ROOT / "src").rglob("*.c")]
    cited = {number for text in sources for number in re.findall(r"docs/decisions/(\d{4})", text)}
    assert cited and cited - numbers == set()


@pytest.mark.parametrize("page", sorted((DOCS / "decisions").glob("*.md")), ids=lambda page: page.stem)
def test_a_decision_has_question_options_choice_and_what_would_change_it(page: Path) -> None:
    text = page.read_text()
    assert text.startswith(f"# {page.name[:4]}: ")
    assert "**Question.**" in text and "**What would change it.**" in text
    assert "**Choice.**" in text


# What is there is named


@pytest.mark.parametrize("verb", sorted(still.commands))
def test_every_verb_has_an_example_in_its_help_and_its_options_in_the_docs(verb: str) -> None:
    command = still.commands[verb]
    assert command.help is not None and f"still {verb}" in command.help.partition("\b")[2]
    section = re.search(rf"^## still {verb}\n(.*?)(?=^## |\Z)", (DOCS / "cli.md").read_text(), re.M | re.S)
    assert section is not None
    hidden = {option for param in command.params if getattr(param, "hidden", False) for option in param.opts}
    options = {
        option for param in command.params for option in param.opts if option.startswith("--")
    } - hidden
    assert {option for option in options if f"{option}`" not in section[1] and f"{option} " not in section[1]
            and f"{option}]" not in section[1]} == set()  # fmt: skip


@pytest.mark.parametrize("code", sorted(errors.BY_CODE))
def test_every_error_is_in_the_protocols_document_with_its_status(code: str) -> None:
    line = next(
        line for line in (DOCS / "protocol.md").read_text().splitlines() if re.search(rf"\b{code}\b", line)
    )
    assert str(errors.BY_CODE[code].status) in line


def test_every_field_of_a_node_is_in_the_protocols_document() -> None:
    text = (DOCS / "protocol.md").read_text()
    assert {field for field in model.Node.__struct_fields__ if not re.search(rf"\b{field}\b", text)} == set()


def test_every_limit_is_in_the_design_with_its_default() -> None:
    rows = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \| (.*?) \|", (DOCS / "design.md").read_text(), re.MULTILINE)
    told = {name: shown for names, shown in rows for name in re.findall(r"`(\w+)`", names)}
    assert set(model.Limits.__struct_fields__) - told.keys() == set()
    limits = model.Limits()
    for name in ("body_bytes", "output_bytes", "representation_bytes"):
        assert told[name] == f"{getattr(limits, name) >> 20} MiB"
    for name in ("outputs", "repr_chars", "processes", "ready_processes", "standby_processes"):
        assert told[name].partition(" ")[0].rstrip(",") == f"{getattr(limits, name):,}"
    for name in ("interrupt_grace_s", "look_s", "replay_s"):
        assert told[name] == f"{getattr(limits, name):g}"


def test_every_message_between_the_processes_is_in_the_design() -> None:
    text = (DOCS / "design.md").read_text()
    kinds = [*get_args(protocol.ToProcess), *get_args(protocol.FromProcess), *get_args(protocol.Request)]
    assert {kind.__name__ for kind in kinds if not re.search(rf"\b{kind.__name__}\b", text)} == set()


def test_every_way_back_and_every_kind_of_error_is_explained() -> None:
    glossary, document = (DOCS / "glossary.md").read_text(), (DOCS / "protocol.md").read_text()
    assert {way for way in get_args(model.WayBack) if f"| **{way}** |" not in glossary} == set()
    assert {kind for kind in get_args(model.ErrorKind) if f"| {kind} |" not in document} == set()


def test_the_recorded_tree_is_the_demos() -> None:
    recorded = next(block.text for block in blocks(ROOT / "README.md") if "The tree\n" in block.text)
    names = set(re.findall(r"● (\S+(?: \S+)?)  ", recorded))
    book = nbformat.read(Path(demo.__file__).with_name("demo.ipynb"), as_version=4)
    cells = sum(cell.cell_type == "code" for cell in book.cells)
    made = {f"{demo.PREFIX}/{number}" for number in range(1, cells + 1)}
    assert names == {"initial"} | made | {f"model/{name}" for name in demo.MODELS}
