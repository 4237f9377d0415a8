"""A wheel of stillframe made from this very installation, so that the far side needs no index that has it.

Invariants:
  * It holds what runs here: the installed sources, and the extensions of this interpreter and platform.
  * The same installation makes the same bytes: its digest names the environment that it is installed in.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import io
import sys
import sysconfig
import zipfile
from pathlib import Path
from typing import NamedTuple

import stillframe

LEFT_OUT = {"__pycache__", ".ruff_cache", ".mypy_cache"}
NEEDED = ("msgspec", "blake3")
"""What frames, capture and teleport import besides the standard library. The rest of stillframe (the server, the
command line) is not needed to go on with a program; where it is, its packages are among the program's."""
OLDEST_DATE = (1980, 1, 1, 0, 0, 0)


class Plan(NamedTuple):
    """What is to be installed, and the name of the environment that has it."""

    requirements: list[str]
    wheel_name: str
    wheel: bytes
    key: str


def plan(packages: dict[str, str]) -> Plan:
    """Everything for an environment with `packages` in the versions they have here."""
    pinned = dict(packages)
    for name in NEEDED:
        try:
            pinned.setdefault(name, importlib.metadata.version(name))
        except importlib.metadata.PackageNotFoundError:
            # It is not needed here either.
            continue
    requirements = sorted(f"{name}=={version}" for name, version in pinned.items() if name != "stillframe")
    name, wheel = build()
    digest = hashlib.sha256(wheel + "\n".join(requirements).encode()).hexdigest()
    return Plan(requirements, name, wheel, f"{sys.implementation.cache_tag}-{digest[:20]}")


def build() -> tuple[str, bytes]:
    """The wheel's name and its bytes."""
    version = stillframe.__version__
    tag = _tag()
    info = f"stillframe-{version}.dist-info"
    entries = {f"stillframe/{path}": source.read_bytes() for path, source in sorted(_files().items())}
    entries[f"{info}/METADATA"] = f"Metadata-Version: 2.1\nName: stillframe\nVersion: {version}\n".encode()
    entries[f"{info}/WHEEL"] = (
        f"Wheel-Version: 1.0\nGenerator: stillframe\nRoot-Is-Purelib: false\nTag: {tag}\n".encode()
    )
    record = f"{info}/RECORD"
    entries[record] = "".join(f"{name},,\n" for name in [*entries, record]).encode()
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in entries.items():
            entry = zipfile.ZipInfo(name, OLDEST_DATE)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, data)
    return f"stillframe-{version}-{tag}.whl", file.getvalue()


def _tag() -> str:
    python = f"cp{sys.version_info[0]}{sys.version_info[1]}"
    return f"{python}-{python}-{sysconfig.get_platform().replace('-', '_').replace('.', '_')}"


def _files() -> dict[str, Path]:
    """The package's files by their path in it: sources, data, and the extensions of this interpreter."""
    folder = Path(stillframe.__file__).parent
    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    found = {}
    for path in folder.rglob("*"):
        relative = path.relative_to(folder)
        if not path.is_file() or LEFT_OUT & set(relative.parts) or path.suffix in (".c", ".h", ".pyc"):
            continue
        if path.suffix == ".so" and not path.name.endswith(suffix):
            continue
        found[str(relative)] = path
    return found
