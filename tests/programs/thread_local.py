"""With values of a threading.local in two threads."""

import os
import threading

import stillframe

local = threading.local()
local.value = "main"
ready, go = threading.Event(), threading.Event()


def work():
    local.value = "worker"
    ready.set()
    go.wait()
    print(local.value)


thread = threading.Thread(target=work)
thread.start()
ready.wait()
stillframe.snapshot(os.environ["SNAPSHOT"]) or os._exit(0)
go.set()
thread.join()
print(local.value)
