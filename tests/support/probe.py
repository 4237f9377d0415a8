"""The probe: it prints everything that can be observed of a program's variables, in one canonical text.

Run as a cell, in a state and at the end of a replay; the texts are equal where the states are.
First all values are described, with a number for each object, so that aliases show; then what can only be
seen by changing it is asked for: the next values of iterators and random streams, rows, lines.

Nothing here depends on addresses, on hashes of texts, or on who runs the cell.
"""


def cell(directory):
    """The cell that runs the probe, compiled into a file of `directory` to save time.

    `variables` is the namespace that is probed; the probe's own names stay out of it.
    """
    import marshal
    import pathlib

    path = pathlib.Path(directory) / "probe.code"
    path.write_bytes(marshal.dumps(compile(pathlib.Path(__file__).read_text(), "probe", "exec")))
    code = f"__import__('marshal').loads(__import__('pathlib').Path({str(path)!r}).read_bytes())"
    return f"exec({code}, {{'__name__': 'probe', 'variables': globals()}})"


class _Walk:
    def __init__(self, variables):
        self.variables, self.seen, self.lines, self.later = variables, {}, [], []

    def all(self):
        hidden = {"In", "Out", "exit", "quit", "get_ipython", "display", "open"}
        for name in sorted(n for n in self.variables if not n.startswith("_") and n not in hidden):
            self.lines.append(f"{name} = {self.value(self.variables[name], name)}")
        self.process()
        for name, ask in self.later:
            try:
                self.lines.append(f"{name} -> {ask()}")
            except Exception as problem:  # noqa: BLE001 - what asking raises is an observation too
                self.lines.append(f"{name} -> {type(problem).__name__}: {problem}")

    def value(self, x, path):
        import types

        if x is None or (
            isinstance(x, (bool, int, float, complex, str, bytes)) and type(x).__module__ == "builtins"
        ):
            return repr(x)
        if isinstance(x, types.ModuleType):
            return f"module {x.__name__}"
        if id(x) in self.seen:
            return f"#{self.seen[id(x)][0]}"
        number = len(self.seen)
        self.seen[id(x)] = (number, x)  # kept, so that an address is not used twice
        return f"#{number}:{self.body(x, path)}"

    def items(self, values, path):
        return "[" + ", ".join(self.value(v, f"{path}[{i}]") for i, v in enumerate(values)) + "]"

    def pairs(self, mapping, path):
        pairs = list(mapping.items())
        return (
            "{"
            + ", ".join(f"{self.value(k, path)}: {self.value(v, f'{path}[{k!r:.20}]')}" for k, v in pairs)
            + "}"
        )

    def members(self, x, path):
        members = {k: v for k, v in vars(x).items() if not (k.startswith("__") and k.endswith("__"))}
        members.pop("_abc_impl", None)
        return self.pairs(members, path)

    def body(self, x, path):
        for describe in (self.containers, self.functions, self.machines, self.libraries):
            text = describe(x, path)
            if text is not None:
                return text
        kind = type(x).__qualname__
        parts = [self.members(x, path)] if hasattr(x, "__dict__") else []
        for base in type(x).__mro__:
            slots = base.__dict__.get("__slots__", ())
            slots = (slots,) if isinstance(slots, str) else slots
            parts += [
                f"{s}={self.value(getattr(x, s), path)}" for s in slots if s[0] != "_" and hasattr(x, s)
            ]
        of = self.value(type(x), kind) if type(x).__module__ == "__main__" else kind
        return f"{kind}({', '.join(parts)}) of {of}"

    def containers(self, x, path):
        import array
        import collections

        kind = type(x).__qualname__
        if isinstance(x, collections.defaultdict):
            return f"defaultdict({self.value(x.default_factory, path)}){self.pairs(x, path)}"
        if isinstance(x, dict):
            return kind + self.pairs(x, path)
        if isinstance(x, (set, frozenset)):
            return kind + "{" + ", ".join(sorted(map(repr, x))) + "}"
        if isinstance(x, (list, tuple, collections.deque)):
            return f"{kind}({getattr(x, 'maxlen', '')})" + self.items(x, path)
        if isinstance(x, (bytearray, range, slice, array.array)):
            return repr(x)
        if isinstance(x, memoryview):
            return f"memoryview of {self.value(x.obj, path)}{x.tolist()}"
        if isinstance(x, collections.ChainMap):
            return "ChainMap" + self.items(x.maps, path)
        return None

    def functions(self, x, path):
        import functools
        import types

        if isinstance(x, types.FunctionType):
            cells = [c.cell_contents if _is_full(c) else "empty" for c in x.__closure__ or ()]
            return (
                f"function {x.__qualname__}{self.items((x.__defaults__, x.__kwdefaults__), path)}"
                f" over {self.items(cells, path)} with {self.pairs(x.__dict__, path)}"
                f" here {x.__globals__ is self.variables}"
            )
        if isinstance(x, types.MethodType):
            return f"method {x.__name__} of {self.value(x.__self__, path)}"
        if isinstance(x, types.BuiltinFunctionType):
            owner = x.__self__
            return f"builtin {x.__name__}" + (
                "" if isinstance(owner, types.ModuleType) else self.value(owner, path)
            )
        if isinstance(x, functools.partial):
            return (
                f"partial {self.value(x.func, path)}{self.items(x.args, path)}{self.pairs(x.keywords, path)}"
            )
        if isinstance(x, functools._lru_cache_wrapper):
            return f"cache {x.cache_info()} of {self.value(x.__wrapped__, path)}"
        if isinstance(x, type):
            if x.__module__ != "__main__":
                return f"class {x.__module__}.{x.__qualname__}"
            return f"class {x.__qualname__}{self.items(x.__bases__, path)}{self.members(x, path)}"
        if isinstance(x, (staticmethod, classmethod)):
            return f"{type(x).__name__} {self.value(x.__func__, path)}"
        if isinstance(x, property):
            return f"property {self.items((x.fget, x.fset, x.fdel), path)}"
        if isinstance(x, (types.MemberDescriptorType, types.GetSetDescriptorType)):
            return f"slot {x.__name__}"
        return None

    def machines(self, x, path):
        import collections.abc
        import contextvars
        import threading
        import types
        import weakref

        if isinstance(x, (types.GeneratorType, types.CoroutineType)):
            frame = x.gi_frame if isinstance(x, types.GeneratorType) else x.cr_frame
            send = x.__next__ if isinstance(x, types.GeneratorType) else lambda: x.send(None)
            self.later.append((path, lambda: [self.value(send(), path) for _ in range(2)]))
            if frame is None:
                return f"{type(x).__name__} {x.__qualname__} ended"
            local = self.pairs(frame.f_locals, path)
            return f"{type(x).__name__} {x.__qualname__} at {frame.f_lineno} with {local}"
        if isinstance(x, weakref.ref):
            return f"weak {self.value(x(), path)}"
        if isinstance(x, (weakref.WeakValueDictionary, weakref.WeakKeyDictionary)):
            return f"{type(x).__name__}{self.pairs(dict(x), path)}"
        if isinstance(x, BaseException):
            frames, link = [], x.__traceback__
            while link is not None:
                inner = link.tb_frame.f_code.co_name != "<module>"
                local = self.pairs(link.tb_frame.f_locals, path) if inner else ""
                frames.append(f"{link.tb_frame.f_code.co_name}:{link.tb_lineno}{local}")
                link = link.tb_next
            linked = self.items((x.__cause__, x.__context__), path)
            return f"{type(x).__qualname__}{self.items(x.args, path)}{linked}{frames}{x.__suppress_context__}"
        if isinstance(x, type(threading.Lock())):
            return f"lock {x.locked()}"
        if isinstance(x, type(threading.RLock())):
            self.later.append((path, lambda: x._is_owned()))
            return "rlock"
        if isinstance(x, contextvars.ContextVar):
            return f"var {x.name} {self.value(x.get(None), path)}"
        if isinstance(x, types.SimpleNamespace):
            return f"namespace {self.pairs(vars(x), path)}"
        if isinstance(x, types.MappingProxyType):
            return f"proxy {self.pairs(x, path)}"
        if isinstance(x, (type({}.keys()), type({}.values()), type({}.items()))):
            return f"view {self.items(list(x), path)}"
        if isinstance(x, collections.abc.Iterator) and type(x).__module__ in (
            "builtins",
            "itertools",
            "collections",
        ):
            self.later.append(
                (path, lambda: [self.value(v, path) for v, _ in zip(x, range(2), strict=False)])
            )
            return f"iterator {type(x).__qualname__}"
        return None

    def libraries(self, x, path):
        import decimal
        import enum
        import io
        import os
        import random
        import sqlite3
        import sys

        if isinstance(x, enum.Enum):
            return f"{type(x).__qualname__}.{x.name} {self.members(x, path)}"
        if isinstance(x, (decimal.Decimal, decimal.Context)):
            return repr(x)
        if isinstance(x, random.Random):
            self.later.append((path, x.random))
            return "Random"
        if isinstance(x, (io.StringIO, io.BytesIO)):
            return f"{type(x).__name__} {x.getvalue()!r} at {x.tell()}"
        if isinstance(x, io.IOBase):
            if x.closed:
                return "closed file"
            self.later.append((path, lambda: (x.readline(), os.lseek(x.fileno(), 0, 1), x.tell())))
            return f"file {os.path.basename(x.name)} at {os.lseek(x.fileno(), 0, 1)}"
        if isinstance(x, sqlite3.Connection):
            return f"database {list(x.iterdump())} {x.in_transaction} {x.total_changes}"
        if isinstance(x, sqlite3.Cursor):
            self.later.append((path, x.fetchone))
            return "cursor"
        np = sys.modules.get("numpy")
        if np is not None and isinstance(x, np.ndarray):
            base = "" if x.base is None else self.value(x.base, path)
            return f"array {x.dtype}{x.shape}{x.strides}{x.tolist()} of {base}"
        if np is not None and isinstance(x, np.generic):
            return repr(x)
        if np is not None and isinstance(x, (np.random.Generator, np.random.RandomState)):
            self.later.append(
                (path, lambda: x.integers(1 << 30) if hasattr(x, "integers") else x.randint(1 << 30))
            )
            return f"stream {type(x).__name__}"
        return None

    def process(self):
        """What belongs to the process and not to a variable."""
        import builtins
        import contextlib
        import decimal
        import logging
        import os
        import random
        import signal
        import string
        import sys
        import textwrap
        import warnings

        np = self.variables.get("np")
        logger = logging.getLogger("sf")
        with contextlib.suppress(AttributeError):
            self.lines.append(f"string.mine {self.value(string.mine, 'string.mine')}")
        self.lines += [
            f"sys.path {[p for p in sys.path if p.startswith('/nowhere')]}",
            f"environ {sorted((k, v) for k, v in os.environ.items() if k.startswith('SFX_'))}",
            f"cwd {os.path.basename(os.getcwd())}",
            f"decimal {decimal.Decimal(1) / 7}",
            f"logging {logger.level} {len(logger.handlers)}",
            f"signal {getattr(signal.getsignal(signal.SIGUSR2), '__name__', 'SIG_DFL')}",
            f"builtins {getattr(builtins, 'sf_mine', None)}",
            f"warnings {[f[4] for f in warnings.filters if f[4] > 1000]}",
            f"textwrap {textwrap.dedent(' x')}",
            f"recursion {sys.getrecursionlimit() if sys.getrecursionlimit() % 1000 == 77 else 'default'}",
            f"modules {sorted(m for m in ('colorsys', 'poplib', 'sf_mine') if m in sys.modules)}",
            f"numpy {np.array([1 / 3]) if np else ''}",
        ]
        if self.variables.get("seeded"):
            self.later.append(
                ("random", lambda: (random.random(), np.random.randint(1 << 30) if np else None))
            )


def _is_full(cell):
    try:
        cell.cell_contents
    except ValueError:
        return False
    return True


if __name__ == "probe":
    if "weakref" in variables:  # noqa: F821 - cell() gives it
        # Only weak references tell whether garbage was collected; and it takes ten milliseconds.
        import gc as _gc

        _gc.collect()
    _walk = _Walk(variables)  # noqa: F821
    _walk.all()
    print("\n".join(_walk.lines))
