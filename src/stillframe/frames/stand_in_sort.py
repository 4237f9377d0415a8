"""Sorting in Python as CPython's C does it: the same comparisons in the same order, the same list after an error.

The algorithm is Tim Peters' timsort with Munro and Wild's powersort as its merge policy, as CPython's
`Objects/listsort.txt` describes it. Runs are found, short ones made longer by binary insertion, and merged; a
merge gallops where one run wins again and again.

Invariants:
  * Nobody can tell by the comparisons that were made, nor by what they saw of the list, that this is not C.
  * Where to compare runs no Python code, CPython's own sort is asked.
  * All state is in local variables and in lists: a capture in the middle of a comparison has it all.
"""

from __future__ import annotations

import sys
from typing import Any

from stillframe.frames._diversions import are_plain, give_back, native, take
from stillframe.frames.stand_in_merge import MIN_GALLOP, MergeHigh, MergeLow

_LONGEST_SHORT_RUN = 64
_FINDS_EQUAL_RUNS = sys.version_info >= (3, 13)
"""Whether a descending run may hold equal items."""
_sort_natively = native(list.sort)


class Begun:
    """Whether a sort was begun in this process: it is false in one that goes on from a snapshot."""

    is_here = True

    def __reduce__(self) -> tuple[Any, ...]:
        return (object.__new__, (Begun,), {"is_here": False})


def sort(self: list[Any], /, *, key: Any = None, reverse: bool = False) -> None:
    """As `list.sort`."""
    values, begun = take(self), Begun()
    try:
        if key is None:
            _sort(values, None, reverse)
        else:
            keys: list[Any] = []
            for value in values:
                keys.append(key(value))  # noqa: PERF401  (a comprehension has a frame of its own)
            _sort(keys, values, reverse)
    finally:
        is_changed = give_back(self, values, begun.is_here)
    if is_changed:
        raise ValueError("list modified during sort")


def _sort(keys: list[Any], values: list[Any] | None, reverse: bool) -> None:
    if are_plain(keys):
        if values is None:
            _sort_natively(keys, reverse=reverse)
            return
        order = [*range(len(keys))]
        try:
            _sort_natively(order, key=keys.__getitem__, reverse=reverse)
        finally:
            values[:] = [*map(values.__getitem__, order)]
    elif len(keys) > 1:
        Sort(keys, values, reverse).run()


class Sort:
    """One sort of `keys`; `values`, if there are any, move with them."""

    def __init__(self, keys: list[Any], values: list[Any] | None, reverse: bool) -> None:
        self.keys = keys
        self.values = values
        self.reverse = reverse
        self.min_gallop = MIN_GALLOP
        self.pending: list[list[int]] = []
        """Runs to be merged: start, length, and the power of the node between it and the next."""
        self.kind: Any = None
        """The one class of all keys, or of the first parts of all tuples."""
        self.in_tuples = False

    def run(self) -> None:
        self._choose()
        if self.reverse:  # twice, so that what is equal stays in order
            self._reverse(0, len(self.keys))
        try:
            self._find_and_merge()
        finally:
            if self.reverse:
                self._reverse(0, len(self.keys))

    # ---- Comparing

    def _choose(self) -> None:
        """Look at the keys once, as C does, for what all of them have in common."""
        keys = self.keys
        in_tuples = type(keys[0]) is tuple and len(keys[0]) > 0
        kind: Any = type(keys[0][0]) if in_tuples else type(keys[0])
        for key in keys:
            if in_tuples and (type(key) is not tuple or not key):
                self.in_tuples, self.kind = False, None
                return
            if type(key[0] if in_tuples else key) is not kind:
                kind = None
                if not in_tuples:
                    break
        self.in_tuples = in_tuples
        self.kind = None if in_tuples and kind is tuple else kind

    def less(self, left: Any, right: Any) -> Any:
        """Whether `left < right`: true or false, of any type."""
        if self.in_tuples:
            return self._less_tuple(left, right)
        if self.kind is not None:
            # C asks the left one directly; only if that one does not know, `<` begins anew, with it.
            answer = self.kind.__lt__(left, right)
            if answer is not NotImplemented:
                return answer
        return left < right

    def _less_tuple(self, left: tuple[Any, ...], right: tuple[Any, ...]) -> Any:
        both, at = len(left) if len(left) < len(right) else len(right), 0
        while at < both:
            if left[at] is not right[at] and not left[at] == right[at]:  # noqa: SIM201  (`!=` is another method)
                break
            at += 1
        if at >= both:
            return len(left) < len(right)
        if at == 0 and self.kind is not None:
            answer = self.kind.__lt__(left[0], right[0])
            if answer is not NotImplemented:
                return answer
        return left[at] < right[at]

    # ---- Moving

    def _reverse(self, start: int, end: int) -> None:
        self.keys[start:end] = self.keys[start:end][::-1]
        if self.values is not None:
            self.values[start:end] = self.values[start:end][::-1]

    def _rotate(self, start: int, end: int) -> None:
        """Move what is at `end` to `start`, and what is between one further."""
        self.keys.insert(start, self.keys.pop(end))
        if self.values is not None:
            self.values.insert(start, self.values.pop(end))

    # ---- Runs

    def _find_and_merge(self) -> None:
        left = len(self.keys)
        start, least = 0, _least_run(left)
        while left:
            length = self._run_at(start, left)
            if length < least:
                forced = least if least < left else left
                self._insert(start, start + length, start + forced)
                length = forced
            self._found(start, length)
            start += length
            left -= length
        while len(self.pending) > 1:
            at = len(self.pending) - 2
            if at > 0 and self.pending[at - 1][1] < self.pending[at + 1][1]:
                at -= 1
            self._merge_at(at)

    def _run_at(self, start: int, left: int) -> int:
        """The length of the ascending run at `start`; a descending one is made ascending first."""
        if _FINDS_EQUAL_RUNS:
            return self._run_with_equals_at(start, left)
        if left == 1:
            return 1
        keys, length = self.keys, 2
        if self.less(keys[start + 1], keys[start]):
            while length < left and self.less(keys[start + length], keys[start + length - 1]):
                length += 1
            self._reverse(start, start + length)
        else:
            while length < left and not self.less(keys[start + length], keys[start + length - 1]):
                length += 1
        return length

    def _run_with_equals_at(self, start: int, left: int) -> int:
        keys = self.keys
        length = self._ascending(start, 1, left)
        if length == left:
            return length
        if length > 1:
            if self.less(keys[start], keys[start + length - 1]):
                return length
            self._reverse(start, start + length)
        length += 1
        equal = 0
        while length < left:
            if self.less(keys[start + length], keys[start + length - 1]):
                if equal:
                    self._reverse(start + length - equal - 1, start + length)
                    equal = 0
            elif self.less(keys[start + length - 1], keys[start + length]):
                break
            else:
                equal += 1
            length += 1
        if equal:
            self._reverse(start + length - equal - 1, start + length)
        self._reverse(start, start + length)
        return self._ascending(start, length, left)

    def _ascending(self, start: int, length: int, left: int) -> int:
        keys = self.keys
        while length < left and not self.less(keys[start + length], keys[start + length - 1]):
            length += 1
        return length

    def _insert(self, start: int, at: int, end: int) -> None:
        """Binary insertion: `start` to `at` is sorted already."""
        keys = self.keys
        while at < end:
            pivot, low, high = keys[at], start, at
            while low < high:
                middle = (low + high) >> 1
                if self.less(pivot, keys[middle]):
                    high = middle
                else:
                    low = middle + 1
            self._rotate(low, at)
            at += 1

    def _found(self, start: int, length: int) -> None:
        """Note a run, after merging what powersort has merged before it."""
        pending = self.pending
        if pending:
            first, size, _ = pending[-1]
            power = _power(first, size, length, len(self.keys))
            while len(pending) > 1 and pending[-2][2] > power:
                self._merge_at(len(pending) - 2)
            pending[-1][2] = power
        pending.append([start, length, 0])

    # ---- Merging

    def _merge_at(self, at: int) -> None:
        keys = self.keys
        (a, na, _), (b, nb, _) = self.pending[at], self.pending[at + 1]
        self.pending[at][1] = na + nb
        if at == len(self.pending) - 3:
            self.pending[at + 1] = self.pending[at + 2]
        self.pending.pop()
        # What of a comes before all of b is in place, and so is what of b comes behind all of a.
        skip = self.gallop_right(keys[b], keys, a, na, 0)
        a, na = a + skip, na - skip
        if na == 0:
            return
        nb = self.gallop_left(keys[a + na - 1], keys, b, nb, nb - 1)
        if nb == 0:
            return
        if na <= nb:
            MergeLow(self, a, na, b, nb).run()
        else:
            MergeHigh(self, a, na, b, nb).run()

    def gallop_left(self, key: Any, keys: list[Any], base: int, size: int, hint: int) -> int:
        """Where `key` belongs among `size` sorted keys from `base`, in front of those equal to it."""
        last, offset = 0, 1
        if self.less(keys[base + hint], key):
            most = size - hint
            while offset < most and self.less(keys[base + hint + offset], key):
                last, offset = offset, 2 * offset + 1
            offset = most if offset > most else offset
            last, offset = last + hint, offset + hint
        else:
            most = hint + 1
            while offset < most and not self.less(keys[base + hint - offset], key):
                last, offset = offset, 2 * offset + 1
            offset = most if offset > most else offset
            last, offset = hint - offset, hint - last
        last += 1
        while last < offset:
            middle = last + ((offset - last) >> 1)
            if self.less(keys[base + middle], key):
                last = middle + 1
            else:
                offset = middle
        return offset

    def gallop_right(self, key: Any, keys: list[Any], base: int, size: int, hint: int) -> int:
        """As gallop_left, behind those equal to it."""
        last, offset = 0, 1
        if self.less(key, keys[base + hint]):
            most = hint + 1
            while offset < most and self.less(key, keys[base + hint - offset]):
                last, offset = offset, 2 * offset + 1
            offset = most if offset > most else offset
            last, offset = hint - offset, hint - last
        else:
            most = size - hint
            while offset < most and not self.less(key, keys[base + hint + offset]):
                last, offset = offset, 2 * offset + 1
            offset = most if offset > most else offset
            last, offset = last + hint, offset + hint
        last += 1
        while last < offset:
            middle = last + ((offset - last) >> 1)
            if self.less(key, keys[base + middle]):
                offset = middle
            else:
                last = middle + 1
        return offset


def _least_run(size: int) -> int:
    """How long runs are made: `size` is this times a power of two, or a little less."""
    odd = 0
    while size >= _LONGEST_SHORT_RUN:
        odd |= size & 1
        size >>= 1
    return size + odd


def _power(first: int, size: int, next_size: int, total: int) -> int:
    """Powersort's node between two runs: the first bit in which the middles of both, as fractions, differ."""
    a, b, power = 2 * first + size, 2 * first + 2 * size + next_size, 0
    while True:
        power += 1
        if a >= total:
            a, b = a - total, b - total
        elif b >= total:
            return power
        a, b = 2 * a, 2 * b
