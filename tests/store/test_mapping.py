"""Blobs as memory: nothing the program sees changes, and a digest is never said that a hash would not say."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import mmap
import os
import random
from collections.abc import Callable

import numpy as np
import pytest

from stillframe.store import Blobs, adopt, map_blob, overlay, write_snapshot
from stillframe.store.blobs import digest_of
from stillframe.store.mapping import MOST_COMPARED_PAGES, PAGE, Memory, address_of, is_as_forked

SIZE = 4 << 20
libc = ctypes.CDLL(None, use_errno=True)
libc.mprotect.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
libc.madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)

M_MMAP_THRESHOLD = -3
IS_MMAPPED = 2
"""In the size that stands before a block of malloc's."""


@pytest.fixture(scope="module", autouse=True)
def _large_blocks_have_mappings_of_their_own() -> None:
    """malloc raises the size from which it maps blocks to that of the largest one freed; here it stays at 1 MiB."""
    assert libc.mallopt(M_MMAP_THRESHOLD, 1 << 20)


def array(seed: int = 0, size: int = SIZE) -> np.ndarray:
    random_bytes = np.frombuffer(np.random.default_rng(seed).bytes(size), dtype=np.uint8)
    return large_block(size, random_bytes)


def large_block(size: int, content: np.ndarray | None = None) -> np.ndarray:
    """An array in a block of its own: malloc first gives what was freed before, at any address, also at such a one."""
    elsewhere = []
    while True:
        found = np.empty(size, dtype=np.uint8) if content is None else content.copy()
        header = ctypes.c_size_t.from_address(address_of(found) - 8).value
        if size < 1 << 20 or (address_of(found) % PAGE == 16 and header & IS_MMAPPED):
            return found
        elsewhere.append(found)


def recognised(blobs: Blobs, data: object) -> str | None:
    return Memory(blobs).digest_of(data)


def test_a_mapped_blob_is_its_content_and_is_recognised(blobs: Blobs) -> None:
    content = array()
    digest = blobs.put(content)
    mapped = map_blob(blobs, digest)
    assert recognised(blobs, mapped) == digest
    assert bytes(mapped) == content.tobytes()
    assert recognised(blobs, mapped) == digest
    assert address_of(mapped) % PAGE == 16


def test_what_a_program_makes_of_the_same_functions_of_c_is_no_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    data = bytearray(5)
    expected = address_of(data)
    for name in ("PyObject_GetBuffer", "PyBuffer_Release"):
        function = getattr(ctypes.pythonapi, name)
        monkeypatch.setattr(function, "argtypes", [ctypes.c_char_p])
    assert address_of(data) == expected


@pytest.mark.parametrize("size", [0, 1, 4080, 4081, 5000])
def test_small_blobs_are_mapped_too(blobs: Blobs, size: int) -> None:
    digest = blobs.put(bytes(size))
    mapped = map_blob(blobs, digest)
    assert bytes(mapped) == bytes(size)
    assert len(mapped) == size


def test_a_mapping_holds_no_descriptor_and_is_given_back(blobs: Blobs) -> None:
    digest = blobs.put(array())
    before = len(os.listdir("/proc/self/fd"))
    mapped = [map_blob(blobs, digest) for _ in range(20)]
    assert len(os.listdir("/proc/self/fd")) == before
    del mapped
    gc.collect()
    with open("/proc/self/maps") as maps:
        assert digest not in maps.read()


def test_writing_to_a_mapped_blob_stays_private(blobs: Blobs) -> None:
    content = array()
    digest = blobs.put(content)
    mapped = map_blob(blobs, digest)
    mapped[12345] ^= 1
    assert recognised(blobs, mapped) is None
    assert blobs.get(digest) == content.tobytes()
    mapped[12345] ^= 1
    assert recognised(blobs, mapped) == digest


def test_memory_is_adopted_without_a_change_and_recognised(blobs: Blobs) -> None:
    content = array()
    before = content.tobytes()
    digest = blobs.put(content)
    assert recognised(blobs, content) is None
    assert adopt(blobs, address_of(content), content.nbytes, digest)
    assert content.tobytes() == before
    assert recognised(blobs, content) == digest
    content[100] ^= 1  # on the first page, which is not the blob's
    assert recognised(blobs, content) is None
    content[100] ^= 1
    content[-1] ^= 1  # on the last one
    assert recognised(blobs, content) is None
    content[-1] ^= 1
    assert recognised(blobs, content) == digest
    content[SIZE // 2] ^= 1
    assert recognised(blobs, content) is None


def test_memory_that_has_changed_since_is_not_adopted(blobs: Blobs) -> None:
    content = array()
    digest = blobs.put(content)
    for at in (5_000, SIZE // 2, SIZE - 10_000):
        content[at] ^= 1
        before = content.tobytes()
        assert not adopt(blobs, address_of(content), content.nbytes, digest)
        assert content.tobytes() == before
        content[at] ^= 1


def test_adopting_stops_when_told_and_nothing_is_lost(blobs: Blobs) -> None:
    content = array(size=40 << 20)
    before = content.tobytes()
    digest = blobs.put(content)
    answers = iter([True, False])
    assert not adopt(blobs, address_of(content), content.nbytes, digest, go_on=lambda: next(answers))
    assert content.tobytes() == before
    assert recognised(blobs, content) is None
    assert adopt(blobs, address_of(content), content.nbytes, digest)  # and the rest another time
    assert content.tobytes() == before
    assert recognised(blobs, content) == digest


def test_what_is_known_is_not_compared(blobs: Blobs) -> None:
    content, other = array(1), array(2)
    assert adopt(blobs, address_of(content), SIZE, blobs.put(other), is_known=True)
    assert (content[PAGE:-PAGE] == other[PAGE:-PAGE]).all()


def test_what_was_adopted_and_written_to_is_adopted_again(blobs: Blobs) -> None:
    content = array()
    assert adopt(blobs, address_of(content), SIZE, blobs.put(content))
    content[::PAGE] ^= 1
    before, digest = content.tobytes(), blobs.put(content)
    assert adopt(blobs, address_of(content), SIZE, digest)
    assert content.tobytes() == before and recognised(blobs, content) == digest


def in_a_fork(check: Callable[[], bool]) -> bool:
    child = os.fork()
    if child == 0:
        with contextlib.suppress(BaseException):
            os._exit(0 if check() else 1)
        os._exit(2)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_fork_knows_where_it_has_written(blobs: Blobs) -> None:
    """Random writes in a fork, in memory that is anonymous, partly untouched, or a blob: a page that was written to
    is never taken for one that was not, and where nothing was written that is known."""
    dice = random.Random(3)
    fresh = large_block(SIZE)
    fresh[: SIZE // 2] = 5
    mapped = np.frombuffer(map_blob(blobs, blobs.put(array(1))), dtype=np.uint8)
    mapped[: SIZE // 4] ^= 1
    for data in (array(2), fresh, mapped):
        address = address_of(data)
        assert in_a_fork(lambda data=data, address=address: data.any() and is_as_forked(address, SIZE))
        for _ in range(20):
            at = dice.randrange(2 * PAGE, SIZE - 2 * PAGE)

            def written(data: np.ndarray = data, address: int = address, at: int = at) -> bool:
                data[at] = data[at]  # the same byte: it is written all the same
                return not is_as_forked(address, SIZE)

            assert in_a_fork(written)
    alone = array(4)
    assert not is_as_forked(address_of(alone), SIZE)


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_who_has_forked_knows_where_it_has_written_since(blobs: Blobs) -> None:
    content = array()
    here, there = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(there)
        os.read(here, 1)
        os._exit(0)
    assert is_as_forked(address_of(content), SIZE)
    content[SIZE // 2] = content[SIZE // 2]
    assert not is_as_forked(address_of(content), SIZE)
    os.close(there)
    os.close(here)
    os.waitpid(child, 0)


def test_only_large_blocks_of_malloc_are_adopted(blobs: Blobs) -> None:
    data = mmap.mmap(-1, SIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    inner = memoryview(data)[16 : 16 + SIZE - PAGE]
    inner[:] = array(size=inner.nbytes).tobytes()
    assert not adopt(blobs, address_of(inner), inner.nbytes, blobs.put(inner))
    part = array()[1000:-1000]
    assert not adopt(blobs, address_of(part), part.nbytes, blobs.put(part))
    shared = mmap.mmap(-1, SIZE)
    assert not adopt(blobs, address_of(shared), SIZE, blobs.put(shared))
    small = array(size=100)
    assert not adopt(blobs, address_of(small), 100, blobs.put(small))


def test_an_adopted_array_may_be_resized_and_freed(blobs: Blobs) -> None:
    for seed in range(5):
        content = array(seed)
        before = content.tobytes()
        assert adopt(blobs, address_of(content), content.nbytes, blobs.put(content))
        content.resize(SIZE * 2, refcheck=False)
        assert content.tobytes() == before + bytes(SIZE)
        content.resize(SIZE // 2, refcheck=False)
        assert content.tobytes() == before[: SIZE // 2]
        del content
    assert not np.zeros(SIZE, dtype=np.uint8).any()


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_forks_share_what_was_adopted(blobs: Blobs) -> None:
    content = array()
    digest = blobs.put(content)
    assert adopt(blobs, address_of(content), content.nbytes, digest)
    child = os.fork()
    if child == 0:
        is_right = recognised(blobs, content) == digest
        content[PAGE * 3] ^= 1
        os._exit(0 if is_right and recognised(blobs, content) is None else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert recognised(blobs, content) == digest


def test_fresh_memory_is_overlaid(blobs: Blobs) -> None:
    content = array()
    digest = blobs.put(content)
    fresh = large_block(SIZE)
    assert overlay(blobs, address_of(fresh), SIZE, digest)
    assert fresh.tobytes() == content.tobytes()
    assert recognised(blobs, fresh) == digest


def test_a_part_of_a_blob_is_not_the_blob(blobs: Blobs) -> None:
    digest = blobs.put(array())
    mapped = map_blob(blobs, digest)
    for part in (mapped[1:], mapped[:-1], mapped[PAGE:], mapped[: SIZE // 2]):
        assert recognised(blobs, part) is None


def test_a_blob_of_another_store_or_a_replaced_one_does_not_count(blobs: Blobs, quick: object) -> None:
    content = array()
    digest = blobs.put(content)
    mapped = map_blob(blobs, digest)
    other = Blobs(f"{quick}/other")
    other.store.mkdir()
    other.create()
    assert recognised(other, mapped) is None
    blobs.path(digest).unlink()
    assert recognised(blobs, mapped) is None
    assert blobs.put(content) == digest
    assert recognised(blobs, mapped) is None


def test_what_cannot_be_read_is_unknown(blobs: Blobs) -> None:
    mapped = map_blob(blobs, blobs.put(array()))
    page = address_of(mapped) - 16 + 10 * PAGE
    assert libc.mprotect(page, PAGE, 0) == 0
    assert recognised(blobs, mapped) is None
    assert libc.mprotect(page, PAGE, mmap.PROT_READ) == 0
    assert recognised(blobs, mapped) is not None  # split in three, all of it the blob's
    assert libc.mprotect(page, PAGE, mmap.PROT_READ | mmap.PROT_WRITE) == 0


def test_another_mapping_in_the_middle_is_seen(blobs: Blobs) -> None:
    content, other = array(1), array(2)
    digest, second = blobs.put(content), blobs.put(other)
    mapped = map_blob(blobs, digest)
    at = address_of(mapped) - 16 + 8 * PAGE
    descriptor = blobs.open(second)
    from stillframe.store.mapping import _map_over

    _map_over(at, PAGE, descriptor, 8 * PAGE)
    assert recognised(blobs, mapped) is None
    # The same file, but another place of it.
    os.close(descriptor)
    descriptor = blobs.open(digest)
    _map_over(at, PAGE, descriptor, 9 * PAGE)
    assert recognised(blobs, mapped) is None
    _map_over(at, PAGE, descriptor, 8 * PAGE)
    assert recognised(blobs, mapped) == digest
    os.close(descriptor)


def test_pages_that_were_given_back_are_the_files_again(blobs: Blobs) -> None:
    content = array()
    digest = blobs.put(content)
    mapped = map_blob(blobs, digest)
    mapped[8 * PAGE] ^= 1
    assert recognised(blobs, mapped) is None
    assert libc.madvise(address_of(mapped) - 16, SIZE, 4) == 0  # MADV_DONTNEED
    assert recognised(blobs, mapped) == digest
    assert bytes(mapped) == content.tobytes()


def test_what_is_recognised_is_what_a_hash_would_say(blobs: Blobs) -> None:
    """Against the plain oracle: random writes, undone or not, in mapped and in adopted memory."""
    dice = random.Random(7)
    content = array(size=1 << 20)
    digest = blobs.put(content)
    said = 0
    for round_number in range(150):
        if round_number % 2:
            data = np.frombuffer(map_blob(blobs, digest), dtype=np.uint8)
        else:
            data = large_block(content.nbytes, content)
            adopt(blobs, address_of(data), data.nbytes, digest)
        for _ in range(dice.choice((0, 1, 1, 2, 50, MOST_COMPARED_PAGES + 5))):
            at = dice.randrange(data.nbytes)
            data[at] ^= dice.choice((0, 0, 0, 1))
        found = Memory(blobs).digest_of(data)
        said += found is not None
        assert found in (None, digest_of(data))
    assert 20 < said < 140


def test_an_unchanged_buffer_is_not_written_or_hashed_again(
    blobs: Blobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = array()
    first = write_snapshot(blobs, b"{}", b"pickle", [content])
    assert adopt(blobs, address_of(content), SIZE, first.buffers[0].digest)
    from stillframe.store import blobs as module

    hashed = []
    real = module.digest_of
    monkeypatch.setattr(
        module, "digest_of", lambda data: hashed.append(memoryview(data).nbytes) or real(data)
    )
    again = write_snapshot(blobs, b"{}", b"pickle", [content], near=first)
    assert again.buffers == first.buffers
    assert SIZE not in hashed
    content[5] ^= 1
    third = write_snapshot(blobs, b"{}", b"pickle", [content], near=first)
    assert third.buffers != first.buffers
    assert SIZE in hashed
