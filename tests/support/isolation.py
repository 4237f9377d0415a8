"""All cases of isolation.

ISOLATED are cases that an engine which copies namespaces gets wrong, and tests hold that it does.
ALIKE are cases that such an engine happens to get right, each with the reason.
"""

from __future__ import annotations

from support.cases import Case, counted
from support.isolation_of_objects import CLASSES, FUNCTIONS, OBJECTS
from support.isolation_of_processes import PROCESS, RANDOM

ISOLATED: list[Case] = [*FUNCTIONS, *CLASSES, *OBJECTS, *RANDOM, *PROCESS]

ALIKE = [
    counted("two names of one list stay two names of one list",
            "a = []\nb = a", "b.append(0)", "print(len(a) if a is b else 'apart')",
            reason="one memo for the whole namespace keeps plain aliases"),
    counted("an iterator of a list belongs to its branch",
            "i = iter(range(9))", "_ = next(i)", "print(next(i))",
            reason="builtin iterators can be copied by way of __reduce__"),
    counted("an instance's attribute belongs to its branch",
            "class C: pass\nc = C()\nc.n = 0", "c.n += 1", "print(c.n)", reason="instances are copied"),
    counted("a numpy generator belongs to its branch",
            "import numpy as np\nstream = list(np.random.default_rng(1).random(9))\n"
            "rng = np.random.default_rng(1)",
            "_ = rng.random()", "print(stream.index(rng.random()))", reason="it copies with its state"),
    counted("a random.Random belongs to its branch",
            "import random\nr = random.Random(1)\n_s = random.Random(1)\n"
            "stream = [_s.random() for _ in range(9)]",
            "_ = r.random()", "print(stream.index(r.random()))", reason="it copies with its state"),
    counted("a pandas frame belongs to its branch",
            "import pandas as pd\nd = pd.DataFrame({'x': [0, 0]})", "d.loc[0, 'x'] += 1", "print(d.x[0])",
            needs="pandas", reason="it copies deeply"),
    counted("a default dictionary belongs to its branch",
            "import collections\nd = collections.defaultdict(int)", "d['x'] += 1", "print(d['x'])",
            reason="containers are copied"),
    counted("a bound method of a user's class stays bound to its own branch's object",
            "class C:\n    n = 0\n    def bump(self): self.n += 1\nc = C()\nbump = c.bump", "bump()",
            "print(c.n)",
            reason="bound methods are copied with the same memo"),
]  # fmt: skip
