"""The merges of `stand_in_sort`: two sorted runs become one, with the comparisons and moves of CPython's C.

Invariant: whatever stops a merge, the list holds all that it held, in the order that C leaves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stillframe.frames.stand_in_sort import Sort

MIN_GALLOP = 7
"""So many times in a row one run must win before the merge gallops."""


class _Merge:
    """Two neighbouring runs, a and b, become one. The smaller is put aside; `dest` is where the next key goes.

    `a` and `b` are the next of each run, `na` and `nb` how many are left. Whatever stops the merge, what was put
    aside goes back to where there is room for it.
    """

    def __init__(self, sort: Sort, a: int, na: int, b: int, nb: int) -> None:
        self.sort = sort
        self.a, self.na, self.b, self.nb = a, na, b, nb
        self.dest = 0
        self.aside: list[Any] = []
        self.values_aside: list[Any] = []

    def put_aside(self, start: int, size: int) -> None:
        self.aside = self.sort.keys[start : start + size]
        if self.sort.values is not None:
            self.values_aside = self.sort.values[start : start + size]

    def move(self, source: int, size: int) -> None:
        """Copy within the list, to `dest`."""
        keys, values, dest = self.sort.keys, self.sort.values, self.dest
        if size == 1:
            keys[dest] = keys[source]
            if values is not None:
                values[dest] = values[source]
            return
        keys[dest : dest + size] = keys[source : source + size]
        if values is not None:
            values[dest : dest + size] = values[source : source + size]

    def put_back(self, source: int, size: int) -> None:
        """Copy from what was put aside, to `dest`."""
        keys, values, dest = self.sort.keys, self.sort.values, self.dest
        if size == 1:
            keys[dest] = self.aside[source]
            if values is not None:
                values[dest] = self.values_aside[source]
            return
        keys[dest : dest + size] = self.aside[source : source + size]
        if values is not None:
            values[dest : dest + size] = self.values_aside[source : source + size]


class MergeLow(_Merge):
    """From the left: a is put aside, and is the shorter."""

    def run(self) -> None:
        self.dest = self.a
        self.put_aside(self.a, self.na)
        self.a = 0
        self.take_b()
        is_copy = False
        try:
            is_copy = self.nb > 0 and (self.na == 1 or self.merge())
        finally:
            if is_copy:
                # What is left of a is one key, and it belongs behind all of b.
                self.move(self.b, self.nb)
                self.dest += self.nb
                self.put_back(self.a, 1)
            elif self.na:
                self.put_back(self.a, self.na)

    def take_a(self, size: int = 1) -> None:
        self.put_back(self.a, size)
        self.dest, self.a, self.na = self.dest + size, self.a + size, self.na - size

    def take_b(self, size: int = 1) -> None:
        self.move(self.b, size)
        self.dest, self.b, self.nb = self.dest + size, self.b + size, self.nb - size

    def merge(self) -> bool:
        """Answers whether a is down to one key, which is the last."""
        sort, keys, aside = self.sort, self.sort.keys, self.aside
        gallop_from = sort.min_gallop
        while True:
            a_won = b_won = 0
            while a_won < gallop_from and b_won < gallop_from:
                if sort.less(keys[self.b], aside[self.a]):
                    self.take_b()
                    a_won, b_won = 0, b_won + 1
                    if self.nb == 0:
                        return False
                else:
                    self.take_a()
                    a_won, b_won = a_won + 1, 0
                    if self.na == 1:
                        return True
            gallop_from += 1
            while True:
                gallop_from -= gallop_from > 1
                sort.min_gallop = gallop_from
                a_won = sort.gallop_right(keys[self.b], aside, self.a, self.na, 0)
                if a_won:
                    self.take_a(a_won)
                    if self.na <= 1:
                        return self.na == 1
                self.take_b()
                if self.nb == 0:
                    return False
                b_won = sort.gallop_left(aside[self.a], keys, self.b, self.nb, 0)
                if b_won:
                    self.take_b(b_won)
                    if self.nb == 0:
                        return False
                self.take_a()
                if self.na == 1:
                    return True
                if a_won < MIN_GALLOP and b_won < MIN_GALLOP:
                    break
            gallop_from += 1
            sort.min_gallop = gallop_from


class MergeHigh(_Merge):
    """From the right: b is put aside, and is the shorter. `a`, `b` and `dest` are the last ones, and go down."""

    def run(self) -> None:
        self.first_a = self.a
        self.put_aside(self.b, self.nb)
        self.dest = self.b + self.nb  # one behind: take_… move it down first
        self.take_a()
        is_copy = False
        try:
            is_copy = self.na > 0 and (self.nb == 1 or self.merge())
        finally:
            if is_copy:
                # What is left of b is one key, and it belongs in front of all of a.
                self.dest -= self.na
                self.move(self.first_a, self.na)
                self.dest -= 1
                self.put_back(0, 1)
            elif self.nb:
                self.dest -= self.nb
                self.put_back(0, self.nb)

    def take_a(self, size: int = 1) -> None:
        self.dest, self.na = self.dest - size, self.na - size
        self.move(self.first_a + self.na, size)

    def take_b(self, size: int = 1) -> None:
        self.dest, self.nb = self.dest - size, self.nb - size
        self.put_back(self.nb, size)

    def merge(self) -> bool:
        """Answers whether b is down to one key, which is the first."""
        sort, keys, aside, first = self.sort, self.sort.keys, self.aside, self.first_a
        gallop_from = sort.min_gallop
        while True:
            a_won = b_won = 0
            while a_won < gallop_from and b_won < gallop_from:
                if sort.less(aside[self.nb - 1], keys[first + self.na - 1]):
                    self.take_a()
                    a_won, b_won = a_won + 1, 0
                    if self.na == 0:
                        return False
                else:
                    self.take_b()
                    a_won, b_won = 0, b_won + 1
                    if self.nb == 1:
                        return True
            gallop_from += 1
            while True:
                gallop_from -= gallop_from > 1
                sort.min_gallop = gallop_from
                left = sort.gallop_right(aside[self.nb - 1], keys, first, self.na, self.na - 1)
                a_won = self.na - left
                if a_won:
                    self.take_a(a_won)
                    if self.na == 0:
                        return False
                self.take_b()
                if self.nb == 1:
                    return True
                left = sort.gallop_left(keys[first + self.na - 1], aside, 0, self.nb, self.nb - 1)
                b_won = self.nb - left
                if b_won:
                    self.take_b(b_won)
                    if self.nb <= 1:
                        return self.nb == 1
                self.take_a()
                if self.na == 0:
                    return False
                if a_won < MIN_GALLOP and b_won < MIN_GALLOP:
                    break
            gallop_from += 1
            sort.min_gallop = gallop_from
