"""POST /execute: what it takes, what it answers, and what becomes of names."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from support.server import Json, Server, result, stdout

FIELDS = {"output", "state_name", "error", "accessed_symbols", "modified_symbols", "deleted_symbols"}


def execute(kernel: Server, **body: object) -> tuple[int, Json]:
    return kernel.call("POST", "/execute", body)


def test_a_fresh_kernel_has_the_initial_state_only(kernel: Server) -> None:
    kernel.reset()
    assert kernel.call("GET", "/states") == (200, {"states": ["initial"]})


def test_the_reply_has_the_documented_fields(kernel: Server) -> None:
    reply = kernel.run("x = 1", name="fields")
    assert set(reply) >= FIELDS
    assert reply["output"] == [] and reply["error"] is None and reply["state_name"] == "fields"
    assert isinstance(reply["state_id"], str) and reply["duration_s"] >= 0


def test_code_may_be_left_out(kernel: Server) -> None:
    status, reply = execute(kernel, exec_id="e", state_name="initial")
    assert status == 200 and reply["error"] is None and reply["state_name"] in kernel.states()


@pytest.mark.parametrize("missing", ["exec_id", "state_name"])
def test_a_missing_required_field_is_a_400(kernel: Server, missing: str) -> None:
    body = {"code": "x = 1", "exec_id": "e", "state_name": "initial"}
    del body[missing]
    status, answer = execute(kernel, **body)
    assert status == 400
    assert missing in answer["error"]["message"]


@pytest.mark.parametrize("exec_id", ["text", "", "ünï/cödé", 7, 0, -1, 2**53])
def test_an_exec_id_is_text_or_an_integer(kernel: Server, exec_id: object) -> None:
    assert execute(kernel, exec_id=exec_id, state_name="initial")[0] == 200


def test_without_a_new_name_a_fresh_unique_one_is_made(kernel: Server) -> None:
    names = [kernel.ok("x = 1") for _ in range(5)]
    assert len(set(names)) == 5 and set(names) <= set(kernel.states())


def test_a_null_new_name_is_as_none_given(kernel: Server) -> None:
    status, reply = execute(kernel, exec_id="e", state_name="initial", new_state_name=None)
    assert status == 200 and reply["state_name"]


def test_no_code_makes_a_copy_under_the_new_name(kernel: Server) -> None:
    kernel.ok("x = [1, 2]", name="original")
    assert kernel.ok("", "original", "copy") == "copy"
    assert kernel.printed("print(x)", "copy") == "[1, 2]\n"


@pytest.mark.parametrize("code", ["", "  \n\t\n", "# only a comment", "\n"])
def test_code_without_a_statement_is_no_error(kernel: Server, code: str) -> None:
    assert kernel.run(code)["output"] == []


def test_the_source_stays_what_it_was(kernel: Server) -> None:
    kernel.ok("x = [1]", name="kept")
    kernel.ok("x.append(2)", "kept")
    kernel.ok("x.append(3)", "kept")
    assert kernel.printed("print(x)", "kept") == "[1]\n"


def test_old_states_can_be_run_in_as_often_as_one_likes(kernel: Server) -> None:
    state, names = "initial", []
    for number in range(12):
        state = kernel.ok(f"x = {number}", state)
        names.append(state)
    for number, name in [*enumerate(names), *reversed(list(enumerate(names)))]:
        assert kernel.printed("print(x)", name) == f"{number}\n"


def test_a_taken_name_names_the_new_state(kernel: Server) -> None:
    kernel.ok("x = 'old'", name="taken")
    child = kernel.ok("y = x", "taken")
    kernel.ok("x = 'new'", name="taken")
    assert kernel.printed("print(x)", "taken") == "new\n"
    assert kernel.printed("print(x, y)", child) == "old old\n"
    assert kernel.states().count("taken") == 1


def test_a_taken_name_names_the_old_state_after_a_failed_run(kernel: Server) -> None:
    kernel.ok("x = 'old'", name="stays")
    kernel.fails("x = 'new'\n1 / 0", name="stays")
    assert kernel.printed("print(x)", "stays") == "old\n"


def test_the_new_name_may_be_that_of_the_source(kernel: Server) -> None:
    kernel.ok("x = 1", name="self")
    for _ in range(5):
        assert kernel.ok("x += 1", "self", "self") == "self"
    assert kernel.printed("print(x)", "self") == "6\n"


def test_a_run_that_fails_under_the_sources_name_leaves_the_source(kernel: Server) -> None:
    kernel.ok("x = 1", name="self-failed")
    kernel.fails("x = 2\n1 / 0", "self-failed", "self-failed")
    assert kernel.printed("print(x)", "self-failed") == "1\n"


def test_the_initial_name_can_be_moved(kernel: Server) -> None:
    kernel.ok("x = 'moved'", name="initial")
    assert kernel.printed("print(x)") == "moved\n"
    kernel.reset()
    assert kernel.fails("x")["ename"] == "NameError"


def test_an_unknown_state_is_an_error_in_a_200(kernel: Server) -> None:
    status, reply = execute(kernel, code="x = 1", exec_id="e", state_name="nobody")
    assert status == 200
    error = reply["error"]
    assert (error["ename"], error["evalue"], error["traceback"]) == ("StateNotFound", "nobody", [])
    assert error["kind"] == "refused"
    assert reply["output"] == [] and reply["state_name"] is None


def test_an_error_keeps_the_outputs_so_far_and_makes_no_state(kernel: Server) -> None:
    before = kernel.states()
    reply = kernel.run("print('so far')\nraise ValueError('no')", name="never")
    assert stdout(reply) == "so far\n"
    error = reply["error"]
    assert (error["ename"], error["evalue"], error["kind"]) == ("ValueError", "no", "user")
    assert reply["state_name"] is None and kernel.states() == before


def test_a_traceback_is_a_list_of_lines(kernel: Server) -> None:
    lines = kernel.fails("def f():\n    raise KeyError('k')\nf()")["traceback"]
    assert all(isinstance(line, str) for line in lines)
    assert "KeyError" in "\n".join(lines)


@pytest.mark.parametrize("code", ["x = (", "def f(:", "  x = 1\n y = 2", "return 1", "x = 'a", "\x01"])
def test_a_syntax_error_is_an_error_of_the_code(kernel: Server, code: str) -> None:
    error = kernel.fails(code)
    assert error["ename"] in ("SyntaxError", "IndentationError") and error["kind"] == "user"


def test_a_raised_keyboard_interrupt_has_an_empty_evalue(kernel: Server) -> None:
    error = kernel.fails("raise KeyboardInterrupt", name="interrupted-itself")
    assert (error["ename"], error["evalue"]) == ("KeyboardInterrupt", "")
    assert "interrupted-itself" not in kernel.states()


def test_a_failed_cell_leaves_no_trace_in_its_source(kernel: Server) -> None:
    kernel.ok("x = [1]\nimport os", name="intact")
    kernel.fails("x.append(2); os.environ['SF_FAILED'] = '1'; y = 2; 1 / 0", "intact")
    assert (
        kernel.printed("print(x, 'SF_FAILED' in os.environ, 'y' in globals())", "intact")
        == "[1] False False\n"
    )


def test_the_last_expression_is_an_execute_result(kernel: Server) -> None:
    reply = kernel.run("x = 20\nx + 1")
    assert reply["output"][-1]["output_type"] == "execute_result" and result(reply) == "21"


@pytest.mark.parametrize("code", ["None", "1;", "x = 1", "1 ; ", "1;  # why", "if True:\n    1"])
def test_there_is_no_result_of(kernel: Server, code: str) -> None:
    assert kernel.run(code)["output"] == []


def test_symbols_of_a_cell_are_told(kernel: Server) -> None:
    kernel.ok("a = 1\nb = 2\nc = 3\nd = 4", name="symbols")
    reply = kernel.run("e = a + 1\nb = 5\ndel c", "symbols")
    assert reply["accessed_symbols"] == ["a"]
    assert sorted(reply["modified_symbols"]) == ["b", "e"]
    assert reply["deleted_symbols"] == ["c"]


def test_symbols_read_through_function_bodies_are_accessed(kernel: Server) -> None:
    kernel.ok("a = 1\nb = 2\ndef inner(): return a\ndef outer(): return inner()", name="bodies")
    accessed = set(kernel.run("y = outer()", "bodies")["accessed_symbols"])
    assert {"a", "outer", "inner"} <= accessed and "b" not in accessed


def test_a_name_that_the_cell_itself_made_is_not_accessed(kernel: Server) -> None:
    assert kernel.run("fresh_one = 1\nz = fresh_one")["accessed_symbols"] == []


def test_many_executions_of_one_state_at_once_are_all_right(kernel: Server) -> None:
    kernel.ok("x = list(range(1000))", name="crowded")
    cells = [kernel.begin(f"x.append({n}); print(sum(x))", "crowded", f"crowd-{n}") for n in range(24)]
    assert [stdout(cell.reply(60)) for cell in cells] == [f"{499500 + n}\n" for n in range(24)]
    assert kernel.printed("print(len(x))", "crowded") == "1000\n"


def test_states_are_listed_oldest_first(kernel: Server) -> None:
    kernel.reset()
    for name in ("z", "m", "a"):
        kernel.ok("x = 1", name=name)
    assert kernel.states() == ["initial", "z", "m", "a"]


def test_the_description_of_a_state(kernel: Server) -> None:
    parent = kernel.describe("initial")["id"]
    kernel.ok("x = 5\ntext = 'abc'\nimport os\ndef f(): pass", name="described")
    found = kernel.describe("described")
    assert found["name"] == "described" and found["parent"] == parent
    assert found["variables"]["x"] == {"type": "int", "repr": "5"}
    assert found["variables"]["text"] == {"type": "str", "repr": "'abc'"}
    assert found["code"].startswith("x = 5") and found["duration_s"] >= 0
    assert set(found["ways_back"]) <= {"tip", "fork", "replay"} and found["ways_back"]
    assert found["hazards"] == [] and found["unbranchable"] == []


def test_the_timestamp_is_iso_and_utc(kernel: Server) -> None:
    kernel.ok("x = 1", name="timed")
    stamp = datetime.fromisoformat(kernel.describe("timed")["timestamp"])
    assert stamp.utcoffset() == UTC.utcoffset(None)
    assert abs((datetime.now(UTC) - stamp).total_seconds()) < 60


def test_only_the_users_variables_are_variables(kernel: Server) -> None:
    kernel.ok("x = 1", name="own")
    assert list(kernel.describe("own")["variables"]) == ["x"]
    assert kernel.describe("initial")["variables"] == {}


def test_a_states_description_does_not_change_by_running_in_it(kernel: Server) -> None:
    kernel.ok("x = [1]", name="still")
    before = kernel.describe("still")
    kernel.ok("x.append(2)", "still")
    after = kernel.describe("still")
    assert after["variables"] == before["variables"] and after["timestamp"] == before["timestamp"]


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_an_unknown_state_is_a_404(kernel: Server, method: str) -> None:
    status, body = kernel.call(method, "/states/nobody")
    assert status == 404 and body["error"]["code"] == "StateNotFound"


def test_the_404_names_the_most_similar_state(kernel: Server) -> None:
    kernel.ok("x = 1", name="training")
    assert "'training'" in kernel.call("GET", "/states/trainign")[1]["error"]["hint"]


def test_a_deleted_states_children_stay(kernel: Server) -> None:
    kernel.ok("x = 1", name="parent")
    kernel.ok("y = x + 1", "parent", "child")
    assert kernel.call("DELETE", "/states/parent") == (200, {"deleted": "parent"})
    assert kernel.printed("print(x, y)", "child") == "1 2\n"
    assert kernel.run("", "parent")["error"]["ename"] == "StateNotFound"


def test_a_deleted_name_can_be_used_again(kernel: Server) -> None:
    kernel.ok("x = 'first'", name="again")
    kernel.delete("again")
    kernel.ok("x = 'second'", name="again")
    assert kernel.printed("print(x)", "again") == "second\n"


def test_the_initial_state_can_be_deleted_and_comes_back_with_a_reset(kernel: Server) -> None:
    assert kernel.delete("initial") == 200
    assert "initial" not in kernel.states()
    assert kernel.call("POST", "/reset", {}) == (200, {"status": "ok"})
    assert kernel.states() == ["initial"]


def test_reset_needs_no_body(kernel: Server) -> None:
    assert kernel.exchange("POST", "/reset").status == 200
