"""/health, /metrics, /openapi.json, /shutdown, and that docs/protocol.md and the OpenAPI document agree."""

from __future__ import annotations

import re
from pathlib import Path

from support.processes import is_alive, until
from support.server import Bell, Server

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "protocol.md"


def routes_of_the_document() -> set[tuple[str, str]]:
    """The (method, path) of each row of the table of routes."""
    found = re.findall(r"^\| (GET|POST|DELETE|PATCH|PUT) (/\S*) \|", DOCUMENT.read_text(), re.MULTILINE)
    return set(found)


def routes_of_the_server(kernel: Server) -> set[tuple[str, str]]:
    paths = kernel.call("GET", "/openapi.json")[1]["paths"]
    return {
        (method.upper(), path)
        for path, methods in paths.items()
        for method in methods
        if method != "parameters"
    }


def test_every_route_is_documented(kernel: Server) -> None:
    assert routes_of_the_server(kernel) - routes_of_the_document() == set()


def test_every_documented_route_is_there(kernel: Server) -> None:
    documented = routes_of_the_document()
    assert ("POST", "/execute") in documented
    assert documented - routes_of_the_server(kernel) == set()


def test_the_fields_of_an_answer_are_those_of_its_schema(kernel: Server) -> None:
    schema = kernel.call("GET", "/openapi.json")[1]
    reply = schema["paths"]["/execute"]["post"]["responses"]["200"]["content"]["application/json"]["schema"]
    name = reply["$ref"].rpartition("/")[2]
    assert set(schema["components"]["schemas"][name]["properties"]) == set(kernel.run("x = 1"))


def test_health_tells_how_the_kernel_is(kernel: Server, bell: Bell) -> None:
    status, before = kernel.call("GET", "/health")
    assert status == 200 and before["status"] == "ok" and before["pid"] == kernel.process.pid
    assert before["uptime_s"] > 0 and before["available_memory_bytes"] > 0 and before["executions"] == 0
    assert re.match(r"\d+\.\d+", before["version"]) and re.match(r"3\.\d+\.\d+", before["python"])
    kernel.ok("x = 1", name="healthy")
    cell = kernel.begin(f"{bell.ring}\nwhile True: pass")
    bell.wait()
    during = kernel.call("GET", "/health")[1]
    assert during["executions"] == 1 and during["states"] == before["states"] + 1
    assert during["processes"] > before["processes"]
    kernel.interrupt(cell.exec_id)
    cell.reply()


def test_metrics_are_in_prometheus_form(kernel: Server) -> None:
    kernel.ok("x = 1")
    answer = kernel.exchange("GET", "/metrics")
    assert answer.status == 200 and answer.headers["content-type"].startswith("text/plain")
    lines = [line for line in answer.body.decode().splitlines() if line and not line.startswith("#")]
    assert lines and all(re.fullmatch(r"[a-zA-Z_:][\w:]*(\{.*\})? \S+( \d+)?", line) for line in lines)
    assert any(line.startswith("stillframe_") for line in lines)


def test_metrics_count_executions(kernel: Server) -> None:
    def total() -> float:
        text = kernel.exchange("GET", "/metrics").body.decode()
        found = re.findall(r"^stillframe_executions_total(?:\{.*\})? (\S+)$", text, re.MULTILINE)
        return sum(map(float, found))

    before = total()
    kernel.ok("x = 1")
    kernel.fails("1 / 0")
    assert total() == before + 2


def test_shutdown_answers_and_then_ends_everything(fresh: Server) -> None:
    fresh.ok("import subprocess\np = subprocess.Popen(['sleep', '1237'])")
    assert fresh.call("POST", "/shutdown", {}) == (200, {"status": "stopping"})
    assert fresh.process.wait(5) == 0
    until(lambda: not fresh.left(), 2, "the end of all processes")
    assert not is_alive(fresh.process.pid)
