"""What is registered with atexit is called at the end, in a resumed program too."""

import atexit

from snap import snap

events = []


@atexit.register
def last():
    print(events, snap("the one registered first is last"))


atexit.register(events.append, snap("with arguments"))


def removed():
    events.append("never")


atexit.register(removed)
snap("before it is unregistered")
atexit.unregister(removed)


class Registered:
    def method(self, *args, **kwargs):
        events.append(("method", args, kwargs, snap("in a method")))


atexit.register(Registered().method, snap(1), k=snap(2))
print("end of the program")
