"""A name that moves, or is deleted, takes nothing from those who have begun to use its state."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from support.server import Server, stdout


def test_a_cell_runs_in_the_state_that_its_name_meant_when_it_was_asked_for(kernel: Server) -> None:
    """The state is held by nothing else once the name has moved: its process must outlive what it was asked."""
    kernel.ok("x = 0", name="moving")
    for step in range(1, 25):
        with ThreadPoolExecutor(9) as pool:
            replies = [pool.submit(kernel.run, "print(x)", "moving") for _ in range(8)]
            moved = pool.submit(kernel.run, f"x = {step}", "moving", name="moving")
            assert moved.result()["error"] is None
            for reply in (pending.result() for pending in replies):
                assert reply["error"] is None
                assert stdout(reply) in (f"{step - 1}\n", f"{step}\n")
                kernel.delete(reply["state_name"])


def test_a_state_can_be_deleted_while_it_is_looked_at(kernel: Server) -> None:
    for _ in range(10):
        name = kernel.ok("class Slow:\n    def __repr__(self): return 'slow'\ny = Slow()")
        with ThreadPoolExecutor(2) as pool:
            looking = pool.submit(kernel.call, "GET", f"/states/{name}")
            pool.submit(kernel.delete, name).result()
            status, body = looking.result()
        assert status == 404 or body["variables"]["y"]["repr"] == "slow"
