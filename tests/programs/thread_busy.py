"""With a busy thread, which goes on and ends."""

import os
import threading

import stillframe

total = 0
started = threading.Event()


def count():
    global total
    for n in range(200_000):
        total += n
        if n == 100:
            started.set()


thread = threading.Thread(target=count, name="counting")
thread.start()
started.wait()
print("before")
stillframe.snapshot(os.environ["SNAPSHOT"]) or os._exit(0)
thread.join()
print(total, thread.is_alive(), thread.name)
