"""Functions so long that names, constants, jumps and arguments need EXTENDED_ARG, made as text and executed."""

from snap import snap

events = []


def run(text, **namespace):
    namespace |= {"snap": snap, "events": events}
    exec(compile(text, "<long>", "exec"), namespace)
    return namespace


def many(template, n, sep="\n"):
    return sep.join(template.format(i=i) for i in range(n))


LOCALS = f"""
def f():
{many("    v{i} = {i}", 300)}
    v299 = [v299, snap(v0), snap(v280)]
    def closure():
        return [v299, snap(v1), v298]
    return closure() + [v{{}}, v270 + snap(v271)]
""".replace("v{}", "v5")
events.append(run(LOCALS)["f"]())

CONSTANTS = f"""
def f():
    x = [{many("'c{i}'", 400, ", ")}]
    y = {{{many("'k{i}': snap({i}) if {i} == 350 else {i}.5", 360, ", ")}}}
    return len(x), y['k350'], snap('c399'), snap(12345.5)
"""
events.append(run(CONSTANTS)["f"]())

NAMES = f"""
{many("name{i} = {i}", 300)}
class Thing: pass
thing = Thing()
thing.attribute299 = snap(name299)
thing.attribute300 = lambda x: snap(x)
result = [thing.attribute299, thing.attribute300(snap(name298)), snap(name270)]
del name299
"""
events.append(run(NAMES)["result"])

LONG_LOOP = f"""
def f(n):
    seen = []
    for i in range(n):
        if i == 5:
            seen.append(snap('far branch'))
{many("        if i == 100{i}: seen.append({i})", 300)}
        if snap(i) == 1:
            continue
        try:
{many("            if i == 200{i}: seen.append({i})", 200)}
            seen.append(1 // i)
        except ZeroDivisionError as error:
            seen.append(snap(str(error)))
        finally:
{many("            if i == 300{i}: seen.append({i})", 100)}
            seen.append(snap(('finally', i)))
    else:
        seen.append(snap('else'))
    while True:
{many("        if n == 400{i}: break", 300)}
        if snap(n): break
    return seen
"""
events.append(run(LONG_LOOP)["f"](3))

LONG_WITH = f"""
class M:
    def __enter__(self): return snap('enter')
    def __exit__(self, *d): events.append(snap(d[0] is None)); return True
def f(n):
    with M() as m:
{many("        if n == 100{i}: m = {i}", 300)}
        snap(m)
        raise ValueError(snap('long'))
    return snap('after')
def g(n):
{many("    if n == 100{i}: yield {i}", 300)}
    got = yield snap('far down')
    yield from (snap(got), 2)
"""
made = run(LONG_WITH)
events.append(made["f"](0))
g = made["g"](0)
events.append([next(g), g.send("sent"), next(g), next(g, "end")])

ARGUMENTS = f"""
def f({many("a{i}", 280, ", ")}, **k):
    return a0 + a279 + len(k) + snap(1)
def h(*args):
    return len(args), snap(args[-1])
result = [f({many("{i}", 280, ", ")}), h({many("snap({i}) if {i} == 255 else {i}", 300, ", ")})]
result.append(f({many("a{i}=snap({i}) if {i} in (0, 279) else {i}", 280, ", ")}))
result.append(f(*range(279), snap(279), {many("k{i}={i}", 270, ", ")}))
"""
events.append(run(ARGUMENTS)["result"])
UNPACK = f"""
{many("u{i}", 270, ", ")} = [snap(i) if i == 269 else i for i in range(270)]
first, *rest, last = snap(range(300))
result = [u269, len(rest), [{many("u{i}", 270, ", ")}, snap('last')][-1]]
text = f"{many("{{u{i}}}", 260, "")}{{snap(1)}}"
result.append(len(text))
"""
events.append(run(UNPACK)["result"])
CHAIN = f"""
def f(x):
    if x == -1: return snap('never')
{many("    elif x == {i}: return snap(({i}, 'found'))", 300)}
    else: return snap('else')
def m(x):
    match x:
{many("        case {i}: return snap(({i}, 'matched'))", 300)}
        case _: return snap('none')
result = [f(0), f(299), f(300), m(0), m(299), m(300)]
"""
events.append(run(CHAIN)["result"])
DEEP = (
    "result = "
    + "(" * 90
    + "snap(1)"
    + "".join(f" + snap({i}))" if i % 30 == 0 else f" + {i})" for i in range(90))
)
events.append(run(DEEP)["result"])
NESTED = "result = " + "[" * 90 + "snap(1)" + "]" * 90
events.append(repr(run(NESTED)["result"]).strip("[]"))

print("\n".join(map(repr, events)))
