"""PROTOCOL.md, ground rules: JSON, tokens, hosts, limits, names."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

import pytest

from support.server import TOKEN, Server

ROUTES = [
    ("POST", "/execute"), ("GET", "/states"), ("GET", "/states/initial"), ("DELETE", "/states/initial"),
    ("PATCH", "/states/initial"), ("GET", "/states/initial/variables"), ("GET", "/states/initial/variables/x"),
    ("POST", "/states/initial/complete"), ("POST", "/states/initial/inspect"), ("POST", "/reset"),
    ("POST", "/interrupt"), ("GET", "/tree"), ("GET", "/events"), ("GET", "/health"), ("GET", "/metrics"),
    ("GET", "/openapi.json"), ("POST", "/shutdown"), ("GET", "/no/such/route"),
]  # fmt: skip

NAMES = [
    "a b",
    "a/b",
    "/",
    "ü-ñ-日本",
    "🙂",
    "%2F",
    "a?b#c&d=e",
    "..",
    ".",
    "x" * 500,
    "'\"\\",
    "\t\n",
    "initial ",
]


def is_error(body: object, code: str) -> bool:
    """Whether a body is the protocol's error with this code, and says something."""
    error = body["error"]  # type: ignore[index]
    return error["code"] == code and bool(error["message"]) and isinstance(error["hint"], str)


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_without_a_token_every_route_is_401(kernel: Server, method: str, path: str) -> None:
    answer = kernel.exchange(method, path, token=None)
    assert answer.status == 401
    assert is_error(answer.json, "Unauthorized")


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_with_a_wrong_token_every_route_is_401(kernel: Server, method: str, path: str) -> None:
    assert kernel.exchange(method, path, token=TOKEN + "x").status == 401


@pytest.mark.parametrize("scheme", ["Bearer", "token", "bearer", "Token"])
def test_a_token_in_the_authorization_header_is_accepted(kernel: Server, scheme: str) -> None:
    answer = kernel.exchange("GET", "/states", token=None, headers={"Authorization": f"{scheme} {TOKEN}"})
    assert answer.status == 200


def test_a_token_in_the_query_is_accepted(kernel: Server) -> None:
    assert kernel.exchange("GET", f"/states?token={TOKEN}", token=None).status == 200


@pytest.mark.parametrize(
    "value", ["", "Bearer", "Bearer ", "Basic " + TOKEN, TOKEN, "Bearer é", "Bearer " + "x" * 20000]
)
def test_a_malformed_authorization_header_is_refused(kernel: Server, value: str) -> None:
    answer = kernel.exchange("GET", "/states", token=None, headers={"Authorization": value})
    assert answer.status in (400, 401, 431)


def test_a_token_beyond_ascii_in_the_query_is_401(kernel: Server) -> None:
    assert kernel.exchange("GET", "/states?token=%C3%A9%FF", token=None).status == 401


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "localhost.evil"]
)
def test_a_foreign_host_is_refused(kernel: Server, host: str) -> None:
    answer = kernel.exchange("GET", "/states", headers={"Host": host})
    assert answer.status == 403
    assert is_error(answer.json, "Forbidden")


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]"])
def test_a_loopback_host_is_accepted(kernel: Server, host: str) -> None:
    assert kernel.exchange("GET", "/states", headers={"Host": f"{host}:{kernel.port}"}).status == 200


@pytest.mark.parametrize("origin", ["http://evil.example", "https://localhost.evil", "null"])
def test_a_foreign_origin_is_refused(kernel: Server, origin: str) -> None:
    answer = kernel.exchange("GET", "/states", headers={"Origin": origin})
    assert answer.status == 403


def test_the_servers_own_origin_is_accepted(kernel: Server) -> None:
    origin = f"http://{kernel.host}:{kernel.port}"
    assert kernel.exchange("GET", "/states", headers={"Origin": origin}).status == 200


def test_an_unknown_route_is_a_404_in_json(kernel: Server) -> None:
    status, body = kernel.call("GET", "/no/such/route")
    assert status == 404
    assert is_error(body, "NotFound")


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/execute"), ("POST", "/states"), ("PUT", "/states/initial"), ("GET", "/reset")],
)
def test_a_wrong_method_is_a_405_with_allow(kernel: Server, method: str, path: str) -> None:
    answer = kernel.exchange(method, path)
    assert answer.status == 405
    assert is_error(answer.json, "MethodNotAllowed")
    assert answer.headers["allow"]


def test_every_answer_of_an_error_is_json(kernel: Server) -> None:
    for method, path in [
        ("GET", "/states/none"),
        ("GET", "/nowhere"),
        ("GET", "/execute"),
        ("POST", "/execute"),
    ]:
        assert kernel.exchange(method, path).headers["content-type"].startswith("application/json")


def test_a_cell_of_150_kb_is_normal(kernel: Server) -> None:
    code = "x = 1  # a comment as long as a line may be wide, or nearly\n" * 2600
    assert len(code) > 150_000
    assert kernel.printed(code + "print('end')") == "end\n"


def test_a_body_of_1_mib_is_accepted(kernel: Server) -> None:
    assert kernel.printed(f"text = {'x' * (1 << 20)!r}\nprint(len(text))") == f"{1 << 20}\n"


def test_a_body_above_the_limit_is_a_413_that_names_it(kernel: Server) -> None:
    answer = kernel.exchange("POST", "/execute", b" " * (65 << 20))
    assert answer.status == 413
    assert is_error(answer.json, "BodyTooLarge")
    assert "64" in answer.json["error"]["message"] or str(64 << 20) in answer.json["error"]["message"]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_any_text(kernel: Server, name: str) -> None:
    path = f"/states/{quote(name, safe='')}"
    assert kernel.ok("x = 5", name=name) == name
    assert name in kernel.states()
    assert kernel.printed("print(x)", name) == "5\n"
    status, body = kernel.call("GET", path)
    assert (status, body["name"]) == (200, name)
    assert kernel.call("GET", f"{path}/variables/x")[1]["json"] == 5
    assert kernel.call("DELETE", path) == (200, {"deleted": name})
    assert name not in kernel.states()


def test_the_name_of_a_variable_may_be_any_identifier(kernel: Server) -> None:
    state = kernel.ok("größe = 3")
    status, body = kernel.call("GET", f"/states/{quote(state)}/variables/{quote('größe')}")
    assert (status, body["json"]) == (200, 3)


def test_an_empty_name_for_a_new_state_is_a_400(kernel: Server) -> None:
    body = {"code": "", "exec_id": "e", "state_name": "initial", "new_state_name": ""}
    assert kernel.call("POST", "/execute", body)[0] == 400


@pytest.mark.parametrize("value", [1, 1.5, True, ["a"], {"a": 1}])
def test_a_name_that_is_no_text_is_a_400(kernel: Server, value: object) -> None:
    for field in ("state_name", "new_state_name"):
        body = {"code": "", "exec_id": "e", "state_name": "initial", field: value}
        status, answer = kernel.call("POST", "/execute", body)
        assert status == 400
        assert is_error(answer, "BadRequest")


def test_the_ready_line_names_url_and_pid(fresh: Server) -> None:
    assert fresh.ready["pid"] == fresh.process.pid
    assert fresh.ready["url"].startswith("http://127.0.0.1:")


def test_the_flags_of_snapshot_kernels_clients_are_taken(tmp_path: Path) -> None:
    (tmp_path / "cwd").mkdir()
    flags = ["--display-max-rows", "4", "--display-max-columns", "3", "--display-max-colwidth", "9"]
    server = Server(tmp_path / "cwd", *flags).start()
    try:
        pytest.importorskip("pandas", reason="pandas is not installed")
        shown = server.run("import pandas as pd\npd.DataFrame({c: ['x' * 50] * 50 for c in 'abcdef'})")
        text = shown["output"][-1]["data"]["text/plain"]
        assert "50 rows" in text and "6 columns" in text and "x" * 10 not in text
    finally:
        server.stop()
