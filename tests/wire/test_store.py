"""The wire of states on disk: pins, what the tree, /health, /metrics and the events say."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator

import pytest

from support.processes import until
from support.server import Server
from support.stored import Stored, stored


@pytest.fixture(scope="module")
def keeper(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stored]:
    """A server with a store and a small budget."""
    with stored(tmp_path_factory.mktemp("keeper"), "--process-budget", "4") as server:
        yield server


def test_a_kernel_without_a_store_says_so_and_has_pins_all_the_same(kernel: Server) -> None:
    kernel.ok("x = 1", name="one")
    assert kernel.tree()["store"] is None and kernel.call("GET", "/health")[1]["store"] is None
    assert kernel.call("POST", "/states/one/pin") == (200, {"pinned": True})
    assert kernel.call("POST", "/states/one/pin") == (200, {"pinned": True})
    node = kernel.node("one")
    assert (node["stored"], node["pinned"], node["obstacles"]) == (False, True, [])
    assert kernel.call("DELETE", "/states/one/pin") == (200, {"pinned": False})
    assert not kernel.describe("one")["pinned"]


@pytest.mark.parametrize("method", ["POST", "DELETE"])
def test_a_pin_of_no_state_is_a_404(kernel: Server, method: str) -> None:
    status, body = kernel.call(method, "/states/absent/pin")
    assert (status, body["error"]["code"]) == (404, "StateNotFound")


def test_a_state_is_stored_evicted_and_restored_before_the_eyes_of_a_listener(keeper: Stored) -> None:
    with keeper.events() as events:
        assert next(events).name == "tree"
        ident = keeper.run("x = 1", name="seen")["state_id"]
        for number in range(6):
            keeper.ok(f"x = {number}", name=f"other{number}")
        seen = []
        for event in events:
            if event.data.get("state_id") == ident and event.name.startswith("state_"):
                seen.append(event.name)
                if event.name == "state_evicted":
                    assert event.data == {"state_id": ident, "name": "seen"}
                    assert keeper.value("seen", "x") == 1
                if event.name == "state_restored":
                    break
    told = [name for name in seen if name != "state_changed"]
    assert told == ["state_created", "state_stored", "state_evicted", "state_restored"]


def test_the_tree_and_health_say_what_the_store_does(keeper: Stored) -> None:
    keeper.reset()
    keeper.ok("x = 1", name="one")
    keeper.wait_stored("one")
    store = keeper.tree()["store"]
    assert store == {"path": str(keeper.store), "keep": "always", "stored": 2, "waiting": 0, "trouble": ""}
    assert keeper.call("GET", "/health")[1]["store"] == store
    assert "restore" in keeper.describe("one")["ways_back"] and keeper.describe("one")["stored"]


def test_metrics_count_what_happened_to_states(keeper: Stored) -> None:
    def counts() -> dict[str, float]:
        text = keeper.exchange("GET", "/metrics").body.decode()
        return {
            event: float(n) for event, n in re.findall(r'store_events_total\{event="(\w+)"\} (\S+)', text)
        }

    before = counts()
    keeper.ok("import socket\ns = socket.socketpair()", name="open")
    for number in range(6):
        keeper.ok(f"x = {number}", name=f"counted{number}")
    until(lambda: not keeper.processes_of("counted0"), 60, "one is evicted")
    keeper.value("counted0", "x")
    until(lambda: keeper.node("open")["obstacles"], 60, "what stands in the way is known")
    after = counts()
    assert after.keys() == {"stored", "obstructed", "refused", "evicted", "restored"}
    for event in ("stored", "obstructed", "evicted", "restored"):
        assert after[event] > before[event], event
    keeper.delete("open")


def test_what_cannot_be_kept_is_refused_at_the_start() -> None:
    command = [sys.executable, "-P", "-m", "stillframe.serve", "--token", "t", "--keep", "sometimes"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, stdin=subprocess.DEVNULL)
    assert done.returncode == 2 and "sometimes" in done.stderr


def test_a_body_of_which_nothing_is_required_may_be_left_out(keeper: Stored) -> None:
    assert keeper.call("POST", "/prune")[0] == 200
    assert keeper.call("PUT", f"/keys/{'1' * 64}") == (200, {"trusted": "1" * 64})
    assert keeper.call("DELETE", f"/keys/{'1' * 64}")[0] == 200
    status, body = keeper.call("POST", "/execute")
    assert status == 400 and "exec_id" in body["error"]["message"]
