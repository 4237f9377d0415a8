"""Frames: what is between a call and its return, as a value.

Knows interpreter frames, and nothing of pickling, files or states. `continuation` reads the frames of a
thread and has them go on; `code` and `instructions` say what CPython's compiler meant; `natives` knows the
functions written in C that may stand between two Python frames. `diversions` has `stand_ins` do what some of
those do, where a program asks for it.
"""
