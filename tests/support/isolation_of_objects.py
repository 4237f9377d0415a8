"""Isolation of what a program makes: functions, classes, objects."""

from __future__ import annotations

from support.cases import Case, counted

FUNCTIONS = [
    Case(
        "a function sees the globals of its current state",
        "x = 1\ndef f(): return x", "x = 2", "x = 3", "print(f())", "1", "2", "3",
    ),
    Case(
        "a lambda sees the globals of its current state",
        "x = 1\nf = lambda: x", "x = 2", "x = 3", "print(f())", "1", "2", "3",
    ),
    Case(
        "a method sees the globals of its current state",
        "x = 1\nclass C:\n    def f(self): return x\nc = C()", "x = 2", "x = 3", "print(c.f())", "1", "2",
        "3",
    ),
    Case(
        "a decorated function sees the globals of its current state",
        """
        import functools
        def twice(f):
            @functools.wraps(f)
            def g(): return 2 * f()
            return g
        x = 1
        @twice
        def f(): return x
        """,
        "x = 2", "x = 3", "print(f())", "2", "4", "6",
    ),
    counted("a global statement writes to its own state",
            "n = 0\ndef bump():\n    global n\n    n += 1", "bump()", "print(n)"),
    counted("a function appends to the list of its own state",
            "items = []\ndef add(): items.append(0)", "add()", "print(len(items))"),
    counted("a bound method of a builtin belongs to its branch",
            "items = []\nadd = items.append", "add(0)", "print(len(items))"),
    counted(
        "a closure's variable belongs to its branch",
        """
        def make():
            n = 0
            def bump():
                nonlocal n
                n += 1
            return bump
        bump = make()
        """,
        "bump()", "print(bump.__closure__[0].cell_contents)",
    ),
    counted("a mutable default argument belongs to its branch",
            "def f(seen=[]): seen.append(1)", "f()", "print(len(f.__defaults__[0]))"),
    counted("a mutable keyword default belongs to its branch",
            "def f(*, seen={}): seen[len(seen)] = 1", "f()", "print(len(f.__kwdefaults__['seen']))"),
    counted("an alias held as a default argument stays an alias",
            "log = []\ndef note(log=log): log.append(1)", "note()", "print(len(log))"),
    counted("a function's attribute belongs to its branch",
            "def f(): f.calls += 1\nf.calls = 0", "f()", "print(f.calls)"),
    counted("a partial over a global's closure belongs to its branch",
            "import functools\nn = [0]\ndef add(by): n[0] += by\nadd_one = functools.partial(add, 1)",
            "add_one()", "print(n[0])"),
    counted("an lru_cache belongs to its branch",
            "import functools\n@functools.lru_cache\ndef f(x): return x\nn = 0",
            "n += 1; _ = f(n)", "print(f.cache_info().currsize)"),
    counted("a cache of functools.cache survives into the branch only",
            "import functools\ncalls = []\n@functools.cache\ndef f(x): calls.append(x)\nn = 0",
            "n += 1; f(n)", "print(len(calls))"),
    Case(
        "a singledispatch registration belongs to its branch",
        "import functools\n@functools.singledispatch\ndef f(x): return 'any'",
        "f.register(int, lambda x: 'int')", "f.register(int, lambda x: 'whole')", "print(f(1))",
        "any", "int", "whole",
    ),
]  # fmt: skip

CLASSES = [
    counted("a class attribute belongs to its branch", "class C: total = 0", "C.total += 1",
            "print(C.total)"),
    counted("a class's mutable attribute belongs to its branch",
            "class C: seen = []\nc = C()", "c.seen.append(1)", "print(len(c.seen))"),
    Case(
        "a patched method belongs to its branch",
        "class C:\n    def f(self): return 'made'\nc = C()",
        "C.f = lambda self: 'left'", "C.f = lambda self: 'right'", "print(c.f())", "made", "left", "right",
    ),
    counted(
        "a registry of subclasses belongs to its branch",
        """
        class Base:
            known = []
            def __init_subclass__(cls): Base.known.append(cls.__name__)
        """,
        "class Sub(Base): pass", "print(len(Base.known))",
    ),
    Case(
        "the subclasses of a class belong to their branch",
        "class Base: pass", "class Left(Base): pass", "class Right(Base): pass",
        "print([c.__name__ for c in Base.__subclasses__()])", "[]", "['Left']", "['Right']",
    ),
    Case(
        "a virtual subclass belongs to its branch",
        "import abc\nclass A(abc.ABC): pass", "A.register(int)", "A.register(str)",
        "print(issubclass(int, A), issubclass(str, A))", "False False", "True False", "False True",
    ),
    counted("an attribute of an enum member belongs to its branch",
            "import enum\nclass E(enum.Enum): A = 1\nE.A.n = 0", "E.A.n += 1", "print(E.A.n)"),
    counted("an object that says it is its own copy belongs to its branch",
            "class One:\n    n = 0\n    def __deepcopy__(self, memo): return self\none = One()",
            "one.n += 1", "print(one.n)"),
    counted("a metaclass's count belongs to its branch",
            """
            class Meta(type):
                made = 0
                def __call__(cls):
                    Meta.made += 1
                    return super().__call__()
            class C(metaclass=Meta): pass
            """,
            "_c = C()", "print(Meta.made)"),
]  # fmt: skip

OBJECTS = [
    Case(
        "a view of an array stays a view of its own branch's array",
        "import numpy as np\na = np.zeros(3, int)\nv = a[:2]", "v[0] = 5", "v[0] = 6", "print(a[0], v[0])",
        "0 0", "5 5", "6 6",
    ),
    Case(
        "a transposed array shares memory with its own branch's array",
        "import numpy as np\na = np.zeros((2, 3), int)\nt = a.T", "t[2, 1] = 5", "t[2, 1] = 6",
        "print(a[1, 2], np.shares_memory(a, t))", "0 True", "5 True", "6 True",
    ),
    Case(
        "an array over a bytearray writes to its own branch's bytearray",
        "import numpy as np\nb = bytearray(3)\na = np.frombuffer(b, np.uint8)", "a[0] = 5", "a[0] = 6",
        "print(b[0])", "0", "5", "6",
    ),
    Case(
        "a memoryview stays a view of its own branch's bytearray",
        "b = bytearray(3)\nm = memoryview(b)", "m[0] = 5", "m[0] = 6", "print(b[0], m[0])", "0 0", "5 5",
        "6 6",
    ),
    Case(
        "a dictionary's view belongs to its branch",
        "d = {}\nkeys = d.keys()", "d['l'] = 1", "d['r'] = 1", "print(list(keys))", "[]", "['l']", "['r']",
    ),
    Case(
        "a mapping proxy belongs to its branch",
        "import types\nd = {}\np = types.MappingProxyType(d)", "d['l'] = 1", "d['r'] = 1", "print(dict(p))",
        "{}", "{'l': 1}", "{'r': 1}",
    ),
    Case(
        "a weak reference dies in its own branch",
        "import weakref\nclass N: pass\na = N()\nw = weakref.ref(a)", "del a", "pass",
        "print(w() is globals().get('a'), w() is None)", "True False", "True True", "True False",
    ),
    Case(
        "a weak dictionary's entry dies in its own branch",
        "import weakref\nclass N: pass\na = N()\nd = weakref.WeakValueDictionary(a=a)", "del a", "pass",
        "print(list(d), d.get('a') is globals().get('a'))", "['a'] True", "[] True", "['a'] True",
    ),
    Case(
        "a finalizer runs in its own branch",
        "import weakref\nclass N: pass\na = N()\nlog = []\n_f = weakref.finalize(a, log.append, 1)",
        "del a", "pass", "print(log, _f.alive)", "[] True", "[1] False", "[] True",
    ),
    counted("a generator belongs to its branch",
            "g = (i for i in range(9))", "_ = next(g)", "print(next(g))"),
    counted(
        "a generator's own variables belong to its branch",
        """
        def count():
            seen = []
            while True:
                yield len(seen)
                seen.append(0)
        g = count()
        """,
        "_ = next(g)", "print(next(g))",
    ),
    Case(
        "a suspended coroutine belongs to its branch",
        """
        import types
        @types.coroutine
        def pause(): return (yield)
        async def work():
            a = await pause()
            b = await pause()
            return (a, b)
        c = work()
        _ = c.send(None)
        def finish():
            try:
                while True: c.send("end")
            except StopIteration as stop: return stop.value
        """,
        "_ = c.send('left')", "_ = c.send('right')", "print(finish())",
        "('end', 'end')", "('left', 'end')", "('right', 'end')",
    ),
    Case(
        "a kept exception keeps its traceback in its branch",
        """
        def f():
            inside = []
            raise ValueError(inside)
        try: f()
        except ValueError as problem: kept = problem
        """,
        "kept.args[0].append('l')", "kept.args[0].append('r')",
        "print(kept.args[0], kept.__traceback__.tb_next.tb_frame.f_locals['inside'] is kept.args[0])",
        "[] True", "['l'] True", "['r'] True",
    ),
    Case(
        "a lock belongs to its branch",
        "import threading\nlock = threading.Lock()", "_ = lock.acquire()", "pass", "print(lock.locked())",
        "False", "True", "False",
    ),
    counted("a semaphore belongs to its branch",
            "import threading\ns = threading.Semaphore(9)", "_ = s.acquire()", "print(9 - s._value)"),
    Case(
        "an event belongs to its branch",
        "import threading\ne = threading.Event()", "e.set()", "pass", "print(e.is_set())",
        "False", "True", "False",
    ),
    counted("a queue belongs to its branch", "import queue\nq = queue.Queue()", "q.put(1)",
            "print(q.qsize())"),
    Case(
        "a thread-local value belongs to its branch",
        "import threading\nt = threading.local()\nt.x = 0", "t.x = 1", "t.x = 2", "print(t.x)", "0", "1",
        "2",
    ),
    Case(
        "a context variable belongs to its branch",
        "import contextvars\nv = contextvars.ContextVar('v', default=0)", "_ = v.set(1)", "_ = v.set(2)",
        "print(v.get())", "0", "1", "2",
    ),
    counted("an in-memory database belongs to its branch",
            "import sqlite3\ndb = sqlite3.connect(':memory:')\n_ = db.execute('create table t (x)')",
            "_ = db.execute('insert into t values (1)')",
            "print(db.execute('select count(*) from t').fetchone()[0])"),
    counted("an open text file's position belongs to its branch",
            """
            import os, tempfile
            _fd, _path = tempfile.mkstemp(dir='.')
            os.write(_fd, b''.join(b'%d\\n' % i for i in range(9)))
            os.close(_fd)
            f = open(_path)
            """,
            "_ = f.readline()", "print(f.readline().strip())"),
    counted("a descriptor's offset belongs to its branch",
            """
            import os, tempfile
            _fd, _path = tempfile.mkstemp(dir='.')
            os.write(_fd, b'0123456789')
            os.close(_fd)
            fd = os.open(_path, os.O_RDONLY)
            """,
            "_ = os.read(fd, 1)", "print(os.lseek(fd, 0, os.SEEK_CUR))"),
    counted("memory of C belongs to its branch",
            "import ctypes\ni = ctypes.c_int(0)\np = ctypes.pointer(i)", "p[0] += 1", "print(i.value)"),
    counted("a private memory map belongs to its branch",
            "import mmap\nm = mmap.mmap(-1, 16, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)",
            "m[0] += 1", "print(m[0])"),
    Case(
        "a figure belongs to its branch",
        """
        import matplotlib
        from matplotlib.figure import Figure
        def axes(ax=Figure().subplots()): return ax
        """,
        "_ = axes().plot([1, 2])", "_ = axes().plot([1]), axes().plot([2])", "print(len(axes().lines))",
        "0", "1", "2", needs="matplotlib",
    ),
    Case(
        "pyplot's open figures belong to their branch",
        """
        import matplotlib
        matplotlib.use('agg')
        import matplotlib.pyplot as plt
        """,
        "_ = plt.figure('left'); n = plt.get_figlabels()",
        "_ = plt.figure('right'); n = plt.get_figlabels()",
        "print(globals().get('n'))", "None", "['left']", "['right']", needs="matplotlib",
    ),
]  # fmt: skip
