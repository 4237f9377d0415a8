"""POST /execute as server-sent events, and GET /events: what happens, told as it happens."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.server import Bell, Event, Json, Server


def body(code: str, state: str = "initial", name: str | None = None, exec_id: str = "streamed") -> Json:
    return {"code": code, "state_name": state, "new_state_name": name, "exec_id": exec_id}


def streamed(kernel: Server, code: str, state: str = "initial", name: str | None = None) -> list[Event]:
    with kernel.events("POST", "/execute", body(code, state, name)) as events:
        return list(events)


def merged(outputs: list[dict]) -> list[dict]:
    """Neighbours of one stream as one: a line may come in pieces."""
    joined: list[dict] = []
    for output in outputs:
        last = joined[-1] if joined else {}
        if output["output_type"] == "stream" and last.get("name") == output["name"]:
            last["text"] += output["text"]
        else:
            joined.append(dict(output))
    return joined


def test_a_stream_ends_with_the_result(kernel: Server) -> None:
    events = streamed(kernel, "print('a'); display(1); 5", name="streamed")
    assert [event.name for event in events][-1] == "result"
    answer = events[-1].data
    assert answer["state_name"] == "streamed" and answer["error"] is None and answer["output"] == []


def test_streamed_outputs_are_those_of_the_plain_form(kernel: Server) -> None:
    code = "print('a'); display(1); print('b'); 5"
    outputs = merged([event.data for event in streamed(kernel, code) if event.name == "output"])
    assert outputs == kernel.run(code)["output"]


def test_an_output_comes_before_the_cell_has_ended(kernel: Server, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    code = f"print('first')\n_ = open({str(gate)!r}).read()\nprint('second')"
    with kernel.events("POST", "/execute", body(code)) as events:
        # The cell goes on only after its first output is here.
        assert next(events).data["text"].startswith("first")
        gate.write_text("go")
        assert "".join(event.data["text"] for event in events if event.name == "output").endswith("second\n")


def test_a_printed_line_is_not_held_back_until_the_next_one(kernel: Server, bell: Bell) -> None:
    code = "import os, time\n_ = os.write(1, b'no newline')\ntime.sleep(1000)"
    with kernel.events("POST", "/execute", body(code, exec_id="held")) as events:
        assert next(events).data == {"output_type": "stream", "name": "stdout", "text": "no newline"}
        assert kernel.interrupt("held")
        assert [event.name for event in events][-1] == "result"


def test_an_error_is_in_the_result_of_a_stream(kernel: Server) -> None:
    events = streamed(kernel, "print('so far')\n1 / 0")
    assert merged([event.data for event in events[:-1]])[0]["text"] == "so far\n"
    assert events[-1].data["error"]["ename"] == "ZeroDivisionError"


def test_an_unknown_state_is_in_the_result_of_a_stream(kernel: Server) -> None:
    events = streamed(kernel, "1", "nobody")
    assert len(events) == 1 and events[0].data["error"]["ename"] == "StateNotFound"


def test_a_malformed_streaming_request_is_a_400(kernel: Server) -> None:
    answer = kernel.exchange("POST", "/execute", {"code": 5}, headers={"Accept": "text/event-stream"})
    assert answer.status == 400 and answer.json["error"]["code"] == "BadRequest"


def test_clear_output_and_updates_of_displays_are_events(kernel: Server) -> None:
    code = (
        "from IPython.display import clear_output\nh = display(1, display_id=True)\nh.update(2)\n"
        "clear_output(wait=True)\nprint('end')"
    )
    events = streamed(kernel, code)
    update = next(event for event in events if event.name == "update_display_data")
    assert update.data["data"]["text/plain"] == "2" and update.data["display_id"]
    assert next(event for event in events if event.name == "clear_output").data == {"wait": True}


def test_a_client_that_hangs_up_does_not_stop_the_cell(kernel: Server, bell: Bell, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    code = f"{bell.ring}\n_ = open({str(gate)!r}).read()\nprint('x' * 100_000)\nx = 1"
    with kernel.events("POST", "/execute", body(code, name="hung-up")):
        bell.wait()
    with kernel.events() as live:
        gate.write_text("go")
        finished = next(event for event in live if event.name == "execution_finished")
    assert finished.data["exec_id"] == "streamed"
    assert "hung-up" in kernel.states()


def test_the_first_event_is_the_tree(kernel: Server) -> None:
    with kernel.events() as events:
        first = next(events)
    assert first.name == "tree" and first.id is not None
    assert [node["id"] for node in first.data["states"]] == [node["id"] for node in kernel.tree()["states"]]


def test_the_life_of_a_state_is_told(kernel: Server) -> None:
    with kernel.events() as events:
        next(events)
        kernel.ok("x = 1", name="told", exec_id="telling")
        started = _next(events, "execution_started")
        assert started.data["exec_id"] == "telling"
        created = _next(events, "state_created")
        assert created.data["name"] == "told" and created.data["state_id"] == kernel.describe("told")["id"]
        kernel.call("PATCH", "/states/told", {"name": "retold"})
        assert _next(events, "state_renamed").data["name"] == "retold"
        kernel.delete("retold")
        deleted = _next(events, "state_deleted")
        assert deleted.data["state_id"] == created.data["state_id"]


def test_the_end_of_an_execution_is_told_even_if_it_fails(kernel: Server) -> None:
    with kernel.events() as events:
        next(events)
        kernel.fails("1 / 0", exec_id="failing")
        assert _next(events, "execution_finished").data["exec_id"] == "failing"


def test_a_reset_is_told(kernel: Server) -> None:
    with kernel.events() as events:
        next(events)
        kernel.reset()
        assert _next(events, "reset")


def test_a_client_that_was_cut_off_is_sent_what_it_missed(kernel: Server) -> None:
    with kernel.events() as events:
        last = next(events).id
    kernel.ok("x = 1", name="missed-1")
    kernel.ok("x = 1", name="missed-2")
    assert last is not None
    with kernel.events(headers={"Last-Event-ID": last}) as events:
        first = next(events)
        assert first.name != "tree"
        names = [first.data.get("name")] + [_next(events, "state_created").data["name"] for _ in range(2)]
    assert {"missed-1", "missed-2"} <= set(names)


def test_what_happens_while_a_client_is_sent_what_it_missed_is_told(kernel: Server) -> None:
    with kernel.events() as events:
        last = next(events).id
    assert last is not None
    names = [kernel.ok("", name=f"{number} {'more than sockets hold ' * 2_000}") for number in range(300)]
    with kernel.events(headers={"Last-Event-ID": last}) as events:  # nothing of it is read yet
        kernel.ok("", name="meanwhile")
        told = [_next(events, "state_created").data["name"] for _ in range(301)]
    assert told == [*names, "meanwhile"]
    kernel.reset()


@pytest.mark.parametrize("last", ["0", "99999999", "-1", "nonsense", "", "é" * 50])
def test_a_last_event_id_that_is_of_no_use_gets_the_tree(kernel: Server, last: str) -> None:
    for number in range(3):
        kernel.ok("x = 1", name=f"more-{number}")
    with kernel.events(headers={"Last-Event-ID": last.encode().decode("latin-1")}) as events:
        first = next(events)
    assert first.name in ("tree", "state_created", "execution_started", "reset")
    assert json.dumps(first.data)


def test_many_listeners_hear_the_same(kernel: Server) -> None:
    with kernel.events() as one, kernel.events() as two:
        next(one), next(two)
        kernel.ok("x = 1", name="heard")
        assert _next(one, "state_created").data == _next(two, "state_created").data


def _next(events: Iterator[Event], name: str) -> Event:
    return next(event for event in events if event.name == name)
