"""What the machine is, and what its memory says."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path

VERSIONS = """
import json, platform
from importlib.metadata import PackageNotFoundError, version
found = {"Python": platform.python_version()}
for name in %r:
    try:
        found[name] = version(name)
    except PackageNotFoundError:
        pass
print(json.dumps(found))
"""


def meminfo_bytes(field: str) -> int:
    """One field of /proc/meminfo."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == field:
            return int(value.split()[0]) * 1024
    raise AssertionError(f"/proc/meminfo has no {field}")


def available_bytes() -> int:
    return meminfo_bytes("MemAvailable")


def cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def transparent_huge_pages() -> str:
    """The setting in force, which decides what a fork costs."""
    try:
        text = Path("/sys/kernel/mm/transparent_hugepage/enabled").read_text()
    except OSError:
        return "not known"
    return text[text.index("[") + 1 : text.index("]")]


def versions(python: str, names: list[str]) -> dict[str, str]:
    """The versions that the interpreter `python` has of the distributions `names`, and its own."""
    done = subprocess.run([python, "-P", "-c", VERSIONS % names], check=True, capture_output=True, text=True)
    return dict(json.loads(done.stdout))


def description() -> list[tuple[str, str]]:
    """The machine, as rows of a table."""
    return [
        ("date", datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")),
        ("CPU", f"{cpu_model()}, {len(os.sched_getaffinity(0))} cores"),
        ("memory", f"{meminfo_bytes('MemTotal') / 2**30:.1f} GiB"),
        ("kernel", f"{platform.system()} {platform.release()}"),
        ("transparent huge pages", transparent_huge_pages()),
        ("load before", f"{os.getloadavg()[0]:.2f}"),
    ]
