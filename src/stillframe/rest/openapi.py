"""The OpenAPI document, made from the types that the routes read and write.

It is the source of the fuzz tests, and a test holds docs/protocol.md against it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from stillframe import model
from stillframe.rest import requests
from stillframe.rest.bodies import BYTES
from stillframe.store import manifests

_REFERENCE = "#/components/schemas/{name}"
_ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["code", "message", "hint"],
            "properties": {name: {"type": "string"} for name in ("code", "message", "hint")},
        }
    },
}
_STATUSES = {
    400: "The request is malformed.",
    401: "The token is missing or wrong.",
    403: "The Host or Origin is foreign, or whoever has signed it is not trusted.",
    404: "There is no such state or variable.",
    405: "The route has no such method.",
    409: "The name is taken, or no way leads to the state.",
    413: "The body is too large.",
    503: "The machine has no room.",
    504: "Looking took too long.",
    507: "The store has no room.",
}


def _object(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "required": list(properties), "properties": properties}


_TEXT = {"type": "string"}
_VARIABLES = {"type": "object", "additionalProperties": {"$ref": _REFERENCE.format(name="Variable")}}


class _Operation(NamedTuple):
    """One method of one route."""

    method: str
    path: str
    summary: str
    answer: Any
    body: Any = None
    errors: tuple[int, ...] = ()
    query: tuple[dict[str, Any], ...] = ()
    also: str = ""
    """Another media type that the answer may have."""


_NAMED = (404,)
_LOOKS = (404, 409, 503, 504)
_MOVES = (404, 409)
_TAKES = (404, 409, 413, 507)
_LINEAGE = {"name": "lineage", "in": "query", "schema": {"type": "string", "enum": ["true", "false"]},
            "description": "Its ancestors' snapshots and names too."}  # fmt: skip
_OPERATIONS = (
    _Operation("post", "/execute", "Run code in a state, which makes a new one",
               model.Reply, requests.ExecuteRequest, (413,), (), "text/event-stream"),
    _Operation("post", "/resume", "Go on from a state inside a call, which makes a new one",
               model.Reply, requests.ResumeRequest, (413,), (), "text/event-stream"),
    _Operation("get", "/states", "The names of all states, oldest first",
               _object(states={"type": "array", "items": _TEXT})),
    _Operation("get", "/states/{name}", "One state and its variables", model.Description, None, _LOOKS),
    _Operation("delete", "/states/{name}", "Delete a state", _object(deleted=_TEXT), None, _NAMED),
    _Operation("patch", "/states/{name}", "Rename a state",
               _object(name=_TEXT), requests.RenameRequest, (404, 409, 413)),
    _Operation("get", "/states/{name}/variables", "The variables of a state",
               _object(variables=_VARIABLES), None, _LOOKS),
    _Operation("get", "/states/{name}/variables/{variable}", "One variable in full", model.Value, None, _LOOKS),
    _Operation("post", "/states/{name}/complete", "What may stand at the cursor",
               model.Completion, requests.CompleteRequest, (*_LOOKS, 413)),
    _Operation("post", "/states/{name}/inspect", "What is known of the name at the cursor",
               model.Inspection, requests.InspectRequest, (*_LOOKS, 413)),
    _Operation("get", "/states/{name}/frames", "The frames that a state inside a call is in",
               _object(frames={"type": "array", "items": {"$ref": _REFERENCE.format(name="Frame")}}), None, _LOOKS),
    _Operation("post", "/states/{name}/evaluate", "The value of an expression in a frame",
               model.Evaluated, requests.EvaluateRequest, (*_LOOKS, 413)),
    _Operation("post", "/states/{name}/pin", "Never evict a state", _object(pinned={"const": True}), None, _NAMED),
    _Operation("delete", "/states/{name}/pin", "Let a state be evicted again",
               _object(pinned={"const": False}), None, _NAMED),
    _Operation("get", "/states/{name}/export", "A state as a file, for POST /import", None, None, _MOVES, (_LINEAGE,),
               BYTES),
    _Operation("post", "/import", "Take the state of an export", model.Moved, BYTES, _TAKES, (
        {"name": "name", "in": "query", "schema": _TEXT, "description": "What it is called here."},
        {"name": "trust", "in": "query", "schema": {"type": "string", "enum": ["true", "false"]},
         "description": "Take it whoever has signed it."},
    )),
    _Operation("get", "/states/{name}/manifest", "What is told of a state when it is pushed or pulled",
               manifests.Signed, None, _MOVES, (_LINEAGE,)),
    _Operation("post", "/receive", "Take the state of a manifest, or say which blobs are to be sent first",
               manifests.Received, requests.ReceiveRequest, _TAKES),
    _Operation("get", "/blobs/{digest}", "A blob", None, None, (404, 409), (), BYTES),
    _Operation("put", "/blobs/{digest}", "Store a blob, which must have this digest", _object(stored=_TEXT), BYTES,
               (404, 409, 413, 507)),
    _Operation("get", "/keys", "The store's own public key, and those that it trusts", model.Keys, None, (409,)),
    _Operation("put", "/keys/{key}", "Take states that this key has signed", _object(trusted=_TEXT),
               requests.TrustRequest, (409, 413, 507)),
    _Operation("delete", "/keys/{key}", "Take no more of them", _object(distrusted={"type": "boolean"}), None,
               (409, 507)),
    _Operation("post", "/prune", "Remove from the store what no state needs", model.Pruned, requests.PruneRequest,
               (409, 413)),
    _Operation("post", "/archive", "Compress what was not used for long", model.Archived, requests.ArchiveRequest,
               (409, 413, 507)),
    _Operation("post", "/reset", "End everything; only a fresh initial state is left",
               _object(status={"const": "ok"})),
    _Operation("post", "/interrupt", "Interrupt what runs under an exec_id",
               _object(interrupted={"type": "boolean"}), requests.InterruptRequest, (413,)),
    _Operation("get", "/tree", "All states with their lineage, and what runs", model.Tree, None, (), (
        {"name": "memory", "in": "query", "schema": {"type": "string", "enum": ["true", "false"]},
         "description": "Whether to measure memory; it takes 1-10 ms a gigabyte."},
    )),
    _Operation("get", "/events", "The live changes of the tree, as server-sent events", None, None, (), (
        {"name": "Last-Event-ID", "in": "header", "schema": _TEXT,
         "description": "The last event that was received; what was missed is sent first."},
    ), "text/event-stream"),
    _Operation("get", "/health", "Whether the kernel is well, and its figures", {"type": "object"}),
    _Operation("get", "/metrics", "The figures in Prometheus' format", None, None, (), (), "text/plain"),
    _Operation("get", "/openapi.json", "This document", {"type": "object"}),
    _Operation("post", "/shutdown", "End every state process and the server",
               _object(status={"const": "stopping"})),
)  # fmt: skip


def document(version: str) -> dict[str, Any]:
    """The whole document, as OpenAPI 3.1."""
    types = [
        found
        for operation in _OPERATIONS
        for found in (operation.answer, operation.body)
        if isinstance(found, type)
    ]
    _, components = msgspec.json.schema_components([*types, model.Variable, model.Frame], ref_template=_REFERENCE)
    paths: dict[str, dict[str, Any]] = {}
    for operation in _OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method] = _described(operation)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "stillframe",
            "version": version,
            "description": "A Python kernel whose states never change: code runs in one and makes a new one.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "security": [{"bearer": []}, {"token": []}],
        "paths": paths,
        "components": {
            "schemas": {**components, "Error": _ERROR},
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "token": {"type": "apiKey", "in": "query", "name": "token"},
            },
        },
    }


def _described(operation: _Operation) -> dict[str, Any]:
    content: dict[str, Any] = {}
    if operation.answer is not None:
        content["application/json"] = {"schema": _schema(operation.answer)}
    if operation.also:
        content[operation.also] = {"schema": _TEXT}
    named = [part[1:-1] for part in operation.path.split("/") if part.startswith("{")]
    parameters = [{"name": name, "in": "path", "required": True, "schema": _TEXT} for name in named]
    errors = sorted({400, 401, 403, 405, *operation.errors})
    described: dict[str, Any] = {
        "summary": operation.summary,
        "operationId": operation.method + operation.path.replace("{", "").replace("}", "").replace("/", "_"),
        "parameters": [*parameters, *operation.query],
        "responses": {
            "200": {"description": operation.summary, "content": content},
            **{str(status): _failure(status) for status in errors},
        },
    }
    if operation.body is not None:
        is_bytes = operation.body == BYTES
        schema = {"type": "string", "format": "binary"} if is_bytes else _schema(operation.body)
        body = {BYTES if is_bytes else "application/json": {"schema": schema}}
        described["requestBody"] = {"required": True, "content": body}
    return described


def _schema(answer: Any) -> Any:
    return {"$ref": _REFERENCE.format(name=answer.__name__)} if isinstance(answer, type) else answer


def _failure(status: int) -> dict[str, Any]:
    content = {"application/json": {"schema": {"$ref": _REFERENCE.format(name="Error")}}}
    return {"description": _STATUSES[status], "content": content}
