"""Programs that are captured whole, and looked at twice: where they ran, and where they were restored.

A test gives a program and what to observe of it, both as source. The observations print; they are run in the program
that was captured, afterwards, and in a fresh process that has restored it. Both must print the same.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import textwrap
from pathlib import Path

SOURCE = Path(__file__).parent.parent.parent / "src"
LIMIT_S = 120

CAPTURE = """
import pickle as _pickle, sys as _sys
from stillframe.capture.capturing import capture as _capture
from stillframe.capture.pickler import Options as _Options
_contents = _capture(None, _Options(whole_program=True))
with open(_sys.argv[1], "wb") as _file:
    _pickle.dump((bytes(_contents.pickle), [bytes(_part) for _part in _contents.buffers]), _file)
del _pickle, _capture, _Options, _contents, _file
print("----")
"""
RESTORE = """
import pickle, sys
from stillframe.capture.capturing import Contents, restore
with open(sys.argv[1], "rb") as file:
    data, parts = pickle.load(file)
with open(sys.argv[2], encoding="utf-8") as file:
    text = file.read()
restore(Contents(data, [bytearray(part) for part in parts]))
exec(compile(text, "<observation>", "exec"), vars(sys.modules["__main__"]))
"""


def environment() -> dict[str, str]:
    return os.environ | {
        "PYTHONPATH": str(SOURCE),
        "PYTHONHASHSEED": "random",
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def run(*arguments: str, folder: Path, check: bool = True) -> str:
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    if check:
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout
    return done.stdout + done.stderr


def both(program: str, observation: str, folder: Path, *, module: str = "") -> tuple[str, str]:
    """What the observation prints in the program that was captured, and in the restored one."""
    observation = textwrap.dedent(observation)
    name = module.replace(".", "/") or "program"
    (folder / f"{name}.py").write_text(textwrap.dedent(program) + CAPTURE + observation, encoding="utf-8")
    (folder / "observation.py").write_text(observation, encoding="utf-8")
    start = ["-m", module] if module else ["program.py"]
    here = run(*start, str(folder / "captured"), folder=folder).split("----\n", 1)[1]
    there = run("-c", RESTORE, str(folder / "captured"), str(folder / "observation.py"), folder=folder)
    return here, there


def same(program: str, observation: str, folder: Path, *, module: str = "") -> None:
    here, there = both(program, observation, folder, module=module)
    assert here, "the observation prints nothing: it would be the same for a wrong capture"
    assert there == here, f"it was:\n{here}and is:\n{there}"


def load_captured(folder: Path) -> tuple[bytes, list[bytes]]:
    with open(folder / "captured", "rb") as file:
        data, parts = pickle.load(file)
    return data, parts
