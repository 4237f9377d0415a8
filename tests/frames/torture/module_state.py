"""State that lives in modules: random, decimal, context variables, warnings, limits, own modules, environment."""

import contextvars
import copyreg
import decimal
import heapq
import logging
import operator
import os
import random
import re
import sys
import warnings
from collections import Counter, OrderedDict, deque

from snap import snap

events = []
random.seed(5)
first = random.random()
snap("after one random number")
events.append((first, random.random(), random.randint(1, 100), random.choice("abc")))
own = random.Random(7)
own.random()
snap(own)
events.append(own.random())
variable = contextvars.ContextVar("variable", default="unset")
token = variable.set("set")
snap("with a context variable set")
events.append((variable.get(), snap(variable).get()))


def in_context():
    variable.set(snap("inside"))
    snap("inside a context")
    return variable.get(), snap(contextvars.copy_context())[variable]


context = contextvars.copy_context()
events.append((variable.get(), context[variable]))
variable.reset(token)
events.append((snap(variable).get(), context[variable]))
decimal.getcontext().prec = 4
snap("with a precision")
events.append((decimal.Decimal(1) / 3, decimal.getcontext().prec))
logger = logging.getLogger("own.logger")
logger.setLevel(logging.INFO)


class Handler(logging.Handler):
    def emit(self, record):
        events.append(("logged", record.getMessage(), record.lineno, snap(record.levelname)))


logger.addHandler(Handler())
logger.info("message %s", snap(1))
snap("with a logger set up")
logger.warning("another %s", 2)
logger.debug("never")
events.append((logger.level, len(logger.handlers), logging.getLogger("own.logger") is logger))
limit = sys.getrecursionlimit()
sys.setrecursionlimit(limit + 7)
snap("with a recursion limit")
events.append(sys.getrecursionlimit() - limit)
os.environ["OWN_VARIABLE"] = "own"
snap("with an environment variable")
events.append(os.environ.get("OWN_VARIABLE"))
pattern = re.compile(r"(\d+)(?P<name>x)?", re.IGNORECASE)
match = pattern.search("ab12Xc")
snap(pattern)
events.append((pattern.findall("1x2"), match.groups() if match else None))
d = deque([1, 2, 3], maxlen=3)
d.append(snap(4))
o = OrderedDict(a=1, b=2)
o.move_to_end("a")
c = Counter("aab")
snap((d, o, c))
events.append((d, list(o), c.most_common(1), d.maxlen))
heap = [5, 1, 3]
heapq.heapify(heap)
heapq.heappush(heap, snap(0))
events.append([heapq.heappop(heap), snap(heapq.heappop(heap))])
getter = operator.itemgetter(1, 0)
adder = operator.methodcaller("append", 9)
snap((getter, adder))
events.append(getter("ab"))
builtin_method = [3, 1].sort
bound_append = events.append
snap(builtin_method)
bound_append("through a bound method")
events.append((str.upper, len, "x".join(["a", "b"]))[2])
warnings.simplefilter("error", UserWarning)
snap("with a warnings filter")
try:
    warnings.warn("now an error", UserWarning, stacklevel=1)
except UserWarning as warning:
    events.append(str(warning))


class Own:
    def __init__(self, value):
        self.value = value


copyreg.pickle(Own, lambda own: (Own, (own.value + snap(0),)) if False else (Own, (own.value,)))
made = Own(5)
snap(made)
events.append(made.value)
sys.argv.append("more")
snap("with an argument added")
events.append(sys.argv[1:])
sys.path.append("/own/path")
snap("with a path added")
events.append(sys.path[-1])
previous = sys.displayhook
sys.displayhook = lambda value: events.append(("displayed", value))
exec(compile("snap(5)", "<single>", "single"))
sys.displayhook = previous

print("\n".join(map(repr, events)))
