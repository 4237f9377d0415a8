"""What forking breaks, and that the remedy holds: run in a state, then in branches of it, in any order.

Each cell has a timeout of its own: without the remedy most of these hang.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from support.server import Json, Server, stdout

HANG_S = 60.0
"""A cell that takes longer hangs."""


def replies(kernel: Server, setup: str, use: str) -> list[Json]:
    """Use a thing where it was made, in a branch, after the tip has gone on, and again. All replies."""
    found = [kernel.run(f"{setup}\n{use}", name=kernel.new_name("base-"), timeout_s=HANG_S)]
    base = found[0]["state_name"]
    if base is None:
        return found
    found += [kernel.run(use, base, timeout_s=HANG_S) for _ in range(3)]
    deeper = found[-1]["state_name"]
    if deeper is not None:
        found += [kernel.run(use, deeper, timeout_s=HANG_S) for _ in range(2)]
    return found


def same_everywhere(kernel: Server, setup: str, use: str) -> str:
    """Assert that all replies printed the same; what."""
    found = replies(kernel, setup, use)
    for reply in found:
        assert reply["error"] is None, "\n".join(reply["error"]["traceback"] or [str(reply["error"])])
    texts = {stdout(reply) for reply in found}
    assert len(found) == 6 and len(texts) == 1, texts
    return texts.pop()


def needs(module: str) -> None:
    pytest.importorskip(module, reason=f"{module} is not installed: its hazard is not tested")


def test_random_is_not_reseeded_by_the_fork(kernel: Server) -> None:
    base = kernel.ok("import random\nx = random.random()")
    texts = {kernel.printed("print(random.random(), random.getrandbits(64))", base) for _ in range(4)}
    assert len(texts) == 1


def test_random_goes_on_where_it_was(kernel: Server) -> None:
    base = kernel.ok("import random\nrandom.seed(1)\nx = random.random()")
    expected = kernel.printed("r = random.Random(1); r.random(); print(r.random())", base)
    assert {kernel.printed("print(random.random())", base) for _ in range(3)} == {expected}


def test_openmp_of_torch_does_not_hang_in_a_branch(kernel: Server) -> None:
    needs("torch")
    setup = "import torch\ntorch.set_num_threads(2)\na = torch.ones(300, 300, requires_grad=True)"
    assert (
        same_everywhere(kernel, setup, "(a @ a).sum().backward()\nprint(float(a.exp().sum()) > 0)")
        == "True\n"
    )


def test_openmp_of_kmeans_does_not_hang_in_a_branch(kernel: Server) -> None:
    needs("sklearn")
    setup = (
        "import numpy as np\nfrom sklearn.cluster import KMeans\n"
        "X = np.random.default_rng(1).random((20_000, 8))"
    )
    use = "print(round(KMeans(8, n_init=1, random_state=1, max_iter=5).fit(X).inertia_, 6))"
    assert float(same_everywhere(kernel, setup, use)) > 0


def test_a_forest_with_jobs_does_not_hang_in_a_branch(kernel: Server) -> None:
    needs("sklearn")
    setup = (
        "import numpy as np\nfrom sklearn.ensemble import RandomForestClassifier\n"
        "X = np.random.default_rng(1).random((200, 5)); y = X[:, 0] > .5"
    )
    use = "print(RandomForestClassifier(n_jobs=2, n_estimators=10, random_state=1).fit(X, y).score(X, y))"
    assert same_everywhere(kernel, setup, use) == "1.0\n"


def test_openblas_multiplies_in_a_branch(kernel: Server) -> None:
    setup = "import numpy as np\na = np.ones((700, 700))"
    use = "print((a @ a)[0, 0], np.linalg.inv(a + np.eye(700)).shape)"
    assert same_everywhere(kernel, setup, use) == "700.0 (700, 700)\n"


POLARS = "import polars as pl\ndf = pl.DataFrame({'a': list(range(100_000)), 'b': [i % 7 for i in range(100_000)]})"
POLARS_SUMS = f"{[sum(range(b, 100_000, 7)) for b in range(7)]}\n"
POLARS_USE = "print(df.lazy().group_by('b').agg(pl.col('a').sum()).collect().sort('b')['a'].to_list())"


def test_polars_can_be_used_in_a_branch_after_it_was_used(kernel: Server) -> None:
    needs("polars")
    assert same_everywhere(kernel, POLARS, POLARS_USE) == POLARS_SUMS


def test_the_description_says_that_polars_forbids_forking(kernel: Server) -> None:
    needs("polars")
    state = kernel.ok(f"{POLARS}\n{POLARS_USE}", timeout_s=HANG_S)
    found = kernel.describe(state, timeout_s=HANG_S)
    assert found["hazards"] and "fork" not in found["ways_back"]
    assert "replay" in found["ways_back"]


def test_duckdb_can_be_used_in_a_branch_after_it_was_used(kernel: Server) -> None:
    needs("duckdb")
    setup = (
        "import duckdb\ncon = duckdb.connect()\n"
        "_ = con.execute('create table t as select range a, range % 777 b from range(500000)')"
    )
    use = "print(con.execute('select count(*) from (select b, sum(a) s from t group by b)').fetchone())"
    assert same_everywhere(kernel, setup, use) == "(777,)\n"


THREAD = (
    "import threading, queue\nasked, answered = queue.Queue(), queue.Queue()\n"
    "def serve():\n    while True: answered.put(asked.get() * 2)\n"
    "thread = threading.Thread(target=serve, daemon=True); thread.start()"
)
ASK = "asked.put(21); print(answered.get(timeout=30))"


def test_a_live_thread_lives_on_in_the_tip(kernel: Server) -> None:
    base = kernel.ok(THREAD)
    assert kernel.printed(ASK, base, timeout_s=HANG_S) == "42\n"


def test_a_live_thread_works_in_a_branch_or_the_branch_is_refused(kernel: Server) -> None:
    base = kernel.ok(THREAD)
    found = kernel.describe(base)
    assert found["hazards"] and "fork" not in found["ways_back"]
    kernel.ok(ASK, base)
    reply = kernel.run(ASK, base, timeout_s=HANG_S)
    if "replay" in found["ways_back"]:
        assert stdout(reply) == "42\n"
    else:
        assert (reply["error"]["ename"], reply["error"]["kind"]) == ("StateUnreachable", "refused")


def test_a_state_that_neither_forks_nor_replays_says_so(kernel: Server) -> None:
    """A file that the cell wrote makes replaying it wrong, a thread makes forking it wrong."""
    path = kernel.cwd / "written-once"
    state = kernel.ok("x = 1")
    base = kernel.ok(f"open({str(path)!r}, 'x').close()\n{THREAD}", state)
    assert kernel.printed(ASK, base) == "42\n"
    path.unlink()
    reply = kernel.run(ASK, base, timeout_s=HANG_S)
    assert (reply["error"]["ename"], reply["error"]["kind"]) == ("StateUnreachable", "refused")
    assert not path.exists()
    assert kernel.printed("print(x)", state) == "1\n"


def test_only_the_cells_since_the_last_ancestor_that_forks_are_replayed(kernel: Server) -> None:
    path = kernel.cwd / "written-before"
    base = kernel.ok(THREAD, kernel.ok(f"open({str(path)!r}, 'x').close()"))
    kernel.ok(ASK, base)
    assert kernel.printed(ASK, base, timeout_s=HANG_S) == "42\n"
    path.unlink()


def test_a_state_that_forbids_forking_can_be_looked_at(kernel: Server) -> None:
    base = kernel.ok(THREAD + "\nnumber = 5")
    assert kernel.describe(base, timeout_s=HANG_S)["variables"]["number"]["repr"] == "5"


def test_a_thread_that_has_ended_is_no_hazard(kernel: Server) -> None:
    base = kernel.ok("import threading\nt = threading.Thread(target=print, args=(1,)); t.start(); t.join()")
    found = kernel.describe(base)
    assert found["hazards"] == [] and "fork" in found["ways_back"]


def test_a_pool_of_threads_works_in_a_branch(kernel: Server) -> None:
    setup = "from concurrent.futures import ThreadPoolExecutor\npool = ThreadPoolExecutor(2)"
    assert same_everywhere(kernel, setup, "print(pool.submit(pow, 2, 5).result(timeout=30))") == "32\n"


def test_a_pool_of_processes_works_in_a_branch(kernel: Server) -> None:
    setup = "import multiprocessing as mp\npool = mp.get_context('fork').Pool(1)"
    base = kernel.ok(f"{setup}\nprint(pool.apply(pow, (2, 5)))", timeout_s=HANG_S)
    found = kernel.describe(base)
    kernel.run("x = 1", base)
    reply = kernel.run("print(pool.apply_async(pow, (2, 5)).get(timeout=30))", base, timeout_s=HANG_S)
    assert found["hazards"] and "fork" not in found["ways_back"]
    assert stdout(reply) == "32\n" or reply["error"]["ename"] == "StateUnreachable"


def test_top_level_await_works_in_every_branch(kernel: Server) -> None:
    use = "await asyncio.sleep(0)\nprint(await asyncio.gather(*[asyncio.sleep(0, i) for i in range(3)]))"
    assert same_everywhere(kernel, "import asyncio", use) == "[0, 1, 2]\n"


def test_asyncios_threads_work_in_every_branch(kernel: Server) -> None:
    assert same_everywhere(kernel, "import asyncio", "print(await asyncio.to_thread(pow, 2, 5))") == "32\n"


def test_an_asyncio_server_and_client_work_in_every_branch(kernel: Server) -> None:
    use = (
        "async def echo(r, w): w.write(await r.readline()); w.close()\n"
        "s = await asyncio.start_server(echo, '127.0.0.1', 0)\n"
        "r, w = await asyncio.open_connection(*s.sockets[0].getsockname())\n"
        "w.write(b'hi\\n'); print(await asyncio.wait_for(r.readline(), 30)); w.close(); s.close()"
    )
    assert same_everywhere(kernel, "import asyncio", use) == "b'hi\\n'\n"


def test_each_branch_has_a_wake_up_socket_of_its_own(kernel: Server) -> None:
    base = kernel.ok("import asyncio, os\nawait asyncio.sleep(0); loop = asyncio.get_running_loop()")
    ask = "print(os.fstat(loop._ssock.fileno()).st_ino)"
    assert len({kernel.printed(ask, base) for _ in range(3)}) == 3


def test_branches_that_await_at_once_do_not_take_each_others_wake_ups(kernel: Server) -> None:
    base = kernel.ok("import asyncio\nawait asyncio.sleep(0)")
    code = "for _ in range(300): await asyncio.to_thread(lambda: None)\nprint('done')"
    with ThreadPoolExecutor(4) as pool:
        replies = list(pool.map(lambda _: kernel.run(code, base, timeout_s=HANG_S), range(4)))
    assert [stdout(reply) for reply in replies] == ["done\n"] * 4


def test_a_loop_of_the_users_own_works_in_every_branch(kernel: Server) -> None:
    setup = "import asyncio\nloop = asyncio.new_event_loop()"
    use = "import threading\ndef go(): print(loop.run_until_complete(asyncio.sleep(0.001, 5)))\n"
    use += "t = threading.Thread(target=go); t.start(); t.join(30)"
    assert same_everywhere(kernel, setup, use) == "5\n"


def test_an_epoll_of_the_users_own_belongs_to_its_branch(kernel: Server) -> None:
    base = kernel.ok("import os, select\nr, w = os.pipe()\ne = select.epoll()\ne.register(r, select.EPOLLIN)")
    kernel.ok("e.unregister(r)", base)
    found = kernel.describe(base)
    reply = kernel.run("os.write(w, b'x'); print(len(e.poll(1)))", base, timeout_s=HANG_S)
    assert stdout(reply) == "1\n" or found["unbranchable"]


BIG_FILE = (
    "import os, tempfile\n_fd, path = tempfile.mkstemp(dir='.')\n"
    "_ = os.write(_fd, b''.join(b'%06d\\n' % i for i in range(10_000))); os.close(_fd)\n"
)


@pytest.mark.parametrize(
    ("opened", "read"),
    [
        ("f = open(path)", "f.read(7 * 3000)[-7:]"),
        ("f = open(path, 'rb')", "f.read(7 * 3000)[-7:]"),
        ("f = open(path, 'rb', buffering=0)", "f.read(7)"),
        ("f = os.open(path, os.O_RDONLY)", "os.read(f, 7)"),
        ("f = open(path, 'r+')", "f.read(7 * 3000)[-7:]"),
        ("f = open(path); g = f; h = os.dup(f.fileno())", "(os.read(h, 7), os.read(f.fileno(), 7))"),
        ("import gzip; f = gzip.open(path, 'wb'); f.close(); f = open(path, 'rb')", "f.tell()"),
    ],
)
def test_an_open_files_offset_belongs_to_its_branch(kernel: Server, opened: str, read: str) -> None:
    base = kernel.ok(BIG_FILE + opened)
    tip = kernel.ok(f"_ = {read}", base)
    first = [kernel.printed(f"print({read})", base) for _ in range(3)]
    second = [kernel.printed(f"print({read})", tip) for _ in range(3)]
    assert len(set(first)) == 1 and len(set(second)) == 1
    assert first[0] != second[0] or "tell" in read


def test_the_tip_and_a_branch_read_one_file_in_turns(kernel: Server) -> None:
    base = kernel.ok(BIG_FILE + "f = open(path, 'rb', buffering=0)")
    tip = kernel.ok("a = f.read(7)", base)
    branch = kernel.ok("a = f.read(7)", base)
    for number in range(1, 6):
        tip = kernel.ok("a = f.read(7)", tip)
        branch = kernel.ok("a = f.read(7); b = f.read(7)" if number % 2 else "a = f.read(7)", branch)
    assert kernel.printed("print(a)", tip) == "b'000005\\n'\n"
    assert kernel.printed("print(a, f.tell())", branch) == f"b'000007\\n' {9 * 7}\n"


def test_a_sqlite_file_is_usable_in_every_branch_outside_a_transaction(kernel: Server) -> None:
    setup = "import sqlite3, tempfile\ndb = sqlite3.connect(tempfile.mktemp(dir='.'))\n"
    setup += "_ = db.execute('create table t (x)'); _ = db.execute('insert into t values (1)'); db.commit()"
    base = kernel.ok(setup)
    assert kernel.describe(base)["unbranchable"] == []
    counts = [
        kernel.printed("print(db.execute('select count(*) from t').fetchone()[0])", base) for _ in range(3)
    ]
    assert counts == ["1\n"] * 3


def test_an_open_transaction_is_named_as_the_tips(kernel: Server) -> None:
    setup = "import sqlite3, tempfile\ndb = sqlite3.connect(tempfile.mktemp(dir='.'))\n"
    base = kernel.ok(
        setup + "_ = db.execute('create table t (x)'); _ = db.execute('insert into t values (1)')"
    )
    assert any(
        "sqlite" in text.lower() or "transaction" in text.lower()
        for text in kernel.describe(base)["unbranchable"]
    )


def test_a_socket_is_named_as_the_tips(kernel: Server) -> None:
    base = kernel.ok("import socket\na, b = socket.socketpair()")
    assert any("socket" in text.lower() for text in kernel.describe(base)["unbranchable"])


def test_a_child_process_is_named_as_the_tips(kernel: Server) -> None:
    base = kernel.ok("import subprocess\np = subprocess.Popen(['sleep', '1238'])")
    shared = kernel.describe(base)["unbranchable"]
    kernel.printed("p.kill(); _ = p.wait()", base)
    assert any("process" in text.lower() or "sleep" in text for text in shared)


def test_shared_memory_is_named_as_the_tips(kernel: Server) -> None:
    base = kernel.ok("import mmap\nm = mmap.mmap(-1, 4096)")
    assert kernel.describe(base)["unbranchable"]


def test_a_quiet_state_shares_nothing_and_has_no_hazards(kernel: Server) -> None:
    base = kernel.ok("import numpy, os\nx = [1]\nprint(x)")
    found = kernel.describe(base)
    assert found["unbranchable"] == [] and found["hazards"] == []
