"""eval, exec and compile, with their own namespaces; code that is made while the program runs."""

import builtins
import types

from snap import snap

events = []
snap_in = {"snap": snap}

events.append(eval("snap(1) + snap(2)"))
events.append(eval("a + snap(b)", {"snap": snap, "a": 1}, {"b": 2}))
events.append(eval(compile("[snap(i) for i in range(2)]", "<text>", "eval")))
namespace = dict(snap_in)
exec("x = snap(1)\nfor i in range(2):\n    x += snap(i)\n", namespace)
events.append((namespace["x"], namespace["i"]))
exec("def made(n):\n    return snap(n * 2)\n", namespace)
events.append(namespace["made"](4))
events.append(namespace["made"].__globals__ is namespace)
exec(
    "class Made:\n    value = snap('body')\n    def method(self):\n        return snap(self.value)\n",
    namespace,
)
events.append(namespace["Made"]().method())


def in_a_function(a):
    b = snap(2)
    return eval("a + b + snap(3)"), exec("c = snap(a)"), "c" in locals()


events.append(in_a_function(1))
nested = "eval('eval(\"snap(5)\") + snap(6)')"
events.append(eval(nested))
exec("exec('y = snap(7)')\nevents.append(y)")
events.append(y)
exec(compile("snap(8)\nz = 9\n", "<single>", "exec"), globals())
events.append(z)


class Namespace(dict):
    def __missing__(self, key):
        if hasattr(builtins, key):
            raise KeyError(key)
        return snap(f"<{key}>")

    def __setitem__(self, key, value):
        super().__setitem__(key, snap(value))


own = Namespace()
exec("p = unknown\nq = p + other\n", snap_in, own)
events.append(dict(own))
try:
    eval("snap(1) / 0")
except ZeroDivisionError as error:
    events.append((str(error), error.__traceback__.tb_next.tb_frame.f_code.co_filename))
try:
    exec("try:\n    snap(0)\n    raise ValueError(snap('v'))\nfinally:\n    snap('finally')\n")
except ValueError as error:
    events.append(str(error))
try:
    compile("x = ", "<bad>", "exec")
except SyntaxError as error:
    snap("handling")
    events.append(error.filename)


def outer(n):
    def inner():
        return snap(n)

    return inner


code = outer.__code__
events.append(types.FunctionType(code, globals())(3)())
replaced = (lambda: snap("old")).__code__.replace(co_name="renamed", co_consts=(None, "new"))
events.append((types.FunctionType(replaced, globals())(), replaced.co_name))
cell = types.CellType(snap("in a cell"))
events.append(types.FunctionType(outer(1).__code__, globals(), "f", None, (cell,))())
exec("""
def generator(n):
    while n:
        try:
            n = yield snap(n)
        finally:
            events.append(("finally", n))
g = generator(2)
events.append([next(g), g.send(1), next(g, "end")])
""")
shared = {"snap": snap, "n": 0}
for _ in range(2):
    exec("n += snap(1)", shared)
events.append(shared["n"])
restricted = {"__builtins__": {"len": len, "snap": snap}}
events.append(eval("snap(len('abc'))", restricted))
try:
    eval("snap(print)", restricted)
except NameError as error:
    events.append(str(error))
module = types.ModuleType("made_module")
module.snap = snap
exec("value = snap(1)\ndef f():\n    global value\n    value += snap(1)\n    return value\n", module.__dict__)
events.append((module.f(), module.value))
snap("with a made module alive")
events.append((module.f(), module.value, module.f.__globals__ is vars(module)))
single = compile("snap(1); w = snap(2)", "<single>", "single")
exec(single, {"snap": lambda v: snap(v) and None})
events.append([eval(text) for text in ("snap('a')", "(lambda: snap('b'))()", "[*map(str, [snap(1)])]")])
exec("events.append([__name__, snap(1)])", {"events": events, "snap": snap, "__name__": "elsewhere"})
events.append(eval("locals_", {}, {"locals_": snap("mapping")}))

print("\n".join(map(repr, events)))
