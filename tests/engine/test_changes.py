"""What has changed in a namespace, and what is open: told in C, so that asking writes to nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

from hypothesis import given
from hypothesis import strategies as some

from stillframe.engine import _fork, symbols

VALUES = [object() for _ in range(4)]
NAMESPACES = some.dictionaries(some.text(max_size=2), some.sampled_from(VALUES), max_size=8)
ANY_NAMES = some.dictionaries(some.one_of(some.text(max_size=2), some.integers(0, 3)), some.sampled_from(VALUES))


@given(some.one_of(NAMESPACES, ANY_NAMES), some.one_of(NAMESPACES, ANY_NAMES))
def test_changes_are_what_differs_and_lead_from_one_to_the_other(
    first: dict[Any, Any], second: dict[Any, Any]
) -> None:
    before, after = symbols.identities(first), symbols.identities(second)
    changes = symbols.changes(before, second)
    assert changes.bound == {name: after[name] for name in after if before.get(name) != after[name]}
    assert set(changes.gone) == before.keys() - after.keys()
    changes.apply(before)
    assert before == after


WRITTEN = """
import os
from stillframe.engine import _fork, symbols
namespace = {f"name {number}": float(number) for number in range(40_000)}
before = symbols.identities(namespace)
def private_kib():
    with open("/proc/self/smaps_rollup") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("Private_Dirty"))
def written_by(ask):
    if os.fork() == 0:
        private_kib()
        start = private_kib()
        ask()
        print(private_kib() - start, flush=True)
        os._exit(0)
    os.wait()
written_by(lambda: _fork.differences(before, namespace))
written_by(lambda: symbols.identities(namespace))
"""


def test_asking_for_changes_writes_to_nothing_in_a_fork() -> None:
    done = subprocess.run([sys.executable, "-c", WRITTEN], capture_output=True, text=True, check=True)
    asked, gone_through = map(int, done.stdout.split())
    assert asked < 100 < 2000 < gone_through


def test_descriptors_and_threads_are_those_that_there_are() -> None:
    read, write = os.pipe()
    try:
        found = _fork.numbers_in("/proc/self/fd")
        assert {read, write} <= set(found)
        for descriptor in found:
            os.fstat(descriptor)  # also the one that was open to look is not among them
    finally:
        os.close(read)
        os.close(write)
    assert _fork.numbers_in("/proc/self/task") == [int(name) for name in os.listdir("/proc/self/task")]
