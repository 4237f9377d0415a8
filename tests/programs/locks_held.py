"""With a lock held, and a reentrant one held twice."""

import os
import threading

import stillframe

lock, rlock = threading.Lock(), threading.RLock()
with lock, rlock, rlock:
    stillframe.snapshot(os.environ["SNAPSHOT"]) or os._exit(0)
    print(lock.locked(), lock.acquire(blocking=False), rlock._is_owned())
print(lock.locked(), rlock._is_owned(), lock.acquire(blocking=False))
