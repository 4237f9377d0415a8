"""An embedded kernel and the command, with a store."""

from __future__ import annotations

from pathlib import Path

import pytest

import stillframe
from cli_support import Home
from stillframe import Kernel


def test_a_later_kernel_has_the_states_of_an_earlier_one(tmp_path: Path) -> None:
    with Kernel(store=tmp_path / "store") as kernel:
        kernel.execute("x = [1, 2]\ndef f(): return sum(x)", name="one")
        before = kernel.state("one")
    with Kernel(store=tmp_path / "store") as kernel:
        after = kernel.state("one")
        assert (after.id, after.code, after.timestamp) == (before.id, before.code, before.timestamp)
        assert after.stored and after.variables["x"] == before.variables["x"] and "f" in after.variables
        assert kernel.execute("f()", "one").text == "3"
        assert kernel.tree().store is not None and kernel.tree().named("one").stored


def test_a_store_in_use_is_refused_with_its_own_error(tmp_path: Path) -> None:
    with Kernel(store=tmp_path / "store") as kernel:
        with pytest.raises(stillframe.errors.StoreInUse, match=f"in use by process {kernel.pid}"):
            Kernel(store=tmp_path / "store")
        assert kernel.execute("1").ok


def test_pins_are_set_and_taken_away(tmp_path: Path) -> None:
    with Kernel(store=tmp_path / "store", keep="evict") as kernel:
        one = kernel.execute("x = 1", name="one")
        kernel.pin(one)
        assert kernel.state("one").pinned
        kernel.unpin("one")
        assert not kernel.tree().named("one").pinned
        with pytest.raises(stillframe.StateNotFound):
            kernel.pin("two")


def test_what_stands_in_the_way_is_in_the_states_description(tmp_path: Path) -> None:
    with Kernel(store=tmp_path / "store", keep="evict") as kernel:
        kernel.execute("import socket\nline = socket.socketpair()", name="open")
    with Kernel(store=tmp_path / "store") as kernel:
        state = kernel.tree().named("open")
        assert not state.stored and any("line" in obstacle for obstacle in state.obstacles)
        assert state.ways_back == ["replay"]


def test_the_command_serves_a_store(tmp_path: Path) -> None:
    home = Home(tmp_path)
    store = str(tmp_path / "states")
    for round_ in range(2):
        with home.start("serve", "--store", store, "--keep", "evict", "--process-budget", "9") as server:
            assert server.stdout is not None
            assert "serves at" in server.stdout.readline()
            if round_ == 0:
                home.still("execute", "x = 7", "--as", "kept")
                assert home.still("pin", "kept").out == "pinned kept\n"
                assert home.still("pin", "kept", "--json").json() == {"pinned": ["kept"]}
            assert home.still("show", "kept", "x").out == "7\n"
            assert "pinned" in home.still("tree").out
            home.still("stop")
            assert server.wait(30) == 0
