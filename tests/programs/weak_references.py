"""With weak references, callbacks and weak dictionaries."""

import os
import weakref

import stillframe


class Thing:
    pass


thing, other = Thing(), Thing()
reference = weakref.ref(thing, lambda r: print("gone"))
values = weakref.WeakValueDictionary(a=thing, b=other)
keys = weakref.WeakKeyDictionary({thing: 1})
stillframe.snapshot(os.environ["SNAPSHOT"]) or os._exit(0)
print(reference() is thing, values["a"] is thing, keys[thing], len(values))
del thing
print(reference(), sorted(values), len(keys))
