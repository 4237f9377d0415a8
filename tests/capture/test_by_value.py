"""What the user has made comes back as it was: functions, classes, instances, exceptions, iterators."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from capture.differential import same

CASES = {
    "closures share their cells": (
        """
        def counter():
            n = 0
            def up():
                nonlocal n
                n += 1
                return n
            def now():
                return n
            return up, now
        up, now = counter()
        up()
        """,
        "up(); print(now(), up.__closure__[0] is now.__closure__[0], up.__qualname__)",
    ),
    "a cell that is still empty": (
        """
        def make():
            def f():
                return late
            if 0:
                late = 1
            return f
        f = make()
        """,
        """
        try:
            f()
        except NameError as error:
            print(error)
        f.__closure__[0].cell_contents = 5
        print(f())
        """,
    ),
    "functions keep all their attributes": (
        """
        def f(a, /, b: int = 1, *c, d: "str" = "x", **e) -> list:
            "The doc."
            return a, b, c, d, e
        f.extra = [f]
        f.__name__ = "g"
        anonymous = lambda x=[]: x
        anonymous().append(1)
        """,
        """
        import inspect
        print(f(0), inspect.signature(f), f.__doc__, f.__name__, f.__qualname__, f.__module__, f.extra[0] is f)
        print(anonymous(), f.__kwdefaults__, f.__annotations__, f.__code__.co_firstlineno)
        """,
    ),
    "a function's globals are the module's": (
        "x = 1\ndef f():\n    return x\ng = globals()\n",
        "import sys; x = 7; print(f(), g is globals(), f.__globals__ is vars(sys.modules['__main__']), g['x'])",
    ),
    "decorated functions": (
        """
        import functools
        def shout(f):
            @functools.wraps(f)
            def g(*a):
                return str(f(*a)).upper() + "!"
            return g
        @shout
        def hello(name):
            return "hello " + name
        @functools.lru_cache(maxsize=None)
        def fib(n):
            return n if n < 2 else fib(n - 1) + fib(n - 2)
        fib(30)
        @functools.singledispatch
        def kind(x):
            return "any"
        @kind.register
        def _(x: int):
            return "int"
        part = functools.partial(hello, "you")
        part.tag = part
        """,
        """
        print(hello("x"), hello.__wrapped__("y"), fib(31), fib.cache_parameters(), fib.cache_info().currsize)
        print(kind(1), kind(""), part(), part.tag is part, kind.registry[int](3))
        """,
    ),
    "methods of all kinds": (
        """
        class A:
            def __init__(self):
                self.log = []
            def plain(self):
                return self.log
            @classmethod
            def make(cls):
                return cls
            @staticmethod
            def free(x):
                return x
            @property
            def twice(self):
                "Doc of twice."
                return len(self.log) * 2
            @twice.setter
            def twice(self, n):
                self.log[:] = [0] * (n // 2)
        a = A()
        bound, made, free, append, wrapper = a.plain, a.make, a.free, a.log.append, a.__repr__
        slot, of_list, len_of = A.__init__, list.append, [1, 2].__len__
        """,
        """
        append(1); a.twice = 6; append(9)
        print(bound() is a.log, made() is A, free(3), a.twice, A.twice.__doc__, append.__self__ is a.log)
        print(slot is A.__init__, of_list is list.append, len_of(), bound.__self__ is a, wrapper.__self__ is a)
        """,
    ),
    "no code of a metaclass runs": (
        """
        ran = []
        class Meta(type):
            registry = {}
            def __new__(m, name, bases, ns, **kw):
                ran.append("new"); return super().__new__(m, name, bases, ns)
            def __init__(cls, name, bases, ns, **kw):
                ran.append("init"); Meta.registry[name] = cls; super().__init__(name, bases, ns)
            def __call__(cls, *a):
                ran.append("call"); return super().__call__(*a)
            def __setattr__(cls, name, value):
                ran.append("set"); super().__setattr__(name, value)
            @classmethod
            def __prepare__(m, name, bases, **kw):
                ran.append("prepare"); return {}
        class Watched:
            def __init_subclass__(cls, **kw):
                ran.append("subclass"); cls.tagged = True
        class Named:
            def __set_name__(self, owner, name):
                ran.append(name); self.name = name
        class A(Watched, metaclass=Meta, option=1):
            field = Named()
            def who(self):
                return __class__
        a = A()
        """,
        "print(ran, type(A) is Meta, Meta.registry['A'] is A, a.who() is A, A.field.name, A.tagged, [n for n in vars(A) if n != '__slotnames__'])",
    ),
    "slots": (
        """
        class A:
            __slots__ = ("x", "__hidden", "__weakref__")
            def __init__(self):
                self.x, self.__hidden = 1, [self]
            def hidden(self):
                return self.__hidden
        class B(A):
            __slots__ = {"y": "the doc of y"}
        class C(B):
            pass
        a, b, c = A(), B(), C()
        b.y = c; c.free = a
        """,
        """
        print(a.hidden()[0] is a, b.y is c, c.free is a, hasattr(a, "__dict__"), B.__slots__, A.__slots__, list(vars(A))[:4])
        print(A.__basicsize__, B.__basicsize__, C.__basicsize__, A.x.__get__(a), hasattr(c, "y"))
        """,
    ),
    "frozen instances and those with a __new__ or a __setattr__": (
        """
        import dataclasses
        made = []
        @dataclasses.dataclass(frozen=True, slots=True)
        class Frozen:
            a: int
            b: list = dataclasses.field(default_factory=list, compare=False)
        class Single:
            one = None
            def __new__(cls, needed):
                made.append(cls)
                if cls.one is None:
                    cls.one = super().__new__(cls)
                return cls.one
            def __setattr__(self, name, value):
                made.append(name)
                super().__setattr__(name, value)
        f, s = Frozen(1), Single(0)
        f.b.append(f); s.x = 1
        class Point(tuple):
            def __new__(cls, x, y):
                return super().__new__(cls, (x, y))
        p = Point(1, 2); p.tag = p
        class Name(str):
            def __new__(cls, text, extra):
                made = super().__new__(cls, text); made.extra = extra; return made
        n = Name("abc", 5)
        """,
        "print(f == Frozen(1), f.b[0] is f, made, Single.one is s, s.x, p, p.tag is p, n, n.extra, type(n) is Name)",
    ),
    "containers of the user's": (
        """
        import collections
        calls = []
        class L(list):
            def append(self, x): calls.append(x); super().append(x)
            def extend(self, x): calls.append(x); super().extend(x)
        class D(dict):
            def __init__(self, owner): self.owner = owner
            def __setitem__(self, k, v): calls.append((k, self.owner)); super().__setitem__(k, v)
        class DD(collections.defaultdict):
            def __init__(self): super().__init__(list)
        class O(collections.OrderedDict): pass
        class Q(collections.deque):
            def __init__(self, tag, *a): super().__init__(*a); self.tag = tag
        class S(set):
            def __init__(self, tag): self.tag = tag
        l = L(); l.append(1); l.append(l)
        d = D("me"); d["k"] = d; calls.clear()
        dd = DD(); dd["x"].append(dd); dd.more = 1
        o = O(b=1, a=2); o.move_to_end("b"); o.more = 2
        q = Q("tag", [1, 2, 3], 3); s = S("st"); s.add(1)
        c = collections.Counter("hello"); cm = collections.ChainMap({"a": 1}, {"b": 2})
        """,
        """
        print(calls, len(l), l[1] is l, d["k"] is d, d.owner, dd["x"][0] is dd, dd["new"], dd.more, list(o), o.more)
        q.append(4); print(q, q.tag, q.maxlen, s, s.tag, c.most_common(1), cm["b"], type(q) is Q)
        """,
    ),
    "enumerations": (
        """
        import enum
        class Color(enum.Enum):
            RED = 1; GREEN = 2; ROUGE = 1
            def nice(self): return self.name.title()
        class Number(enum.IntEnum):
            ONE = 1; TWO = 2
        class Text(enum.StrEnum):
            A = enum.auto()
        class Right(enum.Flag):
            R = 1; W = 2; RW = 3
        class Planet(enum.Enum):
            EARTH = (1.0, 2.0)
            def __init__(self, mass, radius): self.mass = mass; self.radius = radius
        class Bits(enum.IntFlag, boundary=enum.KEEP):
            A = 1; B = 2
        held = [Color.RED, Number.TWO, Text.A, Right.R | Right.W, Planet.EARTH, Bits.A | 8]
        """,
        """
        print(held[0] is Color.RED is Color(1) is Color["ROUGE"], Color.RED.nice(), list(Color), Color.__members__)
        print(Number.TWO + 1, Number(2) is held[1], Text.A == "a", Text("a") is held[2], held[3] is Right.RW)
        print(Planet.EARTH.radius, Planet((1.0, 2.0)) is held[4], held[5], Right.RW & ~Right.R, type(held[5]) is Bits)
        try:
            Color.RED = 5
        except AttributeError as error:
            print("locked")
        """,
    ),
    "abstract base classes": (
        """
        import abc, collections.abc, numbers
        class Shape(abc.ABC):
            @abc.abstractmethod
            def area(self): ...
            @classmethod
            def __subclasshook__(cls, other):
                return NotImplemented
        class Square(Shape):
            def area(self): return 4
        @Shape.register
        class Odd: pass
        @collections.abc.Sequence.register
        class Row: pass
        numbers.Number.register(Odd)
        class MySeq(collections.abc.Sequence):
            def __len__(self): return 2
            def __getitem__(self, i): return range(2)[i]
        """,
        """
        print(issubclass(Odd, Shape), issubclass(Row, collections.abc.Sequence), isinstance(Odd(), numbers.Number))
        print(Square().area(), Shape.__abstractmethods__, isinstance(Row(), Shape), list(MySeq()))
        match MySeq():
            case [a, b]:
                print("a sequence", a, b)
        match Row():
            case [*_]:
                print("by registration")
        try:
            Shape()
        except TypeError as error:
            print("abstract")
        """,
    ),
    "dataclasses and named tuples": (
        """
        import collections, dataclasses, typing
        @dataclasses.dataclass(order=True)
        class D:
            a: int
            b: list = dataclasses.field(default_factory=list, repr=False, metadata={"k": 1})
            _: dataclasses.KW_ONLY
            c: typing.ClassVar[int] = 3
            d: dataclasses.InitVar[int] = 4
            def __post_init__(self, d): self.seen = d
        class E(D): pass
        N = collections.namedtuple("N", "x y", defaults=[0])
        class T(typing.NamedTuple):
            "doc"
            x: int
            y: str = "why"
            def both(self): return self.x, self.y
        d, e, n, t = D(1), E(2), N(1), T(5)
        """,
        """
        print(d, d < D(2), dataclasses.fields(D)[1].metadata, dataclasses.replace(d, a=9, d=1), e, D(1, d=7).seen)
        print([f.name for f in dataclasses.fields(e)], dataclasses.fields(D)[0].default is dataclasses.MISSING)
        print(n, n._replace(x=3), N._fields, t.both(), T.__doc__, T._field_defaults, t == (5, "why"), T.x.__doc__)
        """,
    ),
    "typing": (
        """
        import typing
        from typing import Generic, Protocol, TypedDict, TypeVar, NewType, ParamSpec, Callable, Optional
        T = TypeVar("T", bound=int); P = ParamSpec("P"); UserId = NewType("UserId", int)
        class Box(Generic[T]):
            def __init__(self, x: T): self.x = x
        class IntBox(Box[int]): pass
        @typing.runtime_checkable
        class Sized(Protocol):
            def size(self) -> int: ...
        class Has:
            def size(self): return 1
        class TD(TypedDict, total=False):
            a: int
        aliases = [Box[int], Optional[T], Callable[P, T], list[T], int | str, dict[str, "Box"]]
        """,
        """
        print(Box[T].__parameters__[0] is T, Box.__orig_bases__, IntBox(3).x, isinstance(Has(), Sized), TD(a=1))
        print(aliases[:1], aliases[3][int], aliases[4] == int | str, UserId(5), UserId.__supertype__, TD.__total__)
        print(typing.get_type_hints(Box.__init__)["x"] is T, T.__bound__, IntBox.__mro__[1] is Box)
        """,
    ),
    "local classes and recursive ones": (
        """
        def make():
            class Node:
                registry = []
                def __init__(self, parent=None):
                    self.parent = parent
                    type(self).registry.append(self)
                def base(self):
                    return super().__init__.__qualname__, __class__
            class Leaf(Node):
                pass
            Node.root = Node()
            return Node, Leaf
        Node, Leaf = make()
        leaf = Leaf(Node.root)
        """,
        """
        print(leaf.parent is Node.root, leaf in Node.registry, leaf.base()[1] is Node, Leaf.__mro__[1] is Node)
        print(Node.__qualname__, Node.__subclasses__() == [Leaf], isinstance(leaf, Node))
        """,
    ),
    "classes that lie and proxies": (
        """
        class Proxy:
            def __init__(self, target): object.__setattr__(self, "target", target)
            def __getattribute__(self, name):
                return getattr(object.__getattribute__(self, "target"), name)
            @property
            def __class__(self): return int
        class Loud:
            def __getattr__(self, name): raise RuntimeError(name)
        p, l = Proxy([1, 2]), Loud()
        l.x = 3
        class Own:
            def __init__(self, x): self.x = x
            def __reduce__(self): return Own, (self.x * 2,)
        class State:
            def __getstate__(self): return {"kept": self.kept}
            def __setstate__(self, state): self.__dict__.update(state, restored=type(self).note)
            note = "from the class"
        own, state = Own(1), State()
        state.kept, state.lost = 1, 2
        """,
        "print(p.append(3), p.__len__(), type(p) is Proxy, isinstance(p, int), l.x, own.x in (1, 2), state.kept)",
    ),
    "exceptions with all that hangs on them": (
        """
        class Custom(Exception):
            def __init__(self, a, b):
                super().__init__(f"{a}-{b}")
                self.a = a
        def low():
            1 / 0
        def high():
            try:
                low()
            except ZeroDivisionError as error:
                error.add_note("a note")
                raise Custom(1, b=2) from error
        try:
            high()
        except Custom as error:
            kept = error
        try:
            try:
                open("/no/such")
            except OSError:
                {}["key"]
        except KeyError as error:
            chained = error
        try:
            raise ExceptionGroup("group", [ValueError(1), ExceptionGroup("inner", [kept])])
        except ExceptionGroup as error:
            group = error
        try:
            b"\\xff".decode()
        except UnicodeDecodeError as error:
            unicode = error
        others = [StopIteration(5), SystemExit(3), ImportError("m", name="n", path="p"), OSError(2, "x", "f", None, "g")]
        others += [SyntaxError("bad", ("f", 1, 2, "text", 1, 3)), AttributeError("a", name="n", obj=others)]
        loop = ValueError(); loop.__context__ = KeyError(); loop.__context__.__context__ = loop
        """,
        """
        import traceback
        def show(error):
            rows = [(r.lineno, r.name, r.line) for r in traceback.extract_tb(error.__traceback__)]
            return type(error).__name__, str(error), rows, error.__suppress_context__
        print(show(kept), show(kept.__cause__), kept.__cause__.__notes__, kept.a, kept.__context__ is kept.__cause__)
        print(show(chained), show(chained.__context__), chained.__context__.errno, chained.__context__.filename)
        print(show(group), group.exceptions[1].exceptions[0] is kept, group.subgroup(ValueError))
        print(unicode, unicode.start, unicode.object, others[0].value, others[1].code, others[2].name, others[3].filename2)
        print(others[4].text, others[4].end_offset, others[5].obj is others, loop.__context__.__context__ is loop)
        print(kept.__traceback__.tb_frame.f_code is high.__code__ or kept.__traceback__.tb_frame.f_code.co_name)
        """,
    ),
    "frames that a variable holds": (
        """
        import sys
        def look(a, *rest):
            b = [a]
            return sys._getframe()
        frame = look(5, 6)
        """,
        "print(frame.f_code.co_name, frame.f_locals, frame.f_globals is globals())",
    ),
    "iterators go on where they were": (
        """
        import itertools, collections, re
        d = dict(a=1, b=2, c=3, d=4)
        def on(it, n=1):
            for _ in range(n): next(it)
            return it
        od = collections.OrderedDict(d)
        row = [on(iter([1, 2, 3])), on(iter((1, 2, 3))), on(iter("abc")), on(iter(b"abc")), on(iter(range(5)))]
        row += [on(iter(d)), on(iter(d.values())), on(iter(d.items()), 2), on(reversed(d)), on(reversed([1, 2, 3]))]
        row += [on(iter(od.items())), on(iter(od)), on(reversed(od)), on(iter(collections.deque([1, 2, 3])))]
        row += [on(enumerate("abc", 5)), on(zip("abc", "def")), on(map(len, ["a", "bb"])), on(filter(None, [1, 0, 2]))]
        row += [on(iter([5, 6, 7, 0].pop, 5)), iter([]), on(iter(range(10**30, 10**30 + 3)))]
        row += [on(itertools.count(5, 2)), on(itertools.cycle("ab"), 3), on(itertools.repeat(7, 3))]
        row += [on(itertools.chain([1], [2, 3])), on(itertools.chain.from_iterable([[1, 2], [3]]))]
        row += [on(itertools.accumulate([1, 2, 3])), on(itertools.compress("abc", [1, 1, 1]))]
        row += [on(itertools.dropwhile(lambda x: x < 2, [1, 2, 3])), on(itertools.takewhile(lambda x: x < 3, [1, 2, 3]))]
        row += [on(itertools.filterfalse(lambda x: x == 2, [1, 2, 3])), on(itertools.islice("abcdef", 1, 5))]
        row += [on(itertools.starmap(pow, [(2, 3), (3, 2)])), on(itertools.zip_longest("ab", "c", fillvalue=0))]
        row += [on(itertools.product("ab", repeat=2)), on(itertools.permutations("abc", 2))]
        row += [on(itertools.combinations("abc", 2)), on(itertools.combinations_with_replacement("ab", 2))]
        row += [on(itertools.pairwise("abcd")), itertools.pairwise("abc")]
        if hasattr(itertools, "batched"):
            row += [on(itertools.batched("abcdefg", 3)), itertools.batched(iter("ab"), 2)]
        """,
        "for it in row: print(type(it).__name__, list(itertools.islice(it, 6)), list(itertools.islice(it, 2)))",
    ),
    "iterators share what they iterate over": (
        """
        import itertools, collections
        base = iter([1, 2, 3, 4, 5, 6])
        pairs = zip(base, base); next(pairs)
        left, right = itertools.tee("abcd"); next(left)
        groups = itertools.groupby("aabbb"); key, group = next(groups); next(group)
        items = [1, 2]; over = iter(items); next(over)
        d = {"a": 1, "b": 2}; di = iter(d.items()); next(di); view = d.keys()
        changed = {"a": 1, "b": 2}; broken = iter(changed); next(broken); changed["c"] = 3
        queue = collections.deque([1, 2, 3]); qi = iter(queue); next(qi)
        spent = iter([1]); list(spent)
        """,
        """
        print(next(base), list(pairs), list(left), list(right), list(group), [(k, list(g)) for k, g in groups])
        items.append(9); print(list(over)); d["b"] = 7; print(list(di)); d["z"] = 0; print("z" in view, len(view))
        try:
            next(broken)
        except RuntimeError as error:
            print(error)
        queue.append(4)
        try:
            next(qi)
        except RuntimeError as error:
            print(error)
        print(list(spent))
        """,
    ),
    "views, slices, proxies, memory views": (
        """
        import types, re
        class A: x = 1
        proxy, of_dict = A.__dict__, types.MappingProxyType(d := {"a": 1})
        space = types.SimpleNamespace(a=1); space.me = space
        data = bytearray(range(16)); mv = memoryview(data)[2:12:2]; back = memoryview(data)[::-1]
        cast = memoryview(data).cast("I"); ro = memoryview(data).toreadonly()
        m = re.search(r"(?P<x>b+)(c)?", "aabbd"); pattern = re.compile("x", re.I)
        odd = [slice(1, None, 2), ..., NotImplemented, 1j, range(3, 9, 2), frozenset([1]), type(None), type(...)]
        kinds = [type(iter([])), type(d.keys()), type(A.__dict__), type(lambda: 0), type(len), type((lambda: 0).__code__)]
        """,
        """
        print(proxy == A.__dict__, list(of_dict), space.a, space.me is space, m.span(), m["x"], m.group(2), pattern)
        d["b"] = 2; A.y = 2; print(list(of_dict), "y" in proxy)
        data[2] = 99; print(mv.tolist(), back.tolist()[-3:], cast.tolist()[:1], ro[2], ro.readonly, mv.obj is data)
        print(odd, kinds)
        """,
    ),
    "sentinels and singletons": (
        """
        import dataclasses, inspect, functools, random, logging, os, sys, string, decimal, unittest.mock
        mine = object()
        held = [dataclasses.MISSING, dataclasses.KW_ONLY, inspect.Parameter.empty, random._inst, logging.root, os.environ]
        held += [mine, sys.modules, sys.path, __builtins__, unittest.mock.sentinel.a, decimal.DefaultContext, sys.flags]
        held += [random.random, functools._initial_missing, logging.getLogger("x.y"), sys.stdout, sys.version_info]
        """,
        """
        import dataclasses, inspect, random, logging, os, sys, decimal, unittest.mock, functools
        real = [dataclasses.MISSING, dataclasses.KW_ONLY, inspect.Parameter.empty, random._inst, logging.root, os.environ]
        real += [mine, sys.modules, sys.path, __builtins__, unittest.mock.sentinel.a, decimal.DefaultContext, sys.flags]
        real += [random.random, functools._initial_missing, logging.getLogger("x.y"), sys.stdout, sys.version_info]
        print([a is b or a == b and callable(a) for a, b in zip(held, real)])
        """,
    ),
    "what runs in a namespace of its own": (
        """
        space = {"y": 2}
        exec("def f():\\n    return y, __name__\\nclass C:\\n    z = 3", space)
        import types, sys
        made = types.ModuleType("made", "doc"); made.x = [made]
        exec("def g():\\n    return x", vars(made))
        sys.modules["invented"] = invented = types.ModuleType("invented"); invented.value = 5
        exec("def h():\\n    return value", vars(invented))
        """,
        """
        space["y"] = 8; print(space["f"]()[0], space["f"].__globals__ is space, space["C"].z)
        print(made.x[0] is made, made.g() is made.x, made.__doc__, made.g.__globals__ is vars(made))
        import invented as again; invented.value = 6; print(again is invented, again.h())
        """,
    ),
    "memory that is shared stays shared": (
        "a = []; b = {'a': a, 'b': a}; c = (a, b); a.append(c); big = 'x' * 100000; also = [big, big]\n",
        "print(b['a'] is a, a[0] is c, c[1] is b, also[0] is also[1] is big, len(big))",
    ),
    "objects that are keys of what they hold": (
        """
        import dataclasses, enum
        class K:
            def __init__(self, n): self.first, self.others, self.n = [], set(), n
            def __hash__(self): return hash(self.n)
            def __eq__(self, other): return self.n == other.n
        a, b = K(1), K((2, "x"))
        a.others.add(b); b.others.add(a); a.table = {a: "self"}
        @dataclasses.dataclass(frozen=True)
        class F:
            n: int
            d: dict = dataclasses.field(default_factory=dict, compare=False)
        f = F(1); f.d[f] = f
        class E(enum.Enum):
            X = 1
        E.X.table = {E.X: 2}
        """,
        "print(a in b.others, b in a.others, a.table[a], list(vars(a)), f.d[f] is f, E.X.table[E.X], list(vars(f)))",
    ),
    "descriptors of functools": (
        """
        import functools
        class A:
            @functools.cached_property
            def slow(self): return [1]
            @functools.singledispatchmethod
            def f(self, x): return "any"
            @f.register
            def _(self, x: int): return "int"
            part = functools.partialmethod(f, 1)
            @functools.lru_cache(maxsize=2)
            def cached(self, n): return n * 2
        @functools.total_ordering
        class O:
            def __init__(self, n): self.n = n
            def __eq__(self, o): return self.n == o.n
            def __lt__(self, o): return self.n < o.n
        a = A(); kept = a.slow; a.cached(3)
        """,
        "print(a.slow is kept, a.f(1), a.f(''), a.part(), a.cached(4), O(1) <= O(2), A.cached.cache_parameters())",
    ),
    "structures of ctypes": (
        """
        import ctypes
        class P(ctypes.Structure):
            _fields_ = [("x", ctypes.c_int), ("y", ctypes.c_double)]
            def norm(self): return self.x + self.y
        row = (P * 2)(P(1, 2.5), P(3, 4)); kind = ctypes.POINTER(P); number = ctypes.c_int(5)
        """,
        "print(row[1].norm(), type(row[0]) is P, number, kind is ctypes.POINTER(P), type(row) is P * 2, P.x.offset)",
    ),
    "native libraries": (
        """
        import ctypes
        libc = ctypes.CDLL(None); libc.abs.argtypes = [ctypes.c_int]
        f = libc.labs; f.restype = ctypes.c_long; f.argtypes = [ctypes.c_long]
        api = ctypes.pythonapi
        """,
        "print(libc.abs(-3), f(-5), f is libc.labs, f.restype, api is ctypes.pythonapi)",
    ),
    "things around contexts and generators of installed packages": (
        """
        import contextlib, string, types, zoneinfo, datetime, ast, inspect
        @contextlib.contextmanager
        def manager(x):
            try:
                yield x
            finally:
                log.append("left")
        log = []
        stack = contextlib.ExitStack(); stack.callback(log.append, "closed")
        zone = zoneinfo.ZoneInfo("UTC"); when = datetime.datetime(2020, 1, 1, tzinfo=zone)
        unpickle = zoneinfo.ZoneInfo._unpickle; tree = ast.parse("x + 1"); signature = inspect.signature(manager)
        coroutine = types.coroutine(manager)
        """,
        """
        with manager(3) as x:
            print(x)
        stack.close(); print(log, when, when.tzinfo is zone, ast.dump(tree), signature)
        """,
    ),
}

if sys.version_info >= (3, 12):
    CASES["type parameters"] = (
        """
        class Box[T]:
            def get(self, x: T) -> T: return x
        type Alias[U] = list[U]
        type Deep = list[Deep] | int
        def f[V: int, *R, **P](x: V) -> V: return x
        class Sub(Box[int]): pass
        """,
        """
        T, = Box.__type_params__
        print(Box.get.__annotations__["x"] is T, Alias.__value__, Alias[int], Sub.__orig_bases__[0].__origin__ is Box)
        print([(type(p).__name__, p.__name__) for p in f.__type_params__], f.__type_params__[0].__bound__, Deep.__name__)
        """,
    )


@pytest.mark.parametrize("case", CASES)
def test_it_is_the_same_after_a_restore(case: str, tmp_path: Path) -> None:
    same(*CASES[case], tmp_path)
