"""What the machine has left: memory, processes, descriptors. Linux only; everything is read from /proc."""

from __future__ import annotations

import contextlib
import functools
import os
import resource
from collections.abc import Iterable, Iterator
from pathlib import Path

from stillframe.model import Memory

_MIB = 1 << 20
_SMALLEST_RESERVE = 256 * _MIB
_PAGE = os.sysconf("SC_PAGE_SIZE")


def memory_reserve() -> int:
    """The memory that should stay available on this machine, in bytes: a sixteenth of it."""
    limits = [limit for limit, _ in _cgroup_limits()]
    return max(min([_meminfo()["MemTotal"], *limits]) // 16, _SMALLEST_RESERVE)


def available_memory() -> int:
    """Bytes that can still be allocated: of the machine, or of the control group where that is less."""
    rooms = [limit - used for limit, used in _cgroup_limits()]
    return max(0, min([_meminfo()["MemAvailable"], *rooms]))


def _meminfo() -> dict[str, int]:
    with open("/proc/meminfo") as file:
        fields = (line.split() for line in file)
        return {name.rstrip(":"): int(size) << 10 for name, size, *_ in fields}


def _cgroup_limits() -> Iterator[tuple[int, int]]:
    """(limit, used) in bytes of this process's control groups that have a limit. Page cache is not used."""
    for limit_path, used_path, cache_path in _cgroup_files():
        with contextlib.suppress(OSError, ValueError):
            limit, used = int(limit_path.read_text()), int(used_path.read_text())
            cache = [line.split() for line in cache_path.read_text().splitlines()]
            inactive = next((int(size) for name, size in cache if name.endswith("inactive_file")), 0)
            if limit < 1 << 60:
                yield limit, used - inactive


@functools.cache
def _cgroup_files() -> list[tuple[Path, Path, Path]]:
    root, found = Path("/sys/fs/cgroup"), []
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            names = ("memory.max", "memory.current", "memory.stat")
            group = root / path.lstrip("/")
        elif "memory" in controllers.split(","):
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "memory.stat")
            group = root / "memory" / path.lstrip("/")
        else:
            continue
        for folder in (group, root / "memory", root):
            files = tuple(folder / name for name in names)
            if all(file.exists() for file in files):
                found.append((files[0], files[1], files[2]))
                break
    return found


def process_room() -> int:
    """How many more processes and threads the machine allows before nine tenths of its limits are used."""
    used = int(Path("/proc/loadavg").read_text().split()[3].partition("/")[2])
    limits = [int(Path(f"/proc/sys/kernel/{name}").read_text()) for name in ("pid_max", "threads-max")]
    soft, _ = resource.getrlimit(resource.RLIMIT_NPROC)
    if soft != resource.RLIM_INFINITY:
        limits.append(soft)
    with contextlib.suppress(OSError, ValueError):
        limits.append(int(Path("/sys/fs/cgroup/pids.max").read_text()))
    return min(limits) * 9 // 10 - used


def raise_descriptor_limit() -> tuple[int, int]:
    """Take all the descriptors that this process may have. Returns the limits as they were."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return soft, hard


def memory_of(pids: Iterable[int]) -> Memory:
    """Memory of some processes together. Costs a walk of their page tables: 1-10 ms a gigabyte."""
    resident = private = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            sizes = _smaps_rollup(pid)
            resident += sizes.get("Rss", 0)
            private += sizes.get("Private_Clean", 0) + sizes.get("Private_Dirty", 0)
    return Memory(resident, private)


def proportional_memory(pids: Iterable[int]) -> int:
    """Bytes of some processes, each shared page divided by the number of those that share it. Costs as memory_of."""
    size_bytes = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            size_bytes += _smaps_rollup(pid).get("Pss", 0)
    return size_bytes


def _smaps_rollup(pid: int) -> dict[str, int]:
    with open(f"/proc/{pid}/smaps_rollup") as file:
        next(file)
        fields = (line.split() for line in file)
        return {name.rstrip(":"): int(size) << 10 for name, size, *_ in fields}


def sizes_of_groups(groups: Iterable[int]) -> dict[int, tuple[int, int]]:
    """(private bytes, number of processes) of each process group, given by its leader's pid."""
    members: dict[int, list[int]] = {group: [] for group in groups}
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(OSError):
                stat = Path(f"/proc/{name}/stat").read_text()
                group = int(stat.rpartition(")")[2].split()[2])
                if group in members:
                    members[group].append(int(name))
    return {group: (memory_of(pids).private_bytes, len(pids)) for group, pids in members.items()}
