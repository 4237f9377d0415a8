"""The programs of this folder: what their comments say about them, and how they are run.

A program captures itself in the middle and ends there: `stillframe.snapshot(path) or os._exit(0)`. What it has
printed by then and what it prints when it is resumed must together be what it prints undisturbed. Marks:

  # copies: 3            resumed so many times from one snapshot, all at once
  # snapshots: 2         captured so often, the next time in the resumed program, at $SNAPSHOT0, $SNAPSHOT1, …
  # value: JSON          handed in when it is resumed
  # refused: a, b        it is not captured: it prints "refused: …", which names a and b, and goes on
  # teleports            it calls teleport() and is one command for whoever runs it
  # any order            its lines may come in any order
  # not at a prompt: …   why it is not typed into a prompt
"""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path

from frames.differential import Outcome

HERE = Path(__file__).parent
STAND_IN = HERE / "undisturbed"
PATIENCE_S = 60.0
WAYS = ("script", "module", "prompt")


@dataclass(frozen=True)
class Situation:
    """One program."""

    path: Path

    @property
    def name(self) -> str:
        return self.path.stem

    def mark(self, name: str) -> str | None:
        """What follows the mark in the program's comments; empty if nothing does, None if it is not there."""
        found = re.search(rf"^# {name}(?:: (.*))?$", self.path.read_text(), re.MULTILINE)
        return None if found is None else found[1] or ""

    @property
    def refusals(self) -> list[str]:
        return [part for part in (self.mark("refused") or "").split(", ") if part]

    def typed(self) -> str:
        """The program as one statement that can be typed into a prompt: blank lines would end it too soon.

        A prompt shows the value of an expression; what snapshot() returns is not to be shown.
        """
        body = Unshown().visit(ast.Module(ast.parse(self.path.read_text()).body[1:], []))
        lines = [line for line in ast.unparse(body).splitlines() if line.strip()]
        return "if True:\n" + textwrap.indent("\n".join(lines), "    ") + "\n\n"

    def run(self, way: str, directory: Path, **variables: str) -> Outcome:
        """Run it as a script, with -m, or typed into a prompt; temporary files go to `directory`."""
        command = {"script": [str(self.path)], "module": ["-m", self.name], "prompt": ["-i", "-q"]}[way]
        done = subprocess.run(
            [sys.executable, *command],
            cwd=HERE,
            env=environment(directory, **variables),
            input=self.typed().encode() if way == "prompt" else b"",
            capture_output=True,
            timeout=PATIENCE_S,
            check=False,
        )
        stderr = done.stderr if way == "script" else without_what_runs_it(done.stderr)
        return Outcome(done.returncode, done.stdout, stderr)

    def undisturbed(self, way: str, directory: Path, **variables: str) -> Outcome:
        """What it does without stillframe: the stand-in is found first."""
        return self.run(way, directory, PYTHONPATH=str(STAND_IN), SNAPSHOT="unused", **variables)


class Unshown(ast.NodeTransformer):
    """Makes `a or b` as a statement `_ = a or b`."""

    def visit_Expr(self, node: ast.Expr) -> ast.stmt:
        if not isinstance(node.value, ast.BoolOp):
            return node
        return ast.fix_missing_locations(
            ast.copy_location(ast.Assign([ast.Name("_", ast.Store())], node.value), node)
        )


def environment(directory: Path, **variables: str) -> dict[str, str]:
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PYTEST_"))
    }
    steering = {"TMPDIR": str(directory), "PYTHONDONTWRITEBYTECODE": "1"}
    if engine := os.environ.get("FRAMES_ENGINE"):
        steering["PYTHONPATH"] = engine
    return {**inherited, **steering, **variables}


def without_what_runs_it(stderr: bytes) -> bytes:
    """What a program wrote to stderr, without the prompts in between, and without runpy's lines in tracebacks.

    What runs a program is not part of it, and does not travel.
    """
    return re.sub(rb'^(?:(?:>>> |\.\.\. )+\n?|  File "<frozen runpy>".*\n)', b"", stderr, flags=re.MULTILINE)


SITUATIONS = [
    Situation(path)
    for path in sorted(HERE.glob("*.py"))
    if not path.stem.startswith(("test_", "_")) and path.stem != "situations"
]
