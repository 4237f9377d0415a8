"""Looking at states: variables, one value, completion, inspection, names, the tree. Nothing runs in a state."""

from __future__ import annotations

from urllib.parse import quote

import pytest

from support.server import Json, Server

SETUP = """
import os, math
class Loud:
    looks = []
    def __repr__(self):
        Loud.looks.append(1)
        return f"looked {len(Loud.looks)}"
class Broken:
    def __repr__(self): raise ValueError("no repr")
loud, broken = Loud(), Broken()
number, text, none = 5, "ü", None
nested = {"a": [1, 2.5, None, True], "b": {"c": "d"}}
function = lambda x: x
def documented(first, second=2):
    "What it is for."
"""


@pytest.fixture(scope="module")
def looked(kernel: Server) -> str:
    return kernel.ok(SETUP, name="looked/at")


def value(kernel: Server, state: str, variable: str) -> tuple[int, Json]:
    return kernel.call("GET", f"/states/{quote(state, safe='')}/variables/{quote(variable, safe='')}")


def post(kernel: Server, state: str, verb: str, **body: object) -> tuple[int, Json]:
    return kernel.call("POST", f"/states/{quote(state, safe='')}/{verb}", body)


def test_variables_have_type_and_repr(kernel: Server, looked: str) -> None:
    status, body = kernel.call("GET", f"/states/{quote(looked, safe='')}/variables")
    assert status == 200
    assert body["variables"]["nested"]["type"] == "dict"
    assert body["variables"] == kernel.describe(looked)["variables"]


def test_a_raising_repr_is_no_failure_of_the_description(kernel: Server, looked: str) -> None:
    assert kernel.describe(looked)["variables"]["broken"]["type"] == "Broken"


def test_a_repr_with_a_side_effect_leaves_the_state_as_it_was(kernel: Server, looked: str) -> None:
    assert [kernel.describe(looked)["variables"]["loud"]["repr"] for _ in range(3)] == ["looked 1"] * 3
    assert kernel.printed("print(len(Loud.looks))", looked) == "0\n"


def test_a_repr_that_kills_its_process_leaves_the_state_as_it_was(kernel: Server) -> None:
    state = kernel.ok("import os\nclass K:\n    def __repr__(self): os._exit(1)\nk = K(); x = 1")
    assert kernel.call("GET", f"/states/{state}")[0] < 500 or kernel.call("GET", f"/states/{state}")[0] == 504
    assert kernel.printed("print(x)", state) == "1\n"


def test_a_value_is_its_mime_bundle_and_its_json(kernel: Server, looked: str) -> None:
    status, body = value(kernel, looked, "nested")
    assert status == 200
    assert body["name"] == "nested" and body["type"] == "dict" and body["has_json"] is True
    assert body["json"] == {"a": [1, 2.5, None, True], "b": {"c": "d"}}
    assert body["data"]["text/plain"].startswith("{'a'")


@pytest.mark.parametrize("expression", ["{}", "[1, {}]", "{{'key': {}}}", "[1, {}] * 1000"])
@pytest.mark.parametrize("text", ["'ä' * (100 << 20)", "b'x' * (100 << 20)", "bytearray(100 << 20)"])
def test_long_texts_are_cut_and_say_so(kernel: Server, expression: str, text: str) -> None:
    state = kernel.ok(f"v = {expression.format(text)}; other = 1")
    variables = kernel.call("GET", f"/states/{state}/variables")[1]["variables"]
    assert "cut by stillframe" in variables["v"]["repr"] and len(variables["v"]["repr"]) < 11_000
    assert variables["other"]["repr"] == "1"


def test_a_long_value_is_shown_as_far_as_an_output_would_be(kernel: Server) -> None:
    state = kernel.ok("v = [bytes(80 << 20)]")
    status, body = value(kernel, state, "v")
    assert status == 200 and body["has_json"] is False
    assert body["data"]["text/plain"].startswith("[b'\\x00")
    assert "cut by stillframe" in body["data"]["text/plain"] and len(body["data"]["text/plain"]) < 5 << 20


def test_none_has_a_json_form(kernel: Server, looked: str) -> None:
    body = value(kernel, looked, "none")[1]
    assert body["has_json"] is True and body["json"] is None


@pytest.mark.parametrize("variable", ["function", "loud", "math"])
def test_a_value_without_json_says_so(kernel: Server, looked: str, variable: str) -> None:
    status, body = value(kernel, looked, variable)
    assert status == 200 and body["has_json"] is False


@pytest.mark.parametrize(
    "expression", ["float('nan')", "[float('inf')]", "{1: 2}", "'\\ud800'", "2**70", "{'a': {1, 2}}", "b'x'"]
)
def test_a_value_at_the_edge_of_json_is_answered(kernel: Server, expression: str) -> None:
    state = kernel.ok(f"v = {expression}")
    status, body = value(kernel, state, "v")
    assert status == 200 and "text/plain" in body["data"]


def test_a_value_that_contains_itself_is_answered(kernel: Server) -> None:
    state = kernel.ok("v = []; v.append(v)")
    status, body = value(kernel, state, "v")
    assert status == 200 and body["has_json"] is False


def test_a_frames_value_is_html_too(kernel: Server) -> None:
    pytest.importorskip("pandas", reason="pandas is not installed")
    state = kernel.ok("import pandas as pd\nv = pd.DataFrame({'x': [1, 2]})")
    assert "<table" in value(kernel, state, "v")[1]["data"]["text/html"]


def test_an_unknown_variable_is_a_404_that_names_the_most_similar(kernel: Server, looked: str) -> None:
    status, body = value(kernel, looked, "nestde")
    assert (
        status == 404 and body["error"]["code"] == "VariableNotFound" and "'nested'" in body["error"]["hint"]
    )


@pytest.mark.parametrize("variable", ["display", "__builtins__", "get_ipython", "In", "a.b", "1 + 1", " "])
def test_what_is_no_variable_of_the_user_is_a_404(kernel: Server, looked: str, variable: str) -> None:
    assert value(kernel, looked, variable)[0] == 404


@pytest.mark.parametrize("path", ["/states/no/variables", "/states/no/variables/x"])
def test_looking_at_an_unknown_state_is_a_404(kernel: Server, path: str) -> None:
    assert kernel.call("GET", path)[0] == 404


def test_completion_knows_the_states_variables(kernel: Server, looked: str) -> None:
    status, body = post(kernel, looked, "complete", code="num")
    assert status == 200
    assert "number" in body["matches"] and (body["cursor_start"], body["cursor_end"]) == (0, 3)


def test_completion_is_of_the_state_it_names(kernel: Server, looked: str) -> None:
    assert "number" not in post(kernel, "initial", "complete", code="numb")[1]["matches"]
    assert "number" in post(kernel, looked, "complete", code="numb")[1]["matches"]


def test_completion_of_an_attribute(kernel: Server, looked: str) -> None:
    body = post(kernel, looked, "complete", code="x = math.sq", cursor_pos=11)[1]
    assert any(match.endswith("sqrt") for match in body["matches"])


def test_completion_counts_in_characters(kernel: Server, looked: str) -> None:
    body = post(kernel, looked, "complete", code="'🙂ü'; numb", cursor_pos=10)[1]
    assert "number" in body["matches"] and (body["cursor_start"], body["cursor_end"]) == (6, 10)


@pytest.mark.parametrize("cursor", [0, 3, 10**6])
def test_any_cursor_position_is_answered(kernel: Server, looked: str, cursor: int) -> None:
    assert post(kernel, looked, "complete", code="num", cursor_pos=cursor)[0] == 200


@pytest.mark.parametrize("verb", ["complete", "inspect"])
@pytest.mark.parametrize(
    "body", [{}, {"code": 5}, {"code": "x", "cursor_pos": "y"}, {"code": "x", "cursor_pos": 1.5}]
)
def test_a_malformed_look_is_a_400(kernel: Server, looked: str, verb: str, body: dict[str, object]) -> None:
    assert post(kernel, looked, verb, **body)[0] == 400


def test_inspection_finds_signature_and_docstring(kernel: Server, looked: str) -> None:
    status, body = post(kernel, looked, "inspect", code="documented", cursor_pos=4)
    assert status == 200 and body["found"] is True
    assert "What it is for." in body["data"]["text/plain"] and "second=2" in body["data"]["text/plain"]


def test_inspection_of_the_unknown_finds_nothing(kernel: Server, looked: str) -> None:
    body = post(kernel, looked, "inspect", code="nothing_of_that_name")[1]
    assert body["found"] is False and body["data"] == {}


def test_a_rename_moves_the_name(kernel: Server) -> None:
    kernel.ok("x = 1", name="old name")
    before = kernel.describe("old name")["id"]
    assert kernel.call("PATCH", "/states/old%20name", {"name": "new/name"}) == (200, {"name": "new/name"})
    assert kernel.describe("new/name")["id"] == before
    assert kernel.call("GET", "/states/old%20name")[0] == 404


def test_a_rename_to_a_taken_name_is_a_409(kernel: Server) -> None:
    kernel.ok("x = 1", name="mine")
    kernel.ok("x = 2", name="yours")
    status, body = kernel.call("PATCH", "/states/mine", {"name": "yours"})
    assert status == 409 and body["error"]["code"] == "NameTaken"
    assert kernel.printed("print(x)", "mine") == "1\n"


def test_a_rename_to_its_own_name_is_no_error(kernel: Server) -> None:
    kernel.ok("x = 1", name="same")
    assert kernel.call("PATCH", "/states/same", {"name": "same"})[0] == 200


@pytest.mark.parametrize("body", [{}, {"name": 5}, {"name": ""}, {"name": None}, [], "x"])
def test_a_malformed_rename_is_a_400(kernel: Server, body: object) -> None:
    assert kernel.call("PATCH", "/states/initial", body)[0] == 400


def test_the_tree_has_parents_before_their_children(kernel: Server) -> None:
    kernel.reset()
    kernel.ok("a = 1", name="a")
    kernel.ok("b = 1", "a", "b")
    kernel.ok("c = 1", "a", "c")
    states = kernel.tree()["states"]
    assert [node["names"] for node in states] == [["initial"], ["a"], ["b"], ["c"]]
    ids = {node["names"][0]: node["id"] for node in states}
    assert [node["parent"] for node in states] == [None, ids["initial"], ids["a"], ids["a"]]
    assert [node["code"] for node in states[1:]] == ["a = 1", "b = 1", "c = 1"]


def test_a_deleted_ancestor_stays_in_the_tree_without_a_name(kernel: Server) -> None:
    kernel.reset()
    kernel.ok("a = 1", name="a")
    kernel.ok("b = 1", "a", "b")
    kernel.delete("a")
    assert [node["names"] for node in kernel.tree()["states"]] == [["initial"], [], ["b"]]


def test_the_tree_shows_memory_if_asked(kernel: Server) -> None:
    kernel.ok("x = bytearray(50 << 20)", name="big")
    memory = kernel.node("big", memory=True)["memory"]
    assert memory["resident_bytes"] > 50 << 20 and memory["private_bytes"] >= 0


def test_ids_do_not_change_and_are_not_used_twice(kernel: Server) -> None:
    kernel.reset()
    ids = set()
    for number in range(5):
        kernel.ok(f"x = {number}", name="one name")
        ids.add(kernel.describe("one name")["id"])
    assert len(ids) == 5
