"""What a capture of a state writes and refuses, and what a restored state does next."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from stillframe.store import mapping, snapshots
from stillframe.store.blobs import Blobs
from support.processes import until
from support.state_processes import Held, StateProcesses


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StateProcesses]:
    made = StateProcesses(tmp_path_factory.mktemp("work"))
    yield made
    made.stop()


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    store = tmp_path_factory.mktemp("store")
    Blobs(store).create()
    return store


def state(kernel: StateProcesses, *cells: str) -> tuple[Held, Held]:
    """The tip and the frozen process of what these cells make."""
    live = kernel.root.fork()
    for cell in cells:
        live.ok(cell)
    return live, live.freeze()


def restored(kernel: StateProcesses, store: Path, frozen: Held) -> Held:
    captured = frozen.capture(store)
    assert captured.obstacles == [] and captured.error == "", captured
    live = kernel.root.fork()
    answer = live.restore(store, captured.record)
    assert answer.error == "", answer.error
    return live


def obstacles(kernel: StateProcesses, store: Path, code: str) -> list[str]:
    before = sorted(Blobs(store).digests())
    captured = state(kernel, code)[1].capture(store)
    assert captured.record == b"" and sorted(Blobs(store).digests()) == before
    return captured.obstacles


def test_all_obstacles_are_named_by_their_paths_and_nothing_is_written(
    kernel: StateProcesses, store: Path
) -> None:
    code = """
    import socket, sqlite3, types
    job = types.SimpleNamespace(pool=types.SimpleNamespace(_sock=socket.socket()))
    rows = [{"db": sqlite3.connect(":memory:")}]
    """
    first, second = obstacles(kernel, store, "\n".join(line.strip() for line in code.splitlines()))
    assert first.startswith("job.pool._sock (socket): it is a connection")
    assert second.startswith("rows[0]['db'] (Connection): it is an open database")


@pytest.mark.parametrize("name", ["t = ", ""])
def test_a_live_thread_is_an_obstacle_whether_a_variable_holds_it_or_not(
    kernel: StateProcesses, store: Path, name: str
) -> None:
    code = f"import threading\nstop = threading.Event()\n{name}threading.Thread(target=stop.wait, name='w')\n"
    start = "t.start()" if name else "threading.Thread(target=stop.wait, name='w', daemon=True).start()"
    (found,) = obstacles(kernel, store, code + start)
    assert found.startswith("t (Thread): it runs" if name else "thread 'w' (Thread): it runs")


def test_a_child_of_a_state_is_a_small_patch_to_it(kernel: StateProcesses, store: Path) -> None:
    live, frozen = state(
        kernel, "rows = [{'number': n, 'text': str(n)} for n in range(20_000)]\ndef f(): return rows"
    )
    first = frozen.capture(store)
    live.ok("y = 1")
    record = snapshots.decode(live.freeze().capture(store, first.record).record)
    whole, patch = record.pickle.size_bytes, Blobs(store).size(record.pickle.blob)
    assert record.pickle.near == snapshots.decode(first.record).pickle.digest
    assert whole > 300_000 and patch < 3_000, (whole, patch)
    live.ok("rows[7]['number'] = -1; rows.append({}); del y")
    record = snapshots.decode(live.freeze().capture(store, first.record).record)
    assert Blobs(store).size(record.pickle.blob) < 3_000


def test_two_captures_of_one_state_are_the_same_bytes(kernel: StateProcesses, store: Path) -> None:
    _, frozen = state(
        kernel, "import numpy as np, logging\na = np.arange(9); b = a[2:]; c = {b'x', 'y', 3}\nclass C: pass"
    )
    one, two = (snapshots.decode(frozen.capture(store).record) for _ in range(2))
    assert one.pickle == two.pickle and one.buffers == two.buffers


def test_a_tip_that_has_adopted_blobs_has_its_arrays_recognised(kernel: StateProcesses, store: Path) -> None:
    live, frozen = state(
        kernel, "import numpy as np\na = np.arange(5_000_000.0); b = a[5:]; c = bytearray(9)\n"
    )
    captured = frozen.capture(store)
    ((address, size_bytes, digest, is_as_frozen),) = captured.buffers
    assert is_as_frozen
    live.adopt(store, captured)

    def is_mapped() -> bool:
        return digest in Path(f"/proc/{live.pid}/maps").read_text()

    until(is_mapped, 10, "the blob in the tip's memory")
    assert live.ok("b[0] = 7; print(a[5], a.sum(), a.flags.owndata)") == "7.0 12499997500002.0 True\n"
    again = live.freeze().capture(store, captured.record)
    assert again.buffers[0][:2] == (address, size_bytes) and again.buffers[0][2] != digest
    assert size_bytes >= mapping.SMALLEST_ADOPTED_BYTES


def test_bytearrays_and_typed_arrays_are_blobs_of_their_own_and_can_still_grow(
    kernel: StateProcesses, store: Path
) -> None:
    live, frozen = state(
        kernel, "import array\nb = bytearray(range(250)) * 160_000; same = [b]; d = array.array('d', range(300_000))"
    )
    captured = frozen.capture(store)
    record = snapshots.decode(captured.record)
    assert sorted(part.size_bytes for part in record.buffers[:-1]) == [2_400_000, 40_000_000]
    live.adopt(store, captured)
    blob = max(record.buffers, key=lambda part: part.size_bytes).digest
    until(lambda: blob in Path(f"/proc/{live.pid}/maps").read_text(), 10, "the blob in the tip's memory")
    assert live.ok("d[0] = 5; b.extend(b'more'); print(len(b), same[0] is b, sum(b[:250]), d[0])") == (
        "40000004 True 31125 5.0\n"
    )
    live = restored(kernel, store, frozen)
    seen = "print(same[0] is b, b == bytearray(range(250)) * 160_000, d == array.array('d', range(300_000)))"
    assert live.ok(seen) == "True True True\n"
    live.ok("d.append(1)")
    again = snapshots.decode(live.freeze().capture(store, captured.record).record)
    assert [part.size_bytes for part in again.buffers if part.digest == blob] == [40_000_000]
    assert live.ok("b[:1] = b''; b += b'x'; print(len(b), b[0], b[-1])") == "40000000 1 120\n"


_FORKS = """
import os, signal
child = os.fork()
if not child:
    signal.pause()
"""


@pytest.mark.parametrize("is_forking", [False, True])
def test_what_a_capture_writes_to_in_its_copy_is_not_taken_for_what_the_tip_has(
    kernel: StateProcesses, store: Path, is_forking: bool
) -> None:
    """The class writes to the array while it is captured; and forks, so that the pages are shared again."""
    forks = "".join(f"        {line}\n" for line in _FORKS.splitlines()) if is_forking else ""
    live, frozen = state(
        kernel,
        "import numpy as np\na = np.arange(5_000_000.0)\nclass Odd:\n    def __reduce__(self):\n"
        f"        a[:] = 7\n{forks}        return Odd, ()\nodd = Odd()\n",
    )
    captured = frozen.capture(store)
    ((_, _, digest, is_as_frozen),) = captured.buffers
    assert not is_as_frozen
    live.adopt(store, captured)
    assert live.ok("print(a.sum())") == "12499997500000.0\n"
    assert digest not in Path(f"/proc/{live.pid}/maps").read_text()


def test_a_tip_that_was_written_to_since_is_compared(kernel: StateProcesses, store: Path) -> None:
    live, frozen = state(kernel, "import numpy as np\na = np.arange(5_000_000.0)")
    captured = frozen.capture(store)
    assert captured.buffers[0].is_as_frozen
    live.ok("a[2_500_000] = 1")
    live.adopt(store, captured)
    assert live.ok("print(a.sum())") == "12499995000001.0\n"
    live.ok("a[:] = 5; a[1] = 6" + _FORKS)
    live.adopt(store, captured)
    assert live.ok("os.kill(child, signal.SIGKILL); os.waitpid(child, 0); print(a.sum())") == "25000001.0\n"


def test_an_array_owns_its_memory_again_and_only_what_is_touched_is_read(
    kernel: StateProcesses, store: Path
) -> None:
    _, frozen = state(
        kernel, "import numpy as np\na = np.ones(4_000_000); f = np.asfortranarray(a.reshape(2000, 2000))"
    )
    live = restored(kernel, store, frozen)
    code = "import resource; before = resource.getrusage(0).ru_maxrss; print(a.flags.owndata, a.base, f.flags.f_contiguous)"
    assert live.ok(code) == "True None True\n"
    maps = Path(f"/proc/{live.pid}/maps").read_text()
    assert maps.count(str(store)) == 2
    assert live.ok("a.resize(10, refcheck=False); a[0] = 3; print(a.sum(), f.sum())") == "12.0 4000000.0\n"


def test_the_next_cell_has_the_same_number_name_result_and_traceback(
    kernel: StateProcesses, store: Path
) -> None:
    cells = (
        "def bad():\n    return 1 / 0",
        "41 + 1",
        "%alias hi echo hi",
        "from __future__ import annotations",
    )
    live, frozen = state(kernel, *cells)
    other = restored(kernel, store, frozen)
    for code in ("bad()", "print(_, __name__, In[1:3])\n%hi", "def g(x: Nowhere): ...\n_i"):
        mine, theirs = live.run(code), other.run(code)
        assert (mine.error, live.text) == (theirs.error, other.text)
        if mine.error:
            live, other = frozen.fork(), restored(kernel, store, frozen)
    assert (
        other.ok("print(get_ipython() is ip if 'ip' in globals() else get_ipython().user_ns is globals())")
        == "True\n"
    )


def test_a_file_that_is_written_is_left_as_it_is_and_written_on(
    kernel: StateProcesses, store: Path, tmp_path: Path
) -> None:
    """A restored state is as a fork: what another branch has written since is not cut off."""
    path = tmp_path / "log"
    live, frozen = state(
        kernel, f"log = open({str(path)!r}, 'w'); _ = log.write('one '); log.flush(); _ = log.write('two ')"
    )
    other = restored(kernel, store, frozen)
    assert path.read_text() == "one "
    live.ok("log.write('three and more '); log.flush()")
    assert path.read_text() == "one two three and more "
    other.ok("print(log.tell()); log.flush()")
    assert path.read_text() == "one two three and more "
    other.ok("log.write('THREE'); log.flush()")
    assert path.read_text() == "one two THREE and more "


def test_what_a_program_put_into_installed_modules_is_there_again(
    kernel: StateProcesses, store: Path
) -> None:
    code = "import string, textwrap, builtins\nstring.mine = kept = [1]\ntextwrap.dedent = lambda t: t\nbuiltins.sf_mine = 5"
    live = restored(kernel, store, state(kernel, code)[1])
    assert live.ok("print(string.mine is kept, textwrap.dedent(' x'), sf_mine)") == "True  x 5\n"
    live = restored(kernel, store, live.freeze())
    assert live.ok("print(string.mine is kept, textwrap.dedent(' x'), sf_mine)") == "True  x 5\n"


def test_a_state_with_top_level_awaits_awaits_on(kernel: StateProcesses, store: Path) -> None:
    code = """import asyncio
queue = asyncio.Queue()
async def waiting(): return await queue.get()
async def quick(): await asyncio.sleep(0); return 5
task = asyncio.create_task(waiting())
await asyncio.sleep(0)"""
    live = restored(kernel, store, state(kernel, code)[1])
    assert (
        live.ok("queue.put_nowait(7)\nprint(await task, await asyncio.gather(quick(), quick()))")
        == "7 [5, 5]\n"
    )
    branch = live.freeze().fork()
    assert branch.ok("print(await quick(), task.result())") == "5 7\n"


def test_the_handler_of_an_interrupt_is_the_programs(kernel: StateProcesses, store: Path) -> None:
    code = "import signal\nseen = []\n_ = signal.signal(signal.SIGINT, lambda *_: seen.append('int'))"
    live = restored(kernel, store, state(kernel, code)[1])
    assert live.ok("signal.raise_signal(signal.SIGINT); print(seen)") == "['int']\n"


def test_environment_and_folder_come_along_and_the_mark_of_the_kernel_does_not(
    kernel: StateProcesses, store: Path, tmp_path: Path
) -> None:
    os.makedirs(tmp_path / "there")
    code = f"import os; os.chdir({str(tmp_path / 'there')!r}); os.environ['SFX'] = '1'; os.environ.pop('HOME', None)"
    other = StateProcesses(tmp_path)
    try:
        live = restored(other, store, state(kernel, code)[1])
        seen = live.ok(
            "print(os.getcwd(), os.environ['SFX'], 'HOME' in os.environ, os.environ['STILLFRAME_KERNEL'])"
        )
        assert seen == f"{tmp_path / 'there'} 1 False test-{os.getpid()}-{id(other)}\n"
    finally:
        other.stop()


def test_polars_frames_are_captured_though_their_threads_are_gone(
    kernel: StateProcesses, store: Path
) -> None:
    pytest.importorskip("polars")
    code = "import polars as pl\nframe = pl.DataFrame({'a': [1, 2, 3] * 1000})\nframe.group_by('a').len()"
    _, frozen = state(kernel, code)
    assert frozen.hazards
    assert restored(kernel, store, frozen).ok("print(frame.shape, frame['a'].sum())") == "(3000, 1) 6000\n"


def test_an_error_of_the_store_is_told(kernel: StateProcesses, tmp_path: Path) -> None:
    captured = state(kernel, "x = 1")[1].capture(tmp_path / "nowhere")
    assert captured.record == b"" and captured.obstacles == [] and str(tmp_path) in captured.error


def test_a_class_that_is_gone_is_told_and_the_root_lives_on(
    kernel: StateProcesses, store: Path, tmp_path: Path
) -> None:
    package = tmp_path / "site-packages" / "gone_later"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("class Thing: pass\n")
    code = (
        f"import sys; sys.path.insert(0, {str(package.parent)!r}); import gone_later; t = gone_later.Thing()"
    )
    captured = state(kernel, code)[1].capture(store)
    (package / "__init__.py").write_text("")
    live = kernel.root.fork()
    assert "Thing" in live.restore(store, captured.record).error
    assert kernel.root.fork().ok("print(1)") == "1\n"
