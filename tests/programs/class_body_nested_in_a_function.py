"""In a class body nested in another, in a function, with its variables."""

import os

import stillframe


def make(parameter):
    class Outer:
        value = parameter

        class Inner:
            stillframe.snapshot(os.environ["SNAPSHOT"]) or os._exit(0)
            value = [parameter]

            def get(self):
                return parameter, __class__ is Outer.Inner

    return Outer


print("before")
made = make(5)
print(made.value, made.Inner.value, made.Inner().get(), made.Inner.__qualname__)
