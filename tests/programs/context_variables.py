"""With context variables set, and a context run in another."""

import contextvars
import os

import stillframe

variable = contextvars.ContextVar("variable", default="unset")


def inside():
    token = variable.set("inside")
    stillframe.snapshot(os.environ["SNAPSHOT"]) or os._exit(0)
    print(variable.get())
    variable.reset(token)
    return variable.get()


tokens = [variable.set("outside")]
copied = contextvars.copy_context()
tokens.append(variable.set("changed"))
print(inside(), variable.get(), copied[variable])
for token in reversed(tokens):
    variable.reset(token)
    print(variable.get())
