"""Threads: some busy, some blocked on locks, queues, events and conditions, while the main thread is captured."""

import queue
import threading

from snap import snap

events = []
lock = threading.Lock()
rlock = threading.RLock()
ready = threading.Event()
go = threading.Event()
tasks = queue.Queue()
results = queue.Queue()
local = threading.local()
local.value = "of the main thread"
total = 0


def counting():
    """Busy until it is told to stop, and its sum says whether a turn was lost or done twice."""
    global total
    n = 0
    while n < 30_000:
        n += 1
        with lock:
            total += n
    return n


def serving():
    local.value = "of a worker"
    while (task := tasks.get()) is not None:
        results.put((task, task * 2, local.value))
    results.put("no more")


def waiting():
    ready.set()
    go.wait()
    with rlock, rlock:
        results_of_waiting.append("went")


results_of_waiting = []
busy = threading.Thread(target=counting, name="busy")
server = threading.Thread(target=serving, name="server")
waiter = threading.Thread(target=waiting, name="waiter", daemon=True)
for thread in (busy, server, waiter):
    thread.start()
ready.wait()
snap("with three threads")
tasks.put(1)
events.append(results.get())
snap("after a task")
with rlock:
    with rlock:
        snap("with a lock held twice")
        go.set()
    events.append(rlock._is_owned())
tasks.put(snap(2))
events.append(results.get())
waiter.join()
events.append(results_of_waiting)
tasks.put(None)
events.append(results.get())
busy.join()
server.join()
events.append((total, local.value))
snap("after they have ended")
events.append([thread.is_alive() for thread in (busy, server, waiter)])
events.append([thread.name for thread in (busy, server, waiter)])
condition = threading.Condition()
turns = []


def taking_turns(name, number):
    for turn in range(3):
        with condition:
            condition.wait_for(lambda: len(turns) % 2 == number)
            turns.append((name, turn))
            condition.notify_all()


players = [threading.Thread(target=taking_turns, args=(name, number)) for number, name in enumerate("ab")]
with condition:
    for player in players:
        player.start()
    snap("holding their condition")
for player in players:
    player.join()
events.append(turns)
barrier = threading.Barrier(2)
semaphore = threading.Semaphore(0)


def meeting():
    barrier.wait()
    semaphore.release()


thread = threading.Thread(target=meeting)
thread.start()
snap("one waits at a barrier")
barrier.wait()
semaphore.acquire()
thread.join()
events.append("met")

print("\n".join(map(repr, events)))
