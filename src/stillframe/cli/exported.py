"""What `still show FILE` and `still doctor FILE` tell of an export. Only its manifest is read; nothing is unpickled."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
from rich.text import Text

from stillframe import show as looks
from stillframe.cli.terminal import Rows, console, print_json


class Cell(msgspec.Struct, frozen=True):
    """A state of the lineage."""

    id: str
    code: str
    names: list[str]
    created: str
    duration_s: float
    has_snapshot: bool


class About(msgspec.Struct, frozen=True):
    """What an export tells of itself."""

    file: str
    size_bytes: int
    name: str
    created: str
    key: str
    """Who has signed it; the signature is right."""
    python: str
    stillframe: str
    why_not: str
    """Why it could not be restored here; empty: it could."""
    packages: dict[str, str]
    missing_packages: dict[str, str]
    variables: list[tuple[str, str, int]]
    blobs: int
    blobs_bytes: int
    kind: str
    where: Any
    lineage: list[Cell]


def is_export(path: str) -> bool:
    """Whether there is such a file, and it begins as an export does."""
    from stillframe.store import exports

    return Path(path).is_file() and exports.is_export(Path(path))


def about(path: str) -> About:
    """What is in an export. Raises SnapshotRefused where it is damaged, or a newer one."""
    from stillframe.store import exports, fitness, manifests

    manifest, signed = exports.read_manifest(Path(path))
    header = manifests.header(manifest)
    return About(
        file=path,
        size_bytes=Path(path).stat().st_size,
        name=manifest.name,
        created=manifest.created,
        key=signed.key,
        python=str(header.interpreter),
        stillframe=header.stillframe,
        why_not=fitness.unfit(header),
        packages=header.packages,
        missing_packages=fitness.missing_packages(header.packages),
        variables=header.variables,
        blobs=len(manifest.blobs),
        blobs_bytes=manifest.size_bytes,
        kind=manifest.state.kind,
        where=manifest.state.details.get("where"),
        lineage=[
            Cell(row.id, row.code, row.names, row.created, row.duration_s, row.id in manifest.snapshots)
            for row in manifest.states
        ],
    )


def show(path: str, *, as_json: bool) -> None:
    """Print it."""
    found = about(path)
    if as_json:
        print_json(found)
        return
    out = console()
    facts = Rows("", "")
    for what, text in _facts(found):
        facts.add(what, looks.printable(text))
    facts.print(out)
    if found.variables:
        out.print()
        table = Rows("variable", "type", "size", right=("size",))
        for name, kind, size_bytes in found.variables:
            table.add(looks.printable(name), looks.printable(kind), looks.size(size_bytes))
        table.print(out)
    for cell in found.lineage[1:]:
        called = ", ".join(cell.names) or cell.id[:8]
        stored = "" if cell.has_snapshot else " (its cell only)"
        out.print(Text(f"\n{looks.printable(called)}{stored}, took {looks.duration(cell.duration_s)}"))
        out.print(Text("".join(f"  | {looks.printable(line)}\n" for line in cell.code.splitlines()), end=""))


def _facts(found: About) -> list[tuple[str, str]]:
    facts = [
        ("file", f"{found.file}, {looks.size(found.size_bytes)}"),
        ("holds", f"state {found.name}{_place(found)}, with {looks.counted(len(found.lineage) - 1, 'cell')}"),
        ("made", f"{found.created}, stillframe {found.stillframe}"),
        ("signed by", found.key),
        ("blobs", f"{found.blobs}, {looks.size(found.blobs_bytes)}"),
        ("python", found.python),
    ]
    for name, version in found.packages.items():
        absent = "; it is not here" if name in found.missing_packages else ""
        facts.append(("package", f"{name} {version}{absent}"))
    return [*facts, ("restored here", f"no: {found.why_not}" if found.why_not else "by whoever trusts it")]


def _place(found: About) -> str:
    if found.kind != "call" or not isinstance(found.where, dict):
        return ""
    return f", inside a call at line {found.where.get('line')} of {found.where.get('file')}"
