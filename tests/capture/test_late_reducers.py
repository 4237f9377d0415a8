"""Themes of reducers that are imported when the first of their types is met: where they say that those are from."""

from __future__ import annotations

import subprocess
import sys

import pytest

from stillframe.capture.reducers import LATE

REGISTERS = """
import importlib, sys
from stillframe.capture import pickler
from stillframe.capture.reducers import LATE
theme = sys.argv[1]
before = {*pickler.REDUCERS, *(cls for cls, _ in pickler.BASES), *pickler.LIBRARIES}
importlib.import_module("stillframe.capture.reducers." + theme)
now = {*pickler.REDUCERS, *(cls for cls, _ in pickler.BASES), *pickler.LIBRARIES}
homes = {new if isinstance(new, str) else new.__module__ for new in now - before}
print(sorted(homes - {*LATE[theme]} - {home for home in homes if home.partition(".")[0] in LATE[theme]}))
"""


@pytest.mark.parametrize("theme", sorted(LATE))
def test_a_late_theme_has_only_types_of_the_modules_that_it_is_late_for(theme: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", REGISTERS, theme], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.stdout, done.stderr) == ("[]\n", "")
