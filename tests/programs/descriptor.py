"""In the __get__ and __set_name__ of a descriptor."""

import os

import stillframe


class Typed:
    def __set_name__(self, owner, name):
        self.name = name

    def __get__(self, instance, owner):
        if instance is None:
            return self
        stillframe.snapshot(os.environ["SNAPSHOT"]) or os._exit(0)
        return instance.__dict__.get(self.name, "unset")

    def __set__(self, instance, value):
        instance.__dict__[self.name] = value


class Thing:
    field = Typed()


thing = Thing()
thing.field = 5
print(["before", thing.field])
