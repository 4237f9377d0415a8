"""What a kernel's methods do: one suite for the embedded Kernel and for connect() to a server."""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import stillframe
from cli_support import TOKEN, served
from stillframe import Client, Kernel, connect


@pytest.fixture(scope="module", params=["embedded", "connected"])
def one_kernel(request: pytest.FixtureRequest) -> Iterator[Client]:
    if request.param == "embedded":
        with Kernel() as kernel:
            yield kernel
    else:
        with served() as server, connect(server.url, TOKEN) as client:
            yield client


@pytest.fixture
def kernel(one_kernel: Client) -> Client:
    one_kernel.reset()
    return one_kernel


@pytest.fixture
def fifo(tmp_path: Path) -> str:
    path = str(tmp_path / "fifo")
    os.mkfifo(path)
    return path


# States


def test_a_fresh_kernel_has_the_initial_state_alone(kernel: Client) -> None:
    assert kernel.states() == ["initial"]


def test_an_execution_makes_a_state_and_leaves_its_source_as_it_was(kernel: Client) -> None:
    one = kernel.execute("x = 1", name="one")
    two = kernel.execute("x += 1", one, "two")
    assert (one.state, two.state, two.ok, two.error) == ("one", "two", True, None)
    assert kernel.states() == ["initial", "one", "two"]
    assert (kernel.value("one", "x"), kernel.value("two", "x")) == (1, 2)


def test_a_state_that_was_given_no_name_has_a_fresh_one(kernel: Client) -> None:
    made = [kernel.execute("x = 1").state for _ in range(3)]
    assert set(made) < set(kernel.states()) and len(set(made)) == 3


def test_a_state_is_taken_as_name_as_state_and_as_execution(kernel: Client) -> None:
    made = kernel.execute("x = 7", name="made")
    assert [kernel.value(which, "x") for which in ("made", made, kernel.state(made))] == [7, 7, 7]


@pytest.mark.parametrize("name", ["a/b", "two words", "Grüße ☃ 𝄞", "%2F", "a?b=c#d", "..", "x" * 300, "\n"])
def test_a_name_is_any_text(kernel: Client, name: str) -> None:
    kernel.execute("x = 1", name=name)
    assert name in kernel.states() and kernel.value(name, "x") == 1
    kernel.rename(name, name + "'")
    kernel.delete(name + "'")
    assert kernel.states() == ["initial"]


def test_the_empty_name_and_half_a_character_are_bad_requests(kernel: Client) -> None:
    for name in ("", "\ud800"):
        with pytest.raises(stillframe.BadRequest, match="cannot be a state's name"):
            kernel.state(name)
    with pytest.raises(stillframe.BadRequest):
        kernel.execute("'\ud800'")


def test_an_unknown_state_is_refused_with_the_most_similar_name(kernel: Client) -> None:
    kernel.execute("", name="train")
    for ask in (lambda: kernel.execute("1", "trian"), lambda: kernel.state("trian")):
        with pytest.raises(stillframe.StateNotFound) as caught:
            ask()
        assert str(caught.value) == "no state is called 'trian'. Did you mean 'train'?"


def test_a_state_tells_its_variables_its_cell_and_its_parent(kernel: Client) -> None:
    kernel.execute("x = 1", name="one")
    kernel.execute("y = 'a'", "one", "two")
    state = kernel.state("two")
    assert (state.name, state.code, state.parent) == ("two", "y = 'a'", kernel.state("one").id)
    assert state.variables == kernel.variables("two")
    assert {name: (v.type, v.repr) for name, v in state.variables.items()} == {
        "x": ("int", "1"),
        "y": ("str", "'a'"),
    }
    assert state.ways_back


def test_a_deleted_state_is_gone_and_what_came_of_it_stays(kernel: Client) -> None:
    kernel.execute("x = 1", name="one")
    kernel.execute("x += 1", "one", "two")
    kernel.delete("one")
    assert kernel.states() == ["initial", "two"] and kernel.value("two", "x") == 2
    with pytest.raises(stillframe.StateNotFound):
        kernel.delete("one")


def test_a_rename_to_another_states_name_is_refused(kernel: Client) -> None:
    kernel.execute("x = 1", name="one")
    with pytest.raises(stillframe.NameTaken):
        kernel.rename("one", "initial")
    kernel.rename("one", "uno")
    assert kernel.states() == ["initial", "uno"]


def test_reset_leaves_a_fresh_initial_state(kernel: Client) -> None:
    kernel.execute("x = 1", name="initial")
    kernel.reset()
    assert kernel.states() == ["initial"] and not kernel.variables("initial")


# Executions


def test_text_is_standard_output_and_results_in_their_order(kernel: Client) -> None:
    code = "import sys\nprint('a'); display(1); print('b', end=''); print('no', file=sys.stderr); 2"
    execution = kernel.execute(code)
    assert execution.text == "a\n1\nb\n2"
    assert [output["output_type"] for output in execution.outputs] == [
        "stream",
        "display_data",
        "stream",
        "stream",
        "execute_result",
    ]


def test_an_error_of_the_code_is_in_the_execution_and_makes_no_state(kernel: Client) -> None:
    execution = kernel.execute("print('before')\n1 / 0", name="never")
    assert execution.error is not None and not execution.ok
    assert (execution.error.ename, execution.error.kind, execution.state) == (
        "ZeroDivisionError",
        "user",
        None,
    )
    assert execution.text == "before\n" and kernel.states() == ["initial"]
    with pytest.raises(stillframe.ExecutionFailed, match="division by zero"):
        execution.raise_for_error()
    with pytest.raises(stillframe.BadRequest, match="made no state"):
        kernel.execute("1", execution)


def test_a_process_that_dies_is_an_error_of_its_execution_alone(kernel: Client) -> None:
    kernel.execute("x = 1", name="one")
    execution = kernel.execute("import ctypes; ctypes.string_at(0)", "one")
    assert execution.error is not None and execution.error.kind == "died"
    assert kernel.value("one", "x") == 1


def test_an_execution_says_which_names_it_read_bound_and_removed(kernel: Client) -> None:
    kernel.execute("x, y = 1, 2", name="one")
    execution = kernel.execute("z = x\ndel y", "one")
    assert execution.accessed_symbols == ["x"]
    assert (execution.modified_symbols, execution.deleted_symbols) == (["z"], ["y"])


def test_outputs_are_given_as_they_happen(kernel: Client, fifo: str) -> None:
    heard: list[str] = []

    def on_output(event: str, data: dict[str, Any]) -> None:
        heard.append(data["text"])
        # The cell waits for this: it can only end if its first output came before its end.
        if len(heard) == 1:
            Path(fifo).write_text("go on")

    execution = kernel.execute(
        f"print('first', flush=True); print(open({fifo!r}).read())", on_output=on_output
    )
    assert "".join(heard) == "first\ngo on\n" == execution.text and heard[0].startswith("first")


def test_outputs_are_the_same_with_and_without_a_listener(kernel: Client) -> None:
    code = "import sys\nfor i in range(3):\n    print(i); print(-i, file=sys.stderr); display(i)\n'end'"
    heard: list[str] = []
    listened = kernel.execute(code, on_output=lambda event, data: heard.append(event))
    assert listened.outputs == kernel.execute(code).outputs and heard


def test_outputs_that_are_cleared_or_updated_are_so_in_the_execution(kernel: Client) -> None:
    code = (
        "from IPython.display import clear_output\n"
        "print('gone'); clear_output()\nprint('kept')\n"
        "shown = display('old', display_id=True); shown.update('new')"
    )
    plain = kernel.execute(code)
    listened = kernel.execute(code, on_output=lambda event, data: None)
    assert listened.text == plain.text == "kept\n'new'"


def test_an_error_is_raised_by_a_listened_execution_too(kernel: Client) -> None:
    with pytest.raises(stillframe.StateNotFound):
        kernel.execute("1", "nowhere", on_output=lambda event, data: None)
    execution = kernel.execute("print('a'); 1/0", on_output=lambda event, data: None)
    assert execution.text == "a\n" and execution.error is not None


def test_an_execution_whose_listener_fails_is_finished_by_the_kernel(kernel: Client, fifo: str) -> None:
    def on_output(event: str, data: dict[str, Any]) -> None:
        raise RuntimeError("the listener")

    events = kernel.events()
    next(events)
    with pytest.raises(RuntimeError, match="the listener"):
        kernel.execute(f"print(1, flush=True); x = open({fifo!r}).read()", name="one", on_output=on_output)
    Path(fifo).write_text("all")
    assert next(data for event, data in events if event == "state_created")["name"] == "one"
    assert kernel.value("one", "x") == "all"
    events.close()  # type: ignore[attr-defined]


def test_an_interrupted_execution_says_so_and_loses_nothing(kernel: Client) -> None:
    kernel.execute("x = 1", name="one")
    execution = kernel.execute(
        "print('runs', flush=True)\nwhile True: pass",
        "one",
        exec_id="endless",
        on_output=lambda event, data: bool(kernel.interrupt("endless")),
    )
    assert execution.error is not None
    assert (execution.error.kind, execution.error.ename) == ("interrupted", "KeyboardInterrupt")
    # The line may be interrupted before its end.
    assert execution.text.startswith("runs") and kernel.value("one", "x") == 1


def test_interrupting_what_does_not_run_is_false(kernel: Client) -> None:
    assert kernel.interrupt("nothing") is False


def test_many_run_at_once_and_come_back_in_their_order(kernel: Client, tmp_path: Path) -> None:
    there, back = str(tmp_path / "there"), str(tmp_path / "back")
    os.mkfifo(there)
    os.mkfifo(back)
    # Each waits for the other: run one after the other they would never end.
    first = f"open({there!r}, 'w').write('a'); got = open({back!r}).read()"
    second = f"got = open({there!r}).read(); open({back!r}, 'w').write('b')"
    executions = kernel.execute_many(
        [
            (first, "initial", "first"),
            {"code": second, "name": "second"},
            ("1/0", "initial"),
            ("3", "initial"),
        ]
    )
    assert [execution.state for execution in executions[:2]] == ["first", "second"]
    assert (kernel.value("first", "got"), kernel.value("second", "got")) == ("b", "a")
    assert executions[2].error is not None and executions[3].text == "3"
    assert kernel.execute_many([]) == []


def test_where_one_of_many_is_refused_the_others_still_finish(kernel: Client) -> None:
    with pytest.raises(stillframe.StateNotFound):
        kernel.execute_many([("x = 1", "nowhere", "a"), ("x = 2", "initial", "b")])
    assert kernel.value("b", "x") == 2


def test_an_item_that_makes_no_sense_is_a_bad_request(kernel: Client) -> None:
    for item in ("x = 1", ("a", "b", "c", "d"), ()):
        with pytest.raises(stillframe.BadRequest):
            kernel.execute_many([item])
    assert kernel.states() == ["initial"]


# Looking


def test_a_value_is_had_as_json(kernel: Client) -> None:
    kernel.execute("x = {'a': [1, 2.5, None, True], 'ü': 'ß'}", name="one")
    assert kernel.value("one", "x") == {"a": [1, 2.5, None, True], "ü": "ß"}


def test_a_value_without_json_is_refused_with_its_text(kernel: Client) -> None:
    kernel.execute("x = {1, 2}", name="one")
    with pytest.raises(
        stillframe.NotJSON, match=r"'x' of state 'one' is a set and has no JSON form: \{1, 2\}"
    ):
        kernel.value("one", "x")
    assert kernel.show("one", "x").data["text/plain"] == "{1, 2}"


def test_an_unknown_variable_is_refused_with_the_most_similar_name(kernel: Client) -> None:
    kernel.execute("length = 1", name="one")
    with pytest.raises(stillframe.VariableNotFound, match=r"Did you mean 'length'\?"):
        kernel.value("one", "lenght")


def test_a_variable_is_shown_in_all_its_forms(kernel: Client) -> None:
    kernel.execute("class A:\n    def _repr_html_(self): return '<b>a</b>'\na = A()", name="one")
    shown = kernel.show("one", "a")
    assert (shown.name, shown.type, shown.has_json) == ("a", "A", False)
    assert shown.data["text/html"] == "<b>a</b>" and "A at 0x" in shown.data["text/plain"]


def test_completion_and_inspection_know_the_state(kernel: Client) -> None:
    kernel.execute("def greeting(name):\n    'Say hello.'\ngreen = 1", name="one")
    completion = kernel.complete("one", "x = gree")
    assert {"greeting", "green"} <= set(completion.matches)
    assert (completion.cursor_start, completion.cursor_end) == (4, 8)
    assert kernel.complete("one", "gree + 1", 4).cursor_end == 4
    inspection = kernel.inspect("one", "greeting")
    assert inspection.found and "Say hello." in inspection.data["text/plain"]
    assert not kernel.inspect("one", "nothing_of_this_name").found


# The tree


def test_the_tree_tells_lineage_cells_and_what_runs(kernel: Client, fifo: str) -> None:
    kernel.execute("x = 1", name="one")
    kernel.execute("x = 2", "one", "two")
    seen: list[stillframe.Tree] = []

    def on_output(event: str, data: dict[str, Any]) -> None:
        if not seen:
            seen.append(kernel.tree())
            Path(fifo).write_text("")

    kernel.execute(f"print(1, flush=True); open({fifo!r}).read();", "two", exec_id="it", on_output=on_output)
    tree = seen[0]
    assert tree.named("two").parent == tree.named("one").id
    assert tree.named("one").parent == tree.named("initial").id and tree.named("initial").parent is None
    assert [(run.exec_id, run.state_name) for run in tree.executions] == [("it", "two")]
    assert tree.named("two").code == "x = 2"
    with pytest.raises(stillframe.StateNotFound):
        tree.named("three")


def test_the_tree_tells_memory_unless_it_is_asked_not_to(kernel: Client) -> None:
    kernel.execute("x = bytearray(8_000_000)", name="one")
    assert kernel.tree(memory=False).named("one").memory is None
    memory = kernel.tree().named("one").memory
    assert memory is not None and memory.resident_bytes > 8_000_000


def test_events_begin_with_the_tree_and_follow_what_happens(kernel: Client) -> None:
    events = kernel.events()
    event, data = next(events)
    assert event == "tree" and [state["names"] for state in data["states"]] == [["initial"]]
    kernel.execute("x = 1", name="one")
    kernel.rename("one", "uno")
    kernel.delete("uno")
    happened = {
        event: data for event, data in itertools.takewhile(lambda pair: pair[0] != "state_deleted", events)
    }
    assert happened["state_created"]["name"] == "one" and happened["state_renamed"]["name"] == "uno"
    assert {"execution_started", "execution_finished"} <= set(happened)
    events.close()  # type: ignore[attr-defined]


def test_health_says_that_all_is_well(kernel: Client) -> None:
    health = kernel.health()
    assert health["status"] == "ok" and health["version"] == stillframe.__version__
    assert health["states"] == 1 and health["pid"] != os.getpid()


# Many users at once


def test_threads_share_a_client(kernel: Client) -> None:
    results: dict[int, int] = {}

    def use(number: int) -> None:
        for step in range(5):
            made = kernel.execute(f"x = {number} * 100 + {step}", name=f"{number}/{step}")
            results[number * 100 + step] = kernel.value(made, "x")

    threads = [threading.Thread(target=use, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 20 and all(key == value for key, value in results.items())


def test_a_forked_child_uses_the_kernel_and_leaves_it_as_it_is(kernel: Client) -> None:
    kernel.execute("x = 1", name="one")
    child = os.fork()
    if child == 0:
        code = 1
        try:
            code = 0 if kernel.value("one", "x") == 1 else 2
            kernel.close()
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert kernel.value("one", "x") == 1 and kernel.execute("x + 1", "one").text == "2"


def test_code_cannot_find_the_token_in_its_environment(kernel: Client) -> None:
    code = "import os; [name for name in os.environ if name in ('STILLFRAME_TOKEN', 'STILLFRAME_LIMITS')]"
    assert kernel.execute(code).text == "[]"


# How results look


def test_results_are_told_in_one_line(kernel: Client) -> None:
    execution = kernel.execute("x = 1\nx", name="one")
    for told in (str(execution), repr(execution), str(kernel.state("one")), repr(kernel.state("one"))):
        assert "one" in told and "\n" not in told and len(told) < 120
    assert repr(kernel.tree()) == "<Tree: 2 states, 0 executions>"
    assert "ZeroDivisionError" in repr(kernel.execute("1/0"))


def test_html_has_no_markup_of_the_program(kernel: Client) -> None:
    evil = "<script>alert(1)</script>"
    code = (
        f"from IPython.display import HTML\nx = {evil!r}; print(x); display(HTML(x)); "
        f"display({{'image/png': x}}, raw=True); x  # {evil}"
    )
    execution = kernel.execute(code, name=evil)
    failed = kernel.execute(f"raise ValueError({evil!r})", execution)
    for result in (execution, failed, kernel.state(execution), kernel.tree()):
        html = result._repr_html_()
        assert "<script" not in html and "&lt;script" in html


def test_a_printed_tree_indents_branches_and_not_chains(kernel: Client) -> None:
    kernel.execute("a = 1", name="a")
    kernel.execute("b = 1", "a", "b")
    kernel.execute("c = 1", "b", "c")
    kernel.execute("d = 1", "b", "d\x1b[31m")
    names = [line.split("  ")[0] for line in str(kernel.tree()).splitlines()]
    assert names == ["● initial", "● a", "● b", "├─● c", "└─● d\\x1b[31m"]


# States inside a call, searches

HALF_WAY = (
    "import stillframe\ndef work(n):\n    for i in range(n):\n        if i == 2:\n"
    "            found = stillframe.snapshot('half-way')\n    return n, found and found.value\n"
    "answer = work(4)\nprint(answer)"
)


def test_a_state_inside_a_call_is_resumed_with_a_value(kernel: Client) -> None:
    assert kernel.execute(HALF_WAY, name="whole").text == "(4, None)\n"
    state = kernel.state("half-way")
    assert (state.kind, state.where) == ("call", stillframe.Where("<ipython-input-1>", 5, "work"))
    events: list[str] = []
    other = kernel.resume(
        state, {"rate": 0.5}, "other", exec_id="it", on_output=lambda event, data: events.append(data["text"])
    )
    assert (other.state, other.exec_id, other.ok) == ("other", "it", True)
    assert other.text == "".join(events) == "(4, {'rate': 0.5})\n"
    assert kernel.value(other, "answer") == [4, {"rate": 0.5}]
    assert kernel.value(kernel.resume("half-way"), "answer") == [4, None]


def test_the_frames_of_a_state_inside_a_call_are_looked_at(kernel: Client) -> None:
    kernel.execute(HALF_WAY, name="whole")
    frames = kernel.frames("half-way")
    assert [(frame.function, frame.line) for frame in frames] == [("<module>", 7), ("work", 5)]
    assert {name: variable.repr for name, variable in frames[-1].variables.items()} == {"n": "4", "i": "2"}
    assert kernel.evaluate("half-way", "n * 10 + i").repr == "42"
    assert kernel.evaluate("half-way", "work.__name__", 0).repr == "'work'"
    assert kernel.evaluate("half-way", "nowhere").error == "NameError: name 'nowhere' is not defined"
    assert kernel.frames("whole") == [] and kernel.evaluate("whole", "answer[0] + 1").repr == "5"
    with pytest.raises(stillframe.BadRequest, match="there are 2"):
        kernel.evaluate("half-way", "1", 2)


def test_what_does_not_go_together_is_refused(kernel: Client) -> None:
    kernel.execute(HALF_WAY, name="whole")
    with pytest.raises(stillframe.RestsInCall, match=r"kernel\.resume"):
        kernel.execute("1", "half-way")
    with pytest.raises(stillframe.BadRequest, match="nothing to resume"):
        kernel.resume("whole")
    with pytest.raises(stillframe.StateNotFound, match=r"'half-wy'.*Did you mean 'half-way'"):
        kernel.resume("half-wy")
    with pytest.raises(stillframe.BadRequest, match="JSON"):
        kernel.resume("half-way", {1, object()})


SEARCH = (
    "from stillframe import choose, reject\nx, y = choose(range(4)), choose(range(4))\nif x * y != 3: reject()\n"
    "print(x, y)"
)


def test_a_search_has_its_first_ending_or_all_of_them(kernel: Client) -> None:
    assert kernel.execute(SEARCH, name="first").text == "1 3\n"
    every = kernel.execute_all(SEARCH, name="found")
    assert [(one.state, one.text) for one in every] == [("found/1", "1 3\n"), ("found/2", "3 1\n")]
    assert [one.text for one in kernel.execute_all(SEARCH, limit=1)] == ["1 3\n"]
    assert kernel.execute_all(SEARCH.replace("3: ", "5: ")) == []
    with pytest.raises(stillframe.ExecutionFailed, match="ZeroDivisionError"):
        kernel.execute_all("import stillframe\n1 / stillframe.choose([0, 1])")
    assert kernel.execute(SEARCH.replace("3: ", "5: ")).error.ename == "AllRejected"  # type: ignore[union-attr]


# Moving


@pytest.fixture(scope="module", params=["embedded", "connected"])
def one_keeper(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    store = tmp_path_factory.mktemp("store") / "store"
    if request.param == "embedded":
        with Kernel(store=store) as kernel:
            yield kernel
    else:
        with served(f"--store={store}") as server, connect(server.url, TOKEN) as client:
            yield client


@pytest.fixture
def keeper(one_keeper: Client) -> Client:
    """A kernel with a store."""
    one_keeper.reset()
    return one_keeper


def test_a_state_goes_through_a_file(keeper: Client, tmp_path: Path) -> None:
    made = keeper.execute("x = [1]", name="one")
    sizes: list[int] = []
    file = tmp_path / "one.export"
    assert keeper.export(made, file, progress=sizes.append) == sum(sizes) == file.stat().st_size
    keeper.delete("one")
    moved = keeper.import_(file, "again", progress=sizes.append)
    assert (moved.name, moved.id) == ("again", made.state_id) and sum(sizes) == 2 * file.stat().st_size
    assert keeper.value("again", "x") == [1] and keeper.states() == ["initial", "again"]
    with pytest.raises(stillframe.BadRequest, match="cannot be read"):
        keeper.import_(tmp_path / "nowhere")
    with pytest.raises(stillframe.BadRequest, match="cannot be written"):
        keeper.export("again", tmp_path / "no" / "where")
    with pytest.raises(stillframe.CorruptSnapshot):
        keeper.import_(__file__)


def test_a_state_is_pushed_and_pulled(keeper: Client, tmp_path: Path) -> None:
    keeper.execute("x = [1]", name="one")
    keeper.execute("x.append(2)", "one", "two")
    with Kernel(store=tmp_path / "other") as other:
        with pytest.raises(stillframe.UntrustedSnapshot):
            keeper.push("two", other)
        other.trust(keeper.keys().key, "keeper")
        assert [key.comment for key in other.keys().trusted] == ["keeper"]
        moved = keeper.push("two", other, "deux", lineage=True)
        assert moved.name == "deux" and moved.sent_bytes > 0 and other.value("deux", "x") == [1, 2]
        assert set(other.states()) == {"initial", "one", "deux"}
        assert keeper.pull("deux", other, "back", trust=True).sent_bytes == 0
        assert other.distrust(keeper.keys().key) and not other.distrust(keeper.keys().key)
    assert keeper.pull("deux", tmp_path / "other", "disk", trust=True).name == "disk"
    assert keeper.value("disk", "x") == [1, 2]


def test_what_was_deleted_is_pruned(keeper: Client) -> None:
    keeper.prune()
    keeper.execute("x = [1]", name="one")
    keeper.delete("one")
    assert keeper.prune(dry_run=True).states == 1
    pruned = keeper.prune()
    assert (pruned.states, pruned.names) == (1, [])
    keeper.execute("x = [1]", name="two")
    assert keeper.prune(0).names == ["two"] and keeper.states() == ["initial"]


def test_what_nobody_uses_is_archived(keeper: Client, tmp_path: Path) -> None:
    keeper.execute("text = b'again and ' * 100_000", name="one")
    keeper.export("one", tmp_path / "one")  # so it is stored
    assert keeper.archive(1).blobs == 0
    dry = keeper.archive(0, dry_run=True)
    done = keeper.archive(0)
    assert (done.blobs, done.size_bytes) == (dry.blobs, dry.size_bytes) and done.blobs >= 1
    assert 0 < done.archived_bytes < done.size_bytes
    assert keeper.archive(0) == stillframe.Archived(unfit_blobs=done.unfit_blobs)
    keeper.execute("size = len(text)", "one", "two")
    assert keeper.value("two", "size") == 1_000_000


def test_without_a_store_nothing_moves(kernel: Client, tmp_path: Path) -> None:
    kernel.execute("x = 1", name="one")
    for ask in (kernel.keys, kernel.prune, kernel.archive, lambda: kernel.export("one", tmp_path / "x")):
        with pytest.raises(stillframe.NoStore):
            ask()
