"""In a class decorator with arguments, applied together with others."""

import os

import stillframe


def register(name):
    def decorate(cls):
        stillframe.snapshot(os.environ["SNAPSHOT"]) or os._exit(0)
        cls.name = name
        return cls

    return decorate


def plain(cls):
    cls.plain = True
    return cls


@plain
@register("registered")
class Thing:
    value = 1


print(Thing.name, Thing.plain, Thing.value)
