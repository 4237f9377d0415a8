"""f-strings, format specs, str.format, % formatting, templates, join: values that are made while a string is."""

import string

from snap import snap

events = []


class Money:
    def __init__(self, amount):
        self.amount = amount

    def __format__(self, spec):
        return f"{snap(self.amount):{spec or '.2f'}} EUR"

    def __repr__(self):
        return f"Money({snap(self.amount)!r})"

    def __str__(self):
        return snap(f"{self.amount} in cash")


m = Money(3)
events.append(f"{snap(1)}")
events.append(f"a{snap(1)}b{snap('x')!r}c{snap(2.5):>8.2f}d")
events.append(f"{m}|{m!r}|{m!s}|{m:07.1f}")
events.append(f"{snap(7):{snap(5)}d}|{snap('s'):{snap('^')}{snap(7)}}")
events.append(f"{snap(1) + snap(2)=}")
events.append(f"{f'{snap(1)}{snap(2)}'}{(lambda: snap(3))()}")
events.append(f"{'yes' if snap(True) else 'no'} {[snap(i) for i in range(2)]}")
events.append(f"{ {'k': snap('v')}['k'] }")
events.append(f"{m!a:>12}")
events.append(rf"\{snap('raw')}" + f"{snap('joined')}plain")
events.append("{} {!r} {:>5}".format(snap(1), snap("two"), snap(3)))
events.append("{0.amount} {m:.1f}".format(m, m=m))
events.append("{a[k]}".format(a={"k": snap("v")}))
events.append("%s and %r and %5.1f" % (snap("s"), snap("r"), snap(1.25)))
events.append("%s / %r" % (m, m))
events.append("%(a)s" % {"a": snap(1)})
events.append("-".join([snap("a"), snap("b")]))
events.append("{x}".format_map({"x": snap("mapped")}))
events.append(string.Template("$a-$b").substitute(a=snap(1), b=snap(2)))
events.append(str(snap(1)) + repr(snap("q")) + ascii(snap("é")))
events.append(f"{snap(b'bytes')!r:.3}")
events.append([str(m), repr(m), format(m, ".0f")])


class Broken:
    def __format__(self, spec):
        snap("about to fail")
        raise ValueError(f"no spec {spec!r}")

    def __str__(self):
        return snap(5)


try:
    f"{Broken():abc}"
except ValueError as error:
    events.append(str(error))
try:
    str(Broken())
except TypeError as error:
    events.append(str(error))
width = 12
events.append(f"{'nested':{'*'}^{snap(width)}}{snap('more')}")
events.append(
    f"""several
lines {snap(1)} and
{snap(2)}"""
)

print("\n".join(map(repr, events)))
