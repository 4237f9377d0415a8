"""Each remedy against what forking breaks is needed: without it, the test that holds it fails or hangs.

A server is started whose state processes lack one remedy: a `sitecustomize` of the test's own takes it out
when the module is imported. Then the test itself is run against that server, and must be red.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from engine import test_children_and_memory as memory
from engine import test_fork_hazards as hazards
from support.server import Server

pytestmark = pytest.mark.slow

SITE = """
import importlib.machinery, sys

class Without(importlib.machinery.PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        spec = super().find_spec(name, path, target)
        if name == {module!r} and spec is not None:
            load = spec.loader.exec_module
            def exec_module(module):
                load(module)
                exec({code!r}, vars(module))
            spec.loader.exec_module = exec_module
        return spec

sys.meta_path.insert(0, Without)
"""

BLIND = "after_fork = lambda rest: None\n_python_threads = lambda: ([], [], [])"

REMEDIES: dict[str, tuple[str, str, Callable[[Server], None]]] = {
    "random is not reseeded": (
        "stillframe.engine.forking",
        "_NEVER_IN_OURS = frozenset()",
        hazards.test_random_is_not_reseeded_by_the_fork,
    ),
    "OpenMP's threads are put away (torch)": (
        "stillframe.engine.hazards",
        f"_OpenMP.pause = lambda self: None\n{BLIND}",
        hazards.test_openmp_of_torch_does_not_hang_in_a_branch,
    ),
    "OpenMP's threads are put away (KMeans)": (
        "stillframe.engine.hazards",
        f"_OpenMP.pause = lambda self: None\n{BLIND}",
        hazards.test_openmp_of_kmeans_does_not_hang_in_a_branch,
    ),
    "polars' threads are seen": (
        "stillframe.engine.hazards",
        BLIND,
        hazards.test_polars_can_be_used_in_a_branch_after_it_was_used,
    ),
    "live threads are seen": (
        "stillframe.engine.hazards",
        BLIND,
        hazards.test_a_live_thread_works_in_a_branch_or_the_branch_is_refused,
    ),
    "idle pools are told that their threads are gone": (
        "stillframe.engine.hazards",
        "_renew_pool = lambda pool: None",
        hazards.test_a_pool_of_threads_works_in_a_branch,
    ),
    "asyncio's loops are made anew": (
        "stillframe.engine.hazards",
        "_renew_loop = lambda loop: None",
        hazards.test_each_branch_has_a_wake_up_socket_of_its_own,
    ),
    "files are reopened": (
        "stillframe.engine.descriptors",
        "Descriptors.renew = lambda self: None\nDescriptors.steps = lambda self: b''",
        hazards.test_the_tip_and_a_branch_read_one_file_in_turns,
    ),
    "pipes to others stay with the tip": (
        "stillframe.engine.descriptors",
        "Descriptors.steps = lambda self: b''",
        memory.test_a_childs_input_ends_when_the_tip_closes_it,
    ),
    "a database's lock is seen": (
        "stillframe.engine.hazards",
        "_locks = lambda lockable: []",
        hazards.test_an_open_transaction_is_named_as_the_tips,
    ),
    "the collector leaves a branch's base alone": (
        "stillframe.engine.state_process",
        "gc.freeze = lambda: None",
        memory.test_a_branch_that_allocates_much_shares_the_bases_memory,
    ),
    "the program's own hooks do not run in our forks": (
        "stillframe.engine.forking",
        '_NEVER_IN_OURS = frozenset({"random"})',
        memory.test_hooks_of_the_users_at_fork_do_not_change_a_state_at_rest,
    ),
}


@pytest.fixture
def crippled(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    """A server without one remedy."""
    module, code, _ = REMEDIES[request.param]
    site = tmp_path / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(SITE.format(module=module, code=code))
    (tmp_path / "cwd").mkdir()
    server = Server(tmp_path / "cwd")
    server.environment["PYTHONPATH"] = os.pathsep.join([str(site), str(Path(__file__).parents[2] / "src")])
    yield server.start()
    server.stop()


@pytest.mark.parametrize(("remedy", "crippled"), [(name, name) for name in REMEDIES], indirect=["crippled"])
def test_a_remedy_is_needed(remedy: str, crippled: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hazards, "HANG_S", 6.0)
    red = (AssertionError, TimeoutError, socket.timeout, KeyError)
    with pytest.raises(red):
        REMEDIES[remedy][2](crippled)
