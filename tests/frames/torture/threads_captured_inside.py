"""A thread other than the main one asks for the capture, while the main one waits for it."""

import threading

from snap import snap

events = []


def inner(n):
    return snap(n) + 1


def work(name):
    events.append((name, inner(1), threading.current_thread().name))
    try:
        raise ValueError(name)
    except ValueError as error:
        events.append((snap(str(error)), threading.current_thread() is thread))


thread = threading.Thread(target=work, args=("worker",), name="named")
thread.start()
thread.join()
events.append((thread.is_alive(), threading.current_thread() is threading.main_thread()))
answers = []


def generator():
    yield snap("from a generator in a thread")


done = threading.Event()


def other():
    answers.extend(generator())
    done.set()


thread = threading.Thread(target=other)
thread.start()
done.wait()
thread.join()
events.append(answers)

print("\n".join(map(repr, events)))
