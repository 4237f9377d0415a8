"""What the random trees are made of: themes, each something that an engine can get wrong.

The first cell of a theme sets it up, the others change it; `$` becomes a number. Each works in whatever state
of its theme it meets, so that only the cells in FAILING fail.
"""

from __future__ import annotations

THEMES: dict[str, tuple[str, list[str]]] = {
    "aliases": (
        """
        a = [1, [2]]
        b = a
        c = {'a': a, 'in': a[1]}
        """,
        [
            "a.append($)", "b[1].append($)", "c['in'] += [$]", "a = list(a)", "b = c",
            "c['self'] = c if $ % 2 else a",
        ],
    ),
    "globals": (
        """
        g = 1
        def read(): return g
        def write(n):
            global g
            g += n
        table = {'read': read}
        """,
        [
            "g = $", "write($)", "print(read(), table['read']())", "def read(): return g * 2",
            "exec('g = g + $')",
        ],
    ),
    "closures": (
        """
        def make():
            n, seen = 0, []
            def inc(k):
                nonlocal n
                n += k
                seen.append(n)
                return n
            return inc, lambda: seen
        inc, seen = make()
        """,
        [
            "print(inc($))", "seen().append($)", "inc, _s = make()",
            "late = [lambda: i + inc(0) for i in range(2)]",
        ],
    ),
    "generators": (
        """
        log = []
        def gen(k):
            try:
                while True:
                    got = yield k
                    k += got or 1
                    log.append(k)
            finally:
                log.append('closed')
        g1 = gen(0); g2 = (x * x for x in g1)
        """,
        [
            "print(next(g1, None))", "print(next(g2, None))", "g1.close()", "g1 = gen($)",
            "if g1.gi_frame: next(g1); print(g1.send($))", "g2 = (x + $ for x in g1)",
        ],
    ),
    "coroutines": (
        """
        import types
        @types.coroutine
        def pause(x): return (yield x)
        async def work(n):
            got = []
            for i in range(n): got.append(await pause(i))
            return got
        co = work(99)
        _ = co.send(None)
        """,
        [
            "print(co.send($))", "co.close(); co = work(99); _ = co.send(None)",
        ],
    ),
    "classes": (
        """
        class C:
            total = 0; items = []
            def add(self, n): type(self).total += n; self.items.append(n)
        class D(C): pass
        obj = D(); bound = obj.add
        """,
        [
            "obj.add($)", "bound($)", "C.total = $", "D.items = list(C.items)", "obj.own = obj",
            "C.add = lambda self, n: self.items.append(-n)", "C.extra = property(lambda self: self.total)",
            "class D(C): total = $", "obj.__class__ = C",
        ],
    ),
    "slots": (
        """
        class S:
            __slots__ = ('x', 'y')
            made = []
            def __init__(self, x): self.x = x; S.made.append(self)
        s = S(1)
        """,
        [
            "s.y = S($)", "s.x = S.made", "S.made[-1:] = []", "s = S.made[-1] if S.made else S($)",
        ],
    ),
    "random": (
        """
        import random, numpy as np
        random.seed(3); np.random.seed(3); seeded = True
        own = random.Random(4)
        rng = np.random.default_rng(5)
        draw = rng.integers
        """,
        [
            "print(random.random())", "random.seed($); np.random.seed($)",
            "x = random.sample(range(99), 3)", "print(np.random.rand())", "print(draw(99))", "own.seed($)",
            "state = random.getstate()[1][:3]", "random.shuffle(mixed := list(range(6)))",
            "print(rng.normal(), own.gauss(0, 1))",
        ],
    ),
    "decimal": (
        """
        import decimal
        decimal.getcontext().prec = 7
        ctx = decimal.getcontext()
        """,
        [
            "decimal.getcontext().prec = 3 + $ % 20", "print(decimal.Decimal($) / 7)",
            "ctx = decimal.Context(prec=5)",
        ],
    ),
    "modules": (
        """
        import string, textwrap, builtins
        string.mine = kept = [1]
        """,
        [
            "string.mine.append($)", "string.mine = [$]", "textwrap.dedent = lambda t: '$'",
            "builtins.sf_mine = $", "import colorsys", "import poplib",
            "import sys, types\nsys.modules['sf_mine'] = types.ModuleType('sf_mine')",
            "print(string.mine is kept)",
        ],
    ),
    "process": (
        """
        import os, sys, signal, logging, warnings
        os.environ['SFX_A'] = '1'
        """,
        [
            "sys.path.append('/nowhere/$')", "os.environ['SFX_$'] = '$'", "os.environ.pop('SFX_A', None)",
            "os.chdir(os.path.join(os.environ['SF_ROOT'], 'd%d' % ($ % 3)))",
            "logging.getLogger('sf').setLevel($)",
            "logging.getLogger('sf').addHandler(logging.NullHandler())",
            "warnings.filters.insert(0, ('ignore', None, UserWarning, None, 1000 + $))",
            "def on_signal(*a): hits.append(1)\nhits = []; _ = signal.signal(signal.SIGUSR2, on_signal)",
            "signal.raise_signal(signal.SIGUSR2) if 'hits' in globals() else None",
            "sys.setrecursionlimit($ * 1000 + 2077)",
        ],
    ),
    "files": (
        """
        import os
        text = open(os.path.join(os.environ['SF_ROOT'], 'text'))
        raw = open(text.name, 'rb', buffering=0)
        """,
        [
            "print(text.readline())", "print(raw.read($))", "_ = text.seek($ * 7)", "_ = raw.seek($, 1)",
            "other = text", "text = open(text.name)", "print(text.read(9000)[-3:])",
            "print(len(os.read(raw.fileno(), $)))",
        ],
    ),
    "caches": (
        """
        import functools
        calls = []
        @functools.lru_cache(maxsize=4)
        def cached(n):
            calls.append(n)
            return [n]
        """,
        [
            "print(cached($ % 5))", "cached(1).append($)", "cached.cache_clear()", "calls = list(calls)",
        ],
    ),
    "weak": (
        """
        import weakref, gc
        class N: pass
        n = N(); n.self = n; w = weakref.ref(n)
        m = N(); wd = weakref.WeakValueDictionary(m=m)
        ends = []
        _f = weakref.finalize(m, ends.append, 'm')
        """,
        [
            "n = None", "n = None; _ = gc.collect(); print(w() is None)", "m = None; print(len(wd), ends)",
            "n = w()", "wd['$'] = n = N()", "w = weakref.ref(m) if m else w", "keep = [w(), m]",
        ],
    ),
    "containers": (
        """
        from collections import defaultdict, deque, Counter, OrderedDict, ChainMap
        dd = defaultdict(list); dq = deque([1, 2], 5)
        dd['q'].append(dq); od = OrderedDict(a=dq); cm = ChainMap({}, dd)
        """,
        [
            "dd[$].append(od)", "dq.append($)", "dq.rotate(1)", "od.move_to_end('a'); od[$] = dd",
            "cm['x'] = $", "cnt = Counter('abc' * $)", "keys = dd.keys(); print(len(keys))",
            "dd = defaultdict(dq.copy, dd)",
        ],
    ),
    "iterators": (
        """
        import itertools
        src = [1, 2, 3, 4]; it = iter(src); cy = itertools.cycle(it)
        zi = zip(it, itertools.count())
        t1, t2 = itertools.tee(cy)
        """,
        [
            "print(next(it, None))", "src.append($)", "print(next(zi, None))", "print(next(t1), next(t1))",
            "print(next(t2))", "it = map(str, zi)", "en = enumerate(src, $)",
            "print(list(itertools.islice(cy, 2)))", "rv = reversed(src)",
        ],
    ),
    "dataclasses": (
        """
        import dataclasses, enum, pickle, copy
        class Color(enum.Enum): RED = 1; BLUE = 2
        @dataclasses.dataclass
        class P:
            x: int
            tags: list = dataclasses.field(default_factory=list)
            color: Color = Color.RED
        p = P(1)
        """,
        [
            "p.tags.append(p)", "p = dataclasses.replace(p, x=$)", "Color.RED.note = $",
            "q = pickle.loads(pickle.dumps(P($)))", "q = copy.deepcopy(p)", "p.color = Color.BLUE",
            "P.tagged = p.tags",
        ],
    ),
    "numpy": (
        """
        import numpy as np
        arr = np.arange(12).reshape(3, 4); view = arr[1]; tr = arr.T; buf = bytearray(8)
        over = np.frombuffer(buf, np.uint8)
        """,
        [
            "view[0] = $", "tr[1, 2] += $", "over[1] = $ % 256", "arr = arr + 1", "arr[:, 0] = arr[:, 1]",
            "view = tr[::2]", "np.set_printoptions(precision=$ % 7)",
            "mv = memoryview(buf); mv[2] = $ % 256", "arr.sort(axis=0)",
        ],
    ),
    "defaults": (
        """
        def push(x, acc=[], *, kw={}):
            acc.append(x); kw[len(kw)] = acc
            return acc
        first = push(0)
        """,
        [
            "push($)", "first.append($)", "push.count = getattr(push, 'count', 0) + 1",
            "push.__defaults__ = ([$],)", "import functools\npart = functools.partial(push, $); part()",
        ],
    ),
    "exceptions": (
        """
        def boom(x):
            local = [x]
            try: raise KeyError(x)
            finally: local.append('finally')
        def hold(x):
            try: boom(x)
            except KeyError as e:
                try: raise ValueError(e.args) from e
                except ValueError as v: return v
        held = hold([1])
        """,
        [
            "held.args += ($,)", "held.__cause__.args[0].append($)", "held = hold([held])",
            "held.__traceback__ = None", "try: raise held\nexcept ValueError: pass", "held.add_note('$')",
        ],
    ),
    "locks": (
        """
        import threading, contextvars, sqlite3
        lock = threading.Lock(); rl = threading.RLock()
        var = contextvars.ContextVar('var', default=0)
        loc = threading.local(); loc.x = [1]
        db = sqlite3.connect(':memory:', isolation_level=None); _ = db.execute('create table t (x)')
        """,
        [
            "_ = lock.acquire(blocking=False)", "if lock.locked(): lock.release()", "_ = var.set($)",
            "rl.acquire()", "loc.x.append($); shown = loc.x", "_ = db.execute('insert into t values ($)')",
            "_ = db.execute('delete from t where x < $')",
            "t = threading.Thread(target=lambda: loc.__dict__.update(y=1)); t.start(); t.join(); del t",
            "cur = db.execute('select x from t order by x')",
        ],
    ),
    "streams": (
        """
        import io, array
        sio = io.StringIO('ab\\ncd\\nef'); bio = io.BytesIO(b'12345'); ar = array.array('i', [1])
        mvb = memoryview(bytearray(4))
        wr = sio.write
        """,
        [
            "print(sio.readline())", "_ = wr('x$')", "_ = bio.seek($ % 6)", "ar.append($)",
            "mvb[0] = $ % 256", "half = mvb[2:]",
        ],
    ),
}  # fmt: skip

FAILING = [
    "1 / 0",
    "for v in list(globals().values()):\n    if isinstance(v, list): v.append('x')\nraise ValueError('late')",
    "import random, os, string\nrandom.seed(0); os.environ['SFX_NO'] = ''; string.mine = 'lost'\nundefined",
    "for k in [k for k in globals() if not k.startswith('_')]: del globals()[k]\n{}['gone']",
    "import sys, os\nsys.path.append('/nowhere/lost'); os.chdir('/')\nsys.exit(2)",
    "x = (",
]
