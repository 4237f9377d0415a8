"""The installed packages that a program needs: which distributions its modules come from, in which versions.

Read from the folders of sys.path, where installers write it down (`NAME-VERSION.dist-info`). `importlib.metadata`
tells the same, but is a fifth of what `still run` and teleport import: here nothing is imported.

Invariants:
  * A name is compared as installers do: case, and which of `-_.` stands where, do not matter.
  * What is found first on sys.path counts.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

_ENDINGS = {".dist-info": "METADATA", ".egg-info": "PKG-INFO"}
_HEAD_BYTES = 8192
"""Name and version come first in a distribution's metadata."""


def packages_needed() -> dict[str, str]:
    """The distributions of the imported modules that travel by reference, with their versions.

    Cost: one look at the metadata beside each top-level package, once; the standard library costs nothing.
    """
    needed = list(_top_level_packages())
    if not all(package in _VERSIONS for package in needed):
        installed = _installed()
        for package in needed:
            if package not in _VERSIONS:
                _VERSIONS[package] = _versions_of(package, installed)
    found: dict[str, str] = {}
    for package in needed:
        found |= _VERSIONS[package]
    return found


_VERSIONS: dict[str, dict[str, str]] = {}
"""By top-level package: its distributions, with the versions that they had when it was imported."""


def _versions_of(package: str, installed: dict[str, str]) -> dict[str, str]:
    versions = {}
    for name, metadata in _distributions_of(package, installed):
        version = _field(metadata, "version")
        if version is not None:
            versions[name] = version
    return versions


def missing_packages(packages: dict[str, str]) -> list[str]:
    """Those of `packages` that are not installed here at all, as `name==version`."""
    if not packages:
        return []
    installed = _installed()
    return [f"{name}=={wanted}" for name, wanted in sorted(packages.items()) if _plain(name) not in installed]


def _top_level_packages() -> Iterator[str]:
    from stillframe.capture.modules import travels_by_value

    for name, module in list(sys.modules.items()):
        if "." in name or name in sys.stdlib_module_names or name.startswith("_") or name == "stillframe":
            continue
        if getattr(module, "__file__", None) and not travels_by_value(name, module):
            yield name


def _plain(name: str) -> str:
    words = name.lower().replace("-", " ").replace("_", " ").replace(".", " ").split()
    return "_".join(words)


def _installed() -> dict[str, str]:
    """The folder, or file, with the metadata of each distribution, by its plain name."""
    found: dict[str, str] = {}
    for folder in sys.path:
        try:
            names = os.listdir(folder or ".")
        except (OSError, TypeError):
            # A zip file, something that is not there, or no path at all.
            continue
        for name in names:
            stem, ending = os.path.splitext(name)
            if ending in _ENDINGS:
                found.setdefault(_plain(stem.partition("-")[0]), os.path.join(folder, name))
    return found


def _head(metadata: str) -> list[str]:
    path = os.path.join(metadata, _ENDINGS[os.path.splitext(metadata)[1]])
    try:
        with open(path if os.path.isdir(metadata) else metadata, "rb", buffering=0) as file:
            return file.read(_HEAD_BYTES).decode(errors="replace").partition("\n\n")[0].splitlines()
    except OSError:
        return []


def _field(metadata: str, field: str) -> str | None:
    for line in _head(metadata):
        name, _, value = line.partition(":")
        if name.lower() == field:
            return value.strip()
    return None


def _distributions_of(package: str, installed: dict[str, str]) -> list[tuple[str, str]]:
    """Those that a top-level package may come from, each with its metadata: most have its name; else all are looked
    through, once."""
    own = installed.get(_plain(package))
    if own is not None:
        return [(package, own)]
    if package not in _HOMES:
        _HOMES.clear()
        for metadata in installed.values():
            name = _field(metadata, "name")
            for inside in _top_levels(metadata) if name else ():
                _HOMES.setdefault(inside, []).append((str(name), metadata))
        _HOMES.setdefault(package, [])
    return _HOMES[package]


_HOMES: dict[str, list[tuple[str, str]]] = {}
"""By top-level package: its distributions, as far as they were looked up."""


def _top_levels(metadata: str) -> set[str]:
    """The packages and modules that a distribution has installed."""
    for name in ("top_level.txt", "RECORD"):
        try:
            with open(os.path.join(metadata, name), encoding="utf-8", errors="replace") as file:
                lines = file.read().splitlines()
        except OSError:
            continue
        return {line.strip().partition(",")[0].split("/")[0].partition(".")[0] for line in lines}
    return set()
