"""The oracle: it describes all variables of a namespace, line by line, and knows nothing of stillframe.

Run as a cell, in the live state and in the restored one: where the lines are equal, the states are. Each object
has a number, so that aliases show. What can only be seen by changing it (the next values of generators, files and
random streams) is asked for last. Each line is one check.
"""

import hashlib
import sys
import types

HIDDEN = {"In", "Out", "exit", "quit", "get_ipython", "display", "open", "_dh", "_ih", "_oh", "namespace"}
SMALL = (bool, int, float, complex, str, bytes, type(None), type(...), type(NotImplemented), range)


def digest(data):
    return hashlib.blake2b(data, digest_size=8).hexdigest()


class Description:
    def __init__(self, namespace):
        self.namespace, self.lines, self.later = namespace, [], []
        self.numbers, self.waiting = {}, []

    def say(self, text):
        self.lines.append(text.encode("utf-8", "backslashreplace").decode())

    # What stands for a value in the description of another

    def name(self, x):
        if isinstance(x, SMALL) and type(x).__module__ == "builtins":
            return (
                f"{type(x).__name__} {x!r}"
                if len(repr(x)) < 200
                else f"{type(x).__name__} {digest(repr(x).encode())}"
            )
        if isinstance(x, types.ModuleType):
            return f"module {x.__name__} {sys.modules.get(x.__name__) is x}"
        if isinstance(x, (type, types.FunctionType, types.BuiltinFunctionType)) and not self.is_users(x):
            return f"{type(x).__name__} {x.__module__}.{x.__qualname__}"
        if id(x) not in self.numbers:
            self.numbers[id(x)] = (len(self.numbers), x)
            self.waiting.append(x)
        return f"#{self.numbers[id(x)][0]}"

    def names(self, values):
        return "[" + ", ".join(map(self.name, values)) + "]"

    def pairs(self, mapping):
        return "{" + ", ".join(f"{self.name(k)}: {self.name(v)}" for k, v in mapping.items()) + "}"

    def is_users(self, x):
        module = getattr(x, "__module__", None)
        return (
            module in ("__main__", "helper", None) if not isinstance(x, types.BuiltinFunctionType) else False
        )

    # All

    def all(self):
        for name, value in list(self.namespace.items()):
            if name not in HIDDEN and not name.startswith("__"):
                self.say(f"{name} = {self.name(value)}")
        self.say(f"order {[name for name in self.namespace if not name.startswith('_')]}")
        helper = sys.modules.get("helper")
        if helper is not None:
            self.say(
                f"helper {self.pairs({k: v for k, v in vars(helper).items() if not k.startswith('__')})}"
            )
        self.process()
        while self.waiting:
            x = self.waiting.pop(0)
            number = self.numbers[id(x)][0]
            try:
                self.say(f"#{number}: {type(x).__module__}.{type(x).__qualname__} {self.body(x)}")
            except Exception as problem:
                self.say(f"#{number}: cannot be described: {type(problem).__name__}: {problem}")
        for number, ask in self.later:
            try:
                self.say(f"#{number} -> {ask()}")
            except BaseException as problem:
                self.say(f"#{number} -> {type(problem).__name__}: {problem}")

    def ask(self, x, question):
        self.later.append((self.numbers[id(x)][0], question))

    def body(self, x):
        for describe in (
            self.of_numpy,
            self.of_libraries,
            self.of_code,
            self.of_machines,
            self.of_containers,
        ):
            text = describe(x)
            if text is not None:
                return text
        return self.instance(x)

    def instance(self, x):
        if type(x).__name__ == "DummyArray":  # its other attribute is an address
            return self.name(x.base)
        parts = [self.pairs(vars(x))] if hasattr(x, "__dict__") else []
        for base in type(x).__mro__:
            slots = base.__dict__.get("__slots__", ())
            for slot in (slots,) if isinstance(slots, str) else slots:
                if slot not in ("__weakref__", "__dict__") and hasattr(x, slot):
                    parts.append(f"{slot}={self.name(getattr(x, slot))}")
        if not parts and type(x).__module__ not in ("__main__", "helper"):
            state = x.__reduce_ex__(4)
            parts.append(state if isinstance(state, str) else self.names(state[1:3]))
        return f"of {self.name(type(x))} " + " ".join(parts)

    def of_containers(self, x):
        import collections
        import weakref

        if isinstance(x, collections.defaultdict):
            return f"{self.name(x.default_factory)} {self.pairs(x)}"
        if isinstance(x, (dict, types.MappingProxyType)):
            return self.pairs(x)
        if isinstance(x, (weakref.WeakKeyDictionary, weakref.WeakValueDictionary)):
            return " ".join(sorted(f"{self.name(k)}:{self.name(v)}" for k, v in x.items()))
        if isinstance(x, (set, frozenset, weakref.WeakSet)):
            return " ".join(sorted(map(self.name, sorted(x, key=repr))))
        if isinstance(x, (list, tuple, collections.deque)):
            more = vars(x) if hasattr(x, "__dict__") else {}
            return f"{getattr(x, 'maxlen', '')} {self.names(x)} {self.pairs(more)}"
        if isinstance(x, collections.ChainMap):
            return self.names(x.maps)
        if isinstance(x, (bytearray, memoryview)):
            base = self.name(x.obj) if isinstance(x, memoryview) else ""
            return f"{len(x)} {digest(bytes(x))} {base}"
        if isinstance(x, (slice, int, float, str, bytes)):
            return repr(x)
        return None

    def of_code(self, x):
        import functools
        import inspect

        if isinstance(x, types.CodeType):
            return f"{x.co_qualname} {x.co_filename} {digest(x.co_code)} {x.co_names} {x.co_flags}"
        if isinstance(x, types.FunctionType):
            cells = [cell.cell_contents if is_full(cell) else ... for cell in x.__closure__ or ()]
            globals_ = (
                x.__globals__ is self.namespace
                or getattr(sys.modules.get(x.__module__), "__dict__", 0) is x.__globals__
            )
            return (
                f"{x.__qualname__} {self.name(x.__code__)} {x.__globals__ is self.namespace} {globals_} "
                f"{self.names([*cells, x.__defaults__, x.__kwdefaults__, x.__annotations__, x.__doc__])} {self.pairs(vars(x))} "
                f"{digest(quiet(inspect.getsource, x).encode())} {[id(c) in self.numbers for c in x.__closure__ or ()]}"
            )
        if isinstance(x, types.CellType):
            return self.name(x.cell_contents) if is_full(x) else "empty"
        if type(x).__module__ == "typing":
            return repr(x)
        if isinstance(x, types.MethodType):
            return f"{self.name(x.__func__)} of {self.name(x.__self__)}"
        if isinstance(x, types.BuiltinFunctionType):
            return f"{x.__name__} of {self.name(x.__self__)}"
        if isinstance(x, functools.partial):
            return f"{self.name(x.func)} {self.names(x.args)} {self.pairs(x.keywords)}"
        if isinstance(x, functools._lru_cache_wrapper):
            return f"{x.cache_info()} of {self.name(x.__wrapped__)}"
        if isinstance(x, (staticmethod, classmethod)):
            return self.name(x.__func__)
        if isinstance(x, property):
            return self.names((x.fget, x.fset, x.fdel))
        if isinstance(x, type):
            own = {
                k: v
                for k, v in x.__dict__.items()
                if k not in ("__dict__", "__weakref__", "_abc_impl", "__slotnames__")
            }
            return (
                f"{x.__module__} {x.__qualname__} {self.names(x.__bases__)} {self.name(type(x))} {self.pairs(own)} "
                f"{digest(quiet(inspect.getsource, x).encode())}"
            )
        if isinstance(
            x, (types.MemberDescriptorType, types.GetSetDescriptorType, types.WrapperDescriptorType)
        ):
            return f"{x.__name__} of {self.name(x.__objclass__)}"
        return None

    def of_machines(self, x):
        import contextvars
        import io
        import threading
        import weakref

        if isinstance(x, (types.GeneratorType, types.CoroutineType)):
            is_generator = isinstance(x, types.GeneratorType)
            frame = x.gi_frame if is_generator else x.cr_frame
            self.ask(x, lambda: [str(next(x) if is_generator else x.send(3)) for _ in range(3)])
            if frame is None:
                return f"{x.__qualname__} ended"
            return f"{x.__qualname__} at {frame.f_lineno} {frame.f_lasti} {self.pairs(frame.f_locals)} {frame.f_globals is self.namespace}"
        if isinstance(x, weakref.ref):
            return self.name(x())
        if isinstance(x, BaseException):
            rows, entry = [], x.__traceback__
            while entry is not None:
                rows.append(
                    (entry.tb_frame.f_code.co_name, entry.tb_frame.f_code.co_filename, entry.tb_lineno)
                )
                entry = entry.tb_next
            return f"{self.names((x.args, x.__cause__, x.__context__))} {rows} {self.pairs(vars(x))}"
        if isinstance(x, type(threading.RLock())):
            return str(x._is_owned())
        if isinstance(x, type(threading.Lock())):
            return str(x.locked())
        if isinstance(x, contextvars.ContextVar):
            return f"{x.name} {self.name(x.get(None))}"
        if isinstance(x, contextvars.Token):
            return f"{self.name(x.var)} {self.name(None if x.old_value is x.MISSING else x.old_value)}"
        if isinstance(x, threading.local):
            return self.pairs(vars(x))
        if isinstance(x, io.StringIO):
            return f"{x.tell()} {digest(x.getvalue().encode())}"
        if isinstance(x, io.IOBase):
            name = str(getattr(x, "name", ""))
            if name.startswith("<") or type(x).__module__.startswith("stillframe"):
                return f"standard {name} {x is sys.stdout}"
            if not x.closed and x.readable():
                self.ask(x, lambda: (x.tell(), x.read(30), x.tell()))
            return f"{name} {x.closed} {getattr(x, 'mode', '')}"
        if type(x).__module__ == "itertools" or (hasattr(x, "__next__") and type(x).__module__ == "builtins"):
            self.ask(x, lambda: [self.quick(value) for value, _ in zip(x, range(3), strict=False)])
            return ""
        return None

    def quick(self, value):
        return (
            value
            if isinstance(value, SMALL)
            else f"{type(value).__name__} {self.numbers.get(id(value), ('new',))[0]}"
        )

    def of_numpy(self, x):
        np = sys.modules.get("numpy")
        if np is None:
            return None
        if isinstance(x, np.ma.MaskedArray):
            return f"{self.names((x.data, x.mask, x.fill_value))}"
        if isinstance(x, np.ndarray):
            where = ""
            if isinstance(x.base, np.ndarray):
                where = x.__array_interface__["data"][0] - x.base.__array_interface__["data"][0]
            flags = (x.flags.writeable, x.flags.owndata, x.flags.c_contiguous, x.flags.f_contiguous)
            held = (
                self.names(x.ravel().tolist())
                if x.dtype.hasobject and x.size < 500
                else ""
                if x.dtype.hasobject
                else digest(x.tobytes())
            )
            return f"{x.dtype} {x.shape} {x.strides} {flags} {held} at {where} of {self.name(x.base)}"
        if isinstance(x, np.generic):
            return f"{x.dtype} {x!r}"
        if isinstance(x, np.dtype):
            return str(x.descr if x.names else x)
        if isinstance(x, (np.random.Generator, np.random.RandomState)):
            self.ask(x, lambda: x.normal(size=3).tolist())
            return str(type(x))
        return None

    def of_libraries(self, x):
        kind = type(x).__module__.partition(".")[0]
        pd, plt = sys.modules.get("pandas"), sys.modules.get("matplotlib.pyplot")
        if kind == "random":
            self.ask(x, lambda: [x.random() for _ in range(3)])
            return ""
        if kind in ("decimal", "datetime", "pathlib", "re", "enum") and type(x).__qualname__ != "Match":
            return f"{x!r}" if kind != "re" or not hasattr(x, "pattern") else f"{x.pattern!r} {x.flags}"
        if kind == "re":
            return f"{x.regs} {self.names((x.re, x.string))}"
        if kind == "logging":
            return (
                f"{getattr(x, 'name', '')} {getattr(x, 'level', '')} {self.names(getattr(x, 'handlers', ()))}"
            )
        if kind == "IPython" or kind == "stillframe":
            return str(x is sys.modules["builtins"].get_ipython() or x is sys.stdout)
        if pd is not None and kind == "pandas":
            return self.of_pandas(pd, x)
        if plt is not None and isinstance(x, plt.Figure):
            import io

            picture = io.BytesIO()
            x.savefig(picture, format="rgba")
            manager = plt._pylab_helpers.Gcf.figs.get(getattr(x, "number", None))
            return f"{getattr(x, 'number', '')} {digest(picture.getvalue())} {manager is not None and manager.canvas.figure is x} {self.names(x.axes)}"
        if kind == "matplotlib":
            more = self.name(x.figure) if hasattr(x, "figure") else ""
            return f"{type(x).__name__} {more} {self.name(getattr(x, 'axes', None))}"
        if kind == "PIL":
            return f"{x.size} {x.mode} {digest(x.tobytes())}"
        if kind == "sklearn" and not hasattr(x, "__dict__"):
            return self.names(x.__reduce__()[1:])
        return None

    def of_pandas(self, pd, x):
        if isinstance(x, (pd.DataFrame, pd.Series)):
            blocks = [
                (block.values, str(block.mgr_locs.as_array.tolist()), block.refs.has_reference())
                for block in x._mgr.blocks
            ]
            parts = ", ".join(
                f"{self.name(v)} {places if len(places) < 99 else digest(places.encode())} {shared}"
                for v, places, shared in blocks
            )
            name = self.name(x.name) if isinstance(x, pd.Series) else ""
            return f"{x.shape} {name} {parts} axes {self.names(x.axes)} {self.pairs(x.attrs)}"
        if isinstance(x, pd.MultiIndex):
            return f"{self.names(x.levels)} {self.names(x.codes)} {list(x.names)}"
        if isinstance(x, pd.Index):
            return f"{x.dtype} {list(x.names)} {len(x)} {self.name(x._data if hasattr(x, '_data') else None)} {digest(repr(x.tolist()).encode())} {getattr(x, 'freq', '')}"
        if isinstance(x, pd.api.extensions.ExtensionArray):
            held = [getattr(x, name, None) for name in ("_ndarray", "_data", "_mask", "_codes")]
            return f"{x.dtype} {len(x)} {digest(repr(x.tolist()).encode())} {self.names([h for h in held if isinstance(h, sys.modules['numpy'].ndarray)])}"
        if (
            isinstance(x, (pd.Timestamp, pd.Timedelta, pd.Interval, pd.Period))
            or "dtype" in type(x).__name__.lower()
            or "offsets" in type(x).__module__
        ):
            return repr(x)
        return None

    def process(self):
        import decimal
        import gc
        import inspect
        import logging
        import os
        import pickle
        import random
        import signal
        import warnings

        shell = get_ipython()  # noqa: F821
        umask = os.umask(0)
        os.umask(umask)
        self.say(f"cwd {os.path.basename(os.getcwd())} umask {umask} gc {gc.isenabled(), gc.get_threshold()}")
        self.say(f"path {[path for path in sys.path if 'nowhere' in path]} {sys.getrecursionlimit()}")
        self.say(f"environ {os.environ.get('STORE_TEST')} {'STILLFRAME_KERNEL' in os.environ}")
        self.say(f"decimal {decimal.Decimal(1) / 7} {decimal.getcontext().prec}")
        self.say(f"warnings {[str(f) for f in warnings.filters]}")
        self.say(
            f"logging {logging.getLogger('notebook').level} {[type(h).__name__ for h in logging.root.handlers]} {logging.root.level}"
        )
        self.say(
            f"signal {[(n, getattr(signal.getsignal(n), '__name__', '')) for n in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGTERM)]}"
        )
        self.say(
            f"history {self.namespace['In']} {shell.execution_count} {shell.history_manager.input_hist_parsed is self.namespace['In']}"
        )
        self.say(f"hidden {[n for n, v in shell.user_ns_hidden.items() if self.namespace.get(n) is not v]}")
        self.say(
            f"shell {shell.user_ns is self.namespace} {vars(sys.modules['__main__']) is self.namespace} {shell.compile.flags}"
        )
        self.say(f"results {self.names((shell.displayhook._, shell.last_execution_result))}")
        self.say(
            f"events {[(e, [getattr(c, '__name__', '') for c in cs]) for e, cs in shell.events.callbacks.items()]}"
        )
        self.say(f"magics {sorted(n for n in shell.magics_manager.magics['line'])}")
        self.say(
            f"printers {[(m, sorted(map(str, f.type_printers)), sorted(map(str, f.deferred_printers))) for m, f in shell.formatter.formatters.items()]}"
        )
        for name, value in list(self.namespace.items()):
            if isinstance(value, type) and value.__module__ == "__main__":
                self.say(f"source {name} {digest(quiet(inspect.getsource, value).encode())}")
                self.say(f"class {name} by pickle {pickle.loads(pickle.dumps(value)) is value}")
        if "pandas" in sys.modules:
            pd = sys.modules["pandas"]
            self.say(
                f"options {[pd.get_option('display.' + n) for n in ('max_rows', 'max_columns', 'max_colwidth')]}"
            )
        plt = sys.modules.get("matplotlib.pyplot")
        if plt is not None:
            self.say(
                f"figures {plt.get_fignums()} {plt.gcf().number if plt.get_fignums() else ''} {plt.rcParams['lines.linewidth']}"
            )
            self.say(f"open {self.names([plt.figure(n) for n in plt.get_fignums()])}")
        if "numpy.random" in sys.modules:
            np = sys.modules["numpy"]
            self.say(f"numpy {np.random.rand()} {np.geterr()} {np.array([1 / 3])}")
        self.say(f"random {random.random()}")


def is_full(cell):
    try:
        cell.cell_contents
    except ValueError:
        return False
    return True


def quiet(function, *arguments):
    try:
        return function(*arguments)
    except Exception as problem:
        return f"{type(problem).__name__}: {problem}"


if __name__ == "oracle":
    found = Description(namespace)  # noqa: F821
    found.all()
    print("\n".join(found.lines))
