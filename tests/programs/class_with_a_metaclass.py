"""In the body of a class with a metaclass, a keyword and a prepared namespace."""

import os

import stillframe


class Meta(type):
    @classmethod
    def __prepare__(mcs, name, bases, **keywords):
        return {"prepared": sorted(keywords)}

    def __new__(mcs, name, bases, namespace, **keywords):
        print("making", name, sorted(key for key in namespace if not key.startswith("__")))
        return super().__new__(mcs, name, bases, namespace)

    def __init__(cls, name, bases, namespace, **keywords):
        super().__init__(name, bases, namespace)
        cls.keywords = keywords


class Thing(metaclass=Meta, flag=True):
    stillframe.snapshot(os.environ["SNAPSHOT"]) or os._exit(0)
    value = 1


print(Thing.prepared, Thing.keywords, Thing.value)
