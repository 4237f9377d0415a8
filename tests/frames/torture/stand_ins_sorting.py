"""A sort that finds runs, makes short ones longer, merges and gallops, captured at each of its comparisons."""

import os

from snap import snap

if os.environ.get("SNAP_AT"):
    # The undisturbed run is C's: what it prints must be what the stand-ins make of it.
    import stillframe

    stillframe.use_stand_ins()

events = []
asked = 0


class Compared:
    def __init__(self, value):
        self.value = value

    def __repr__(self):
        return f"<{self.value}>"

    def __lt__(self, other):
        global asked
        asked += 1
        if asked % 40 == 0 or self.value == other.value == 20:
            snap()
        return self.value < other.value


def events_of(values, **options):
    items = [Compared(value) for value in values]
    items.sort(**options)
    events.append((asked, items))


events_of([n * 7 % 70 for n in range(70)])
events_of([*range(0, 100, 2), *range(100, 0, -1), *range(20, 60)], reverse=True)
events_of([n // 3 if n % 50 else 90 for n in range(150)], key=lambda item: (item.value // 30, item))
events_of([*range(60), *range(20, 50), *range(40)])

print("\n".join(map(repr, events)))
