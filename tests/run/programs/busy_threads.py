"""Three busy threads with queues, locks, conditions, sleeps and files, and a main thread that waits for them."""

import hashlib
import queue
import sys
import threading
import time

COUNT = int(sys.argv[1]) if len(sys.argv) > 1 else 400
jobs = queue.Queue(maxsize=4)
results = []
lock = threading.Lock()
even = threading.Condition()
numbers = {"taken": 0, "waited": 0}


def produce():
    for number in range(COUNT):
        jobs.put(number)
        if number % 40 == 0:
            time.sleep(0.005)
    for _ in range(2):
        jobs.put(None)


def steps(number):
    value = number
    for step in range(900):
        value = (value * 31 + step) % 1_000_003
        if step % 300 == 299:
            yield value


def consume(name):
    own = threading.local()
    own.count = 0
    while (number := jobs.get(timeout=60)) is not None:
        digest = [hashlib.sha256(b"%d" % value).hexdigest()[:4] for value in steps(number)]
        with lock:
            numbers["taken"] += 1
            results.append((number, digest))
        own.count += 1
        with even:
            even.notify_all()
    with lock:
        numbers["waited"] += own.count


def watch():
    with even:
        while numbers["taken"] < COUNT:
            even.wait(0.01)
    results.append((COUNT, ["all"]))


print("begin")
threads = [threading.Thread(target=produce), threading.Thread(target=watch)]
threads += [threading.Thread(target=consume, args=(name,)) for name in "ab"]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
results.sort()
print(len(results), numbers["taken"], numbers["waited"])
print(hashlib.sha256(repr(results).encode()).hexdigest())
