"""Six notebooks: every variable of every state, restored in another kernel's process, equals the live one."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from stillframe.store import snapshots
from stillframe.store.blobs import Blobs
from support.state_processes import Held, StateProcesses

HERE = Path(__file__).parent
NOTEBOOKS = sorted(path.stem for path in (HERE / "notebooks").glob("*.cells"))


def cells_of(name: str) -> list[str]:
    text = (HERE / "notebooks" / f"{name}.cells").read_text()
    return [cell.strip("\n") for cell in text.split("# %%\n")[1:]]


def oracle_cell(folder: Path) -> str:
    import marshal

    path = folder.parent / "oracle.code"
    path.write_bytes(marshal.dumps(compile((HERE / "oracle.py").read_text(), "oracle", "exec")))
    code = f"__import__('marshal').loads(__import__('pathlib').Path({str(path)!r}).read_bytes())"
    return f"exec({code}, {{'__name__': 'oracle', 'namespace': globals(), 'get_ipython': get_ipython}})"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "work"
    shutil.copytree(HERE / "folder", folder)
    return folder


@pytest.fixture
def store(tmp_path: Path) -> Path:
    store = tmp_path / "store"
    store.mkdir()
    Blobs(store).create()
    return store


@pytest.fixture
def kernels(folder: Path) -> Iterator[list[StateProcesses]]:
    """Two kernels: one where notebooks run, one where their states are restored."""
    made = [StateProcesses(folder, {"PYTHONHASHSEED": seed}) for seed in ("1", "2")]
    yield made
    for kernel in made:
        kernel.stop()


class Restorer:
    """Restores states in processes of a kernel that has run nothing, from bases that have imported what they need."""

    def __init__(self, kernel: StateProcesses, store: Path) -> None:
        self.kernel, self.store, self.bases = kernel, store, dict[str, Held]()

    def restore(self, record: bytes) -> Held:
        header = msgspec.json.decode(snapshots.decode(record).header)
        digest = header["imports"]
        if digest not in self.bases:
            modules = Blobs(self.store).get(digest).decode().split()
            self.bases[digest] = self.kernel.base(modules, header["path"])
        live = self.bases[digest].fork()
        restored = live.restore(self.store, record)
        assert not restored.error, restored.error
        assert restored.notes == []
        return live


def differences(expected: str, found: str) -> list[str]:
    want, have = expected.splitlines(), found.splitlines()
    wrong = [f"  live:     {a}\n  restored: {b}" for a, b in zip(want, have, strict=False) if a != b]
    if len(want) != len(have):
        wrong.append(f"{len(want)} lines live, {len(have)} restored")
    return wrong


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_every_variable_of_every_state_is_restored(
    name: str, kernels: list[StateProcesses], store: Path, folder: Path
) -> None:
    here, there = kernels
    live, restorer = here.root.fork(), Restorer(there, store)
    ask, checks, wrong, near = oracle_cell(folder), 0, list[str](), b""
    for number, cell in enumerate(cells_of(name)):
        live.ok(cell)
        frozen = live.freeze()
        captured = frozen.capture(store, near)
        assert captured.error == "" and captured.obstacles == [], captured.obstacles
        near = captured.record
        branch, restored = frozen.fork(), restorer.restore(captured.record)
        expected, found = branch.ok(ask), restored.ok(ask)
        assert "cannot be described" not in expected
        checks += len(expected.splitlines())
        wrong += [f"state {number} of {name}:\n{text}" for text in differences(expected, found)]
        for process in (branch, restored, frozen):
            process.end()
    print(f"{name}: {checks:,} checks, {len(wrong)} failures")
    assert not wrong, f"{len(wrong)} of {checks:,} checks failed\n" + "\n".join(wrong[:20])
