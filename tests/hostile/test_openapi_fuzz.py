"""schemathesis makes requests from /openapi.json; none of them is answered with a 5xx."""

from __future__ import annotations

import pytest

from support.server import TOKEN, Server

schemathesis = pytest.importorskip("schemathesis", reason="schemathesis is not installed")
from hypothesis import HealthCheck, Phase, given, settings  # noqa: E402
from schemathesis import GenerationMode  # noqa: E402
from schemathesis.checks import not_a_server_error  # noqa: E402

EXAMPLES = 25

# It ends the server; test_documents has its test. Events have no end; test_streaming has theirs.
LEFT_OUT = {("POST", "/shutdown"), ("GET", "/events")}


def operations(kernel: Server) -> list:
    schema = schemathesis.openapi.from_url(
        f"http://{kernel.host}:{kernel.port}/openapi.json", headers={"Authorization": f"Bearer {TOKEN}"}
    )
    found = [result.ok() for result in schema.get_all_operations()]
    return [one for one in found if (one.method.upper(), one.path) not in LEFT_OUT]


@pytest.mark.timeout(170)
@pytest.mark.parametrize(
    "mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=lambda mode: mode.value
)
def test_no_request_is_answered_with_a_5xx(kernel: Server, mode: GenerationMode) -> None:
    tried = 0
    for operation in operations(kernel):
        strategy = operation.as_strategy(generation_mode=mode)

        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            database=None,
            derandomize=True,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=strategy)
        def check(case: schemathesis.Case) -> None:
            nonlocal tried
            tried += 1
            # A cell of random text may be any program; the fuzz is of the wire, not of Python.
            if isinstance(case.body, dict) and isinstance(case.body.get("code"), str):
                case.body = {**case.body, "code": "x = 1"}
            response = case.call(headers={"Authorization": f"Bearer {TOKEN}"}, timeout=30)
            assert response.status_code < 500, f"{case.as_curl_command()}\n{response.text}"
            case.validate_response(response, checks=[not_a_server_error])

        check()
    assert tried > 100
    assert kernel.printed("print(1)") == "1\n" or kernel.fails("")["ename"] == "StateNotFound"
