"""With threads blocked on a queue, a lock and an event, all woken after resuming."""

import os
import queue
import threading

import stillframe

tasks, results = queue.Queue(), queue.Queue()
lock, go = threading.Lock(), threading.Event()


def serve():
    while (task := tasks.get()) is not None:
        results.put(task * 2)
    with lock:
        results.put("had the lock")


def wait():
    go.wait()
    results.put("went")


threads = [threading.Thread(target=serve), threading.Thread(target=wait)]
lock.acquire()
for thread in threads:
    thread.start()
tasks.put(1)
print(results.get())
stillframe.snapshot(os.environ["SNAPSHOT"]) or os._exit(0)
tasks.put(2)
print(results.get(), lock.locked())
go.set()
print(results.get())
tasks.put(None)
lock.release()
print(results.get())
for thread in threads:
    thread.join()
print([thread.is_alive() for thread in threads])
