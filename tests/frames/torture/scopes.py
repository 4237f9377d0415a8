"""Names: global, nonlocal, closures that share cells, defaults, walrus, del, locals() and globals()."""

from snap import snap

events = []
counter = 0
shadowed = "global"


def increment():
    global counter, created
    counter += snap(1)
    created = snap("by a function")
    return counter


events.append([increment(), increment(), created])


def account(balance):
    history = []

    def deposit(amount):
        nonlocal balance
        balance += snap(amount)
        history.append(balance)
        return balance

    def withdraw(amount):
        nonlocal balance
        balance, before = balance - snap(amount), balance
        history.append((before, balance))
        return balance

    def look():
        return balance, history

    return deposit, withdraw, look


deposit, withdraw, look = account(10)
deposit(5)
snap("between two closures that share cells")
withdraw(3)
events.append(
    (look(), deposit.__closure__[0].cell_contents, deposit.__closure__[0] is withdraw.__closure__[0])
)
other = account(100)
other[0](snap(1))
events.append((other[2](), look()[0]))


def levels():
    x = "outer"

    def middle():
        nonlocal x

        def inner():
            nonlocal x
            x = snap("changed two levels down")
            return x

        before = x
        inner()
        return before, snap(x)

    return middle(), x


events.append(levels())


def cell_set_later():
    def use():
        return snap(later)

    try:
        use()
    except NameError as error:
        events.append(str(error))
    snap("with an empty cell")
    later = "now"
    first = use()
    del later
    try:
        use()
    except NameError as error:
        events.append(type(error).__name__)
    snap("with a cell emptied again")
    return first


events.append(cell_set_later())


def argument_is_a_cell(x, *args, y=snap("default"), **kwargs):
    def inner():
        return x, args, y, kwargs

    snap("before")
    x = [x, snap("changed")]
    return inner()


events.append(argument_is_a_cell(1, 2, z=3))
functions = [lambda bound=i: snap(bound) for i in range(2)]
events.append([function() for function in functions])


def late_binding():
    return [lambda: snap(i) for i in range(2)]


events.append([function() for function in late_binding()])
if (n := snap(5)) > 3 and (m := snap(n + 1)):
    events.append((n, m))
while (item := snap([1, 2][: counter - 1])) and counter > 0:
    counter -= 1
events.append((item, counter))


def deleting():
    a = b = snap([1])
    del a
    try:
        return a
    except UnboundLocalError:
        snap("a is unbound")
    d = {"x": {"y": 1}}
    del d["x"]["y"], b[snap(0)]
    snap("after del")
    return b, d


events.append(deleting())


def own_locals(a, b=2):
    c = snap(3)
    found = locals()
    snap(found)
    d = 4
    return sorted(found), sorted(locals()), found["c"], d


events.append(own_locals(1))
globals()["made"] = snap("by globals()")
events.append(made)
del made
events.append("made" in globals())
shadowed_list = [shadowed := snap("module level walrus")]
events.append(shadowed)


def shadowing(shadowed):
    def inner():
        shadowed = snap("innermost")
        return shadowed

    return shadowed, inner(), snap(shadowed)


events.append(shadowing("argument"))


class Scope:
    shadowed = "class"
    read = [shadowed, snap("x")]

    def method(self):
        return snap(shadowed)


events.append((Scope.read[0], Scope().method()))
counts = {}


def memo(n, cache={}):
    if n not in cache:
        cache[n] = snap(n) if n < 2 else memo(n - 1) + memo(n - 2)
    return cache[n]


events.append((memo(6), len(memo.__defaults__[0])))


def mutual_even(n):
    return snap(True) if n == 0 else mutual_odd(n - 1)


def mutual_odd(n):
    return False if n == 0 else mutual_even(n - 1)


events.append(mutual_even(10))


def self_reference():
    def again(n):
        return snap(n) if n == 0 else again(n - 1)

    return again(2), again.__closure__[0].cell_contents is again


events.append(self_reference())


def generator_closure():
    total = 0

    def add(n):
        nonlocal total
        total += n

    for i in range(2):
        add(snap(i + 1))
        yield total


events.append([v for v in generator_closure()])


def unused_and_missing():
    if snap(False):
        never = 1
    try:
        return never
    except UnboundLocalError as error:
        return str(error)


events.append(unused_and_missing())
first = second = lambda x: (x, snap(x))
events.append((first is second, first(1)))
__annotations__ = {}
value: snap("annotation") = snap("value")
events.append(__annotations__)
print("\n".join(map(repr, events)))
