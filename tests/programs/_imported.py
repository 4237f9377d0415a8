"""Imported by capture_during_import, which is captured while this module runs."""

import os

import stillframe

value = ["set before"]
for turn in range(2):
    if turn == 0:
        stillframe.snapshot(os.environ["SNAPSHOT"]) or os._exit(0)
    value.append(turn)
after = "set after"
