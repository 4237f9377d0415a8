"""Captured by a thread, while the main one waits for it."""

import os
import threading

import stillframe

seen = []


def work():
    seen.append("before")
    stillframe.snapshot(os.environ["SNAPSHOT"]) or os._exit(0)
    seen.append((threading.current_thread().name, threading.current_thread() is thread))


thread = threading.Thread(target=work, name="worker")
thread.start()
thread.join()
print(seen, threading.current_thread() is threading.main_thread())
