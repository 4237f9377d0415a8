"""A store of its own for each test, where to sync costs nothing; power_cuts.py is what looks at syncs."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from stillframe.store import Blobs, Store


@pytest.fixture
def quick(tmp_path: Path) -> Iterator[Path]:
    """A directory in memory, if that is to be had."""
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK):
        yield tmp_path
        return
    place = Path(tempfile.mkdtemp(dir=memory, prefix="stillframe-test-"))
    yield place
    shutil.rmtree(place)


@pytest.fixture
def store(quick: Path) -> Iterator[Store]:
    with Store.open(quick / "store") as store:
        yield store


@pytest.fixture
def blobs(store: Store) -> Blobs:
    return store.blobs
