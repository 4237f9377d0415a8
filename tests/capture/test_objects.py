"""Objects of the standard library: locks, threads, queues, weak references, contexts, and what is in C."""

from __future__ import annotations

import concurrent.futures
import contextvars
import csv
import decimal
import functools
import gc
import io
import json
import logging
import mmap
import os
import queue
import random
import struct
import subprocess
import tarfile
import threading
import weakref
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stillframe.capture.capturing import capture, restore
from stillframe.errors import CannotCapture, CannotRestore


def again(obj: Any) -> Any:
    return restore(capture(obj))[1]


class Held:
    def method(self) -> int:
        return 5


# --- locks and threads


def test_locks_are_as_they_were() -> None:
    free, held = threading.Lock(), threading.Lock()
    held.acquire()
    free_2, held_2, held_3 = again([free, held, held])
    assert not free_2.locked() and held_2.locked() and held_2 is held_3


def test_an_owned_rlock_says_whose_it_was() -> None:
    lock = threading.RLock()
    lock.acquire()
    lock.acquire()
    context, copy = restore(capture(lock))
    assert context.rlocks == [(copy, threading.get_ident(), 2)]


def test_conditions_keep_their_lock() -> None:
    lock = threading.RLock()
    first, second, lock_2 = again([threading.Condition(lock), threading.Condition(lock), lock])
    assert first._lock is second._lock is lock_2
    assert first.acquire.__self__ is lock_2
    with first:
        second.notify_all()


def test_events_semaphores_barriers() -> None:
    event, semaphore = threading.Event(), threading.BoundedSemaphore(3)
    event.set()
    semaphore.acquire()
    event_2, semaphore_2, barrier = again([event, semaphore, threading.Barrier(1)])
    assert event_2.is_set() and semaphore_2._value == 2 and barrier.wait() == 0


def test_threads_that_have_not_begun_begin_and_ended_ones_stay_ended() -> None:
    seen: list[int] = []
    ended = threading.Thread(target=seen.append, args=(1,), name="ended")
    ended.start()
    ended.join()
    seen_2, new, ended_2, timer = again(
        [seen, threading.Thread(target=seen.append, args=(2,)), ended, threading.Timer(0, seen.append, (3,))]
    )
    for thread in (new, timer):
        thread.start()
        thread.join(10)
    assert seen_2 == [1, 2, 3]
    assert (ended_2.name, ended_2.ident, ended_2.is_alive()) == ("ended", ended.ident, False)
    with pytest.raises(RuntimeError):
        ended_2.start()
    assert again(threading.main_thread()) is threading.main_thread()


def test_a_running_thread_is_refused() -> None:
    go = threading.Event()
    thread = threading.Thread(target=go.wait)
    thread.start()
    try:
        with pytest.raises(CannotCapture, match=r"job\.worker \(Thread\): it runs\. Wait for it"):
            capture(type("Job", (), {"worker": thread}), name="job")
    finally:
        go.set()
        thread.join()


class Local(threading.local):
    def __init__(self, n: int, *, m: int = 0) -> None:
        self.n, self.m = n, m


def test_thread_local_data_of_this_thread() -> None:
    plain, own = threading.local(), Local(7, m=8)
    plain.x = [plain]
    own.more = 1
    plain_2, own_2 = again([plain, own])
    assert plain_2.x[0] is plain_2 and (own_2.n, own_2.m, own_2.more) == (7, 8, 1)
    seen: list[tuple[int, int]] = []
    thread = threading.Thread(target=lambda: seen.append((own_2.n, own_2.m)))
    thread.start()
    thread.join()
    assert seen == [(7, 8)]


def test_queues_keep_what_waits() -> None:
    queues: list[Any] = [queue.Queue(3), queue.LifoQueue(), queue.PriorityQueue(), queue.SimpleQueue()]
    for each in queues:
        for item in ([3], [1], [2]):
            each.put(item)
        each.get()
    for each, copy in zip(queues, again(queues), strict=True):
        assert [copy.get(timeout=5), copy.get(timeout=5)] == [each.get(), each.get()]


def test_an_idle_pool_works_again() -> None:
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        done = pool.submit(int, "5")
        concurrent.futures.wait([done])
        while not pool._idle_semaphore._value:
            pass
        pool_2, done_2 = again([pool, done])
    assert done_2.result() == 5
    assert pool_2.submit(int, "7").result(10) == 7
    pool_2.shutdown()


def test_a_finished_child_process_and_a_running_one() -> None:
    with subprocess.Popen(["true"]) as child:
        child.wait()
    assert again(child).returncode == 0
    with subprocess.Popen(["sleep", "60"]) as child:
        with pytest.raises(CannotCapture, match=r"it is a child process that runs"):
            capture(child)
        child.kill()


# --- weak references


def test_weak_references_follow_their_targets() -> None:
    target = Held()
    called: list[Any] = []
    items = [target, weakref.ref(target), weakref.proxy(target), weakref.WeakMethod(target.method)]
    copy, reference, proxy, method = again(items)
    assert reference() is copy and proxy.method() == 5 and method()() == 5
    assert reference is weakref.ref(copy)
    assert called == []


def test_what_only_weak_references_hold_dies_again() -> None:
    target = Held()
    called: list[Any] = []
    reference, keys, values, members, called_2 = again(
        [
            weakref.ref(target, called.append),
            weakref.WeakKeyDictionary({target: 1}),
            weakref.WeakValueDictionary({1: target}),
            weakref.WeakSet([target]),
            called,
        ]
    )
    gc.collect()
    assert reference() is None and not len(keys) and not len(values) and not len(members)
    assert len(called_2) == 1


def test_dead_references_stay_dead() -> None:
    target = Held()
    items = [weakref.ref(target), weakref.proxy(target), weakref.WeakMethod(target.method)]
    del target
    reference, proxy, method = again(items)
    assert reference() is None and method() is None
    with pytest.raises(ReferenceError):
        proxy.method()


def test_weak_containers_hold_the_same_objects() -> None:
    target = Held()
    items = again([weakref.WeakKeyDictionary({target: "v"}), weakref.WeakValueDictionary(k=target), target])
    assert items[0][items[2]] == "v" and items[1]["k"] is items[2]


def test_a_finalizer_is_called_when_its_object_ends() -> None:
    target, called = Held(), []
    finalizer = weakref.finalize(target, called.append, 1)
    copy, finalizer_2, called_2 = again([target, finalizer, called])
    finalizer.detach()
    assert finalizer_2.alive
    del copy
    gc.collect()
    assert called_2 == [1] and not finalizer_2.alive and called == []


# --- contexts


def test_context_variables_and_contexts() -> None:
    variable = contextvars.ContextVar("variable", default=(1,))
    unset: contextvars.ContextVar[int] = contextvars.ContextVar("unset")
    context = contextvars.Context()
    context.run(variable.set, (2,))
    variable_2, context_2, unset_2 = again([variable, context, unset])
    assert variable_2.get() == (1,) and context_2[variable_2] == (2,) and variable_2.name == "variable"
    with pytest.raises(LookupError):
        unset_2.get()


def test_a_token_resets_its_variable() -> None:
    variable: contextvars.ContextVar[int] = contextvars.ContextVar("variable", default=0)

    def run() -> None:
        variable.set(1)
        token = variable.set(2)
        variable_2, token_2 = again([variable, token])
        variable_2.set(2)
        variable_2.reset(token_2)
        assert variable_2.get() == 1

    contextvars.Context().run(run)


def test_the_context_of_decimal() -> None:
    with decimal.localcontext() as context:
        context.prec = 5
        copy = again(contextvars.copy_context())
    assert copy.run(decimal.getcontext).prec == 5


# --- the rest of the standard library


def test_random_generators() -> None:
    own = random.Random(5)
    shared, copy, choice = again([random._inst, own, random.choice])  # type: ignore[attr-defined]
    assert shared is random._inst and choice.__self__ is shared  # type: ignore[attr-defined]
    assert copy.random() == own.random()
    assert isinstance(again(random.SystemRandom()).random(), float)


def test_loggers_are_found_by_name() -> None:
    logger = logging.getLogger("capture.test")
    assert again(logger) is logger and again(logging.getLogger()) is logging.root


def test_csv_goes_on_between_two_rows(tmp_path: Path) -> None:
    (tmp_path / "c.csv").write_text('a;b\n1;"x\ny"\n3;4\n5;6\n')
    with open(tmp_path / "c.csv", newline="") as file:
        reader = csv.reader(file, delimiter=";")
        next(reader), next(reader)
        copy = again(reader)
        assert copy.line_num == reader.line_num == 3
        assert list(copy) == list(reader) == [["3", "4"], ["5", "6"]]
    out = io.StringIO()
    writer = csv.DictWriter(out, ["a", "b"])
    writer.writeheader()
    out_2, writer_2 = again([out, writer])
    writer_2.writerow({"a": 1, "b": "x,y"})
    assert out_2.getvalue() == 'a,b\r\n1,"x,y"\r\n'


def test_small_things_in_c() -> None:
    assert again(struct.Struct("<i")).pack(1) == b"\1\0\0\0"
    assert again(json.JSONDecoder(parse_float=str)).decode("[1.5]") == ["1.5"]
    key = functools.cmp_to_key(lambda a, b: b - a)
    assert sorted([1, 3, 2], key=again(key)) == [3, 2, 1]
    assert again(key(3)) < key(2)


def maps(path: Path) -> Iterator[mmap.mmap]:
    with open(path, "r+b") as file:
        yield mmap.mmap(file.fileno(), 0)
        yield mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        yield mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
        yield mmap.mmap(file.fileno(), 4096, offset=4096)


def test_memory_maps(tmp_path: Path) -> None:
    path = tmp_path / "m"
    path.write_bytes(b"A" * 10000)
    shared, read_only, private, part = maps(path)
    free = mmap.mmap(-1, 100)
    free[:5], shared[0:1], private[1:2] = b"hello", b"B", b"C"
    free.seek(3)
    shared_2, read_only_2, private_2, part_2, free_2 = again([shared, read_only, private, part, free])
    assert (
        shared_2[:3] == b"BAA"
        and read_only_2[:2] == b"BA"
        and private_2[:3] == b"BCA"
        and len(part_2) == 4096
    )
    assert free_2[:5] == b"hello" and free_2.tell() == 3
    shared_2[2:3] = b"Z"
    assert read_only_2[2:3] == b"Z" and path.read_bytes()[:3] == b"BAZ"
    with pytest.raises(TypeError):
        read_only_2[0:1] = b"x"
    contents = capture(read_only)
    path.write_bytes(b"other" * 2000)
    with pytest.raises(CannotRestore, match=f"cannot map {path} again: it has changed"):
        restore(contents)


def test_archives_go_on(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("text")
    archive = zipfile.ZipFile(tmp_path / "z.zip", "w")
    archive.writestr("a", "1")
    tar = tarfile.open(tmp_path / "t.tar", "w")
    tar.add(tmp_path / "f", "f")
    archive_2, tar_2 = again([archive, tar])
    archive_2.writestr("b", "2")
    tar_2.add(tmp_path / "f", "g")
    archive_2.close()
    tar_2.close()
    archive.fp = None
    tar.closed = True
    assert zipfile.ZipFile(tmp_path / "z.zip").namelist() == ["a", "b"]
    assert tarfile.open(tmp_path / "t.tar").getnames() == ["f", "g"]
    assert again(zipfile.ZipFile(tmp_path / "z.zip")).read("b") == b"2"


def test_an_entry_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("text")
    entry = next(os.scandir(tmp_path))
    contents = capture(entry)
    assert restore(contents)[1].path == entry.path
    (tmp_path / "f").unlink()
    with pytest.raises(CannotRestore, match="there is no 'f'"):
        restore(contents)
