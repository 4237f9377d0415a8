"""Exception chaining: cause, context, suppression, notes, bare raise, re-raise in loops, custom exceptions."""

from snap import snap

events = []


def chain(error):
    """What the exception carries, all the way down."""
    found = []
    while error is not None:
        found.append(
            (
                repr(error),
                error.__suppress_context__,
                error.__cause__ is not None,
                lines(error.__traceback__),
                getattr(error, "__notes__", None),
            )
        )
        error = error.__cause__ or error.__context__
    return found


def lines(traceback):
    found = []
    while traceback is not None:
        found.append((traceback.tb_frame.f_code.co_name, traceback.tb_lineno))
        traceback = traceback.tb_next
    return found


def fail(message):
    snap(message)
    raise ValueError(message)


def wrapping(style):
    try:
        fail(style)
    except ValueError as error:
        snap("in the handler")
        if style == "from":
            raise KeyError(snap("wrapped")) from error
        if style == "none":
            raise KeyError(snap("alone")) from None
        if style == "other":
            raise KeyError("k") from OSError(snap("other"))
        if style == "bare":
            raise
        if style == "same":
            raise error
        if style == "note":
            error.add_note(snap("a note"))
            raise
        raise KeyError(snap("implicit"))


for style in ("from", "none", "other", "bare", "same", "note", "implicit"):
    try:
        wrapping(style)
    except (KeyError, ValueError) as error:
        snap("caught")
        events.append((style, chain(error)))


def twice():
    try:
        fail("first")
    except ValueError:
        try:
            fail("second")
        except ValueError as second:
            snap("two handlers deep")
            events.append(repr(second.__context__))
            raise


try:
    twice()
except ValueError as error:
    events.append(chain(error))


class Custom(Exception):
    def __init__(self, code, *, detail=None):
        super().__init__(code)
        self.detail = snap(detail)

    def __str__(self):
        return f"code {self.args[0]} ({snap(self.detail)})"


try:
    raise Custom(snap(5), detail={"k": [1]})
except Custom as error:
    kept = error
    snap("holding it")
    events.append((str(error), error.detail))
events.append((chain(kept), snap(kept) is kept))
try:
    raise kept
except Custom as error:
    events.append((error is kept, lines(error.__traceback__)))


def with_traceback():
    try:
        fail("to be moved")
    except ValueError as error:
        traceback = error.__traceback__
    snap("with a traceback held")
    raise KeyError("given a traceback").with_traceback(traceback)


try:
    with_traceback()
except KeyError as error:
    events.append(chain(error))


class Raises:
    def __init__(self, error):
        self.error = error

    def __getattr__(self, name):
        raise self.error(snap(name))

    def __eq__(self, other):
        raise self.error(snap("eq"))

    def __iter__(self):
        raise self.error(snap("iter"))

    def __enter__(self):
        raise self.error(snap("enter"))

    def __exit__(self, *details):
        pass

    def __bool__(self):
        raise self.error(snap("bool"))

    def __getitem__(self, key):
        raise self.error(snap("getitem"))


def each_way(r):
    yield lambda: r.attribute
    yield lambda: r == 1
    yield lambda: [x for x in r]
    yield lambda: not r
    yield lambda: r[0]
    yield lambda: f"{r.format}"
    yield lambda: r.method(snap("never"))
    yield lambda: 1 if r else 2


for number, way in enumerate(each_way(Raises(LookupError))):
    try:
        way()
    except LookupError as error:
        events.append((number, repr(error), len(lines(error.__traceback__))))
try:
    with Raises(OSError):
        pass
except OSError as error:
    events.append(repr(error))


def context_from_a_generator():
    try:
        yield snap(1)
    except KeyError as error:
        raise ValueError(snap("from the generator")) from error


g = context_from_a_generator()
next(g)
try:
    g.throw(KeyError("into it"))
except ValueError as error:
    events.append(chain(error))


def context_across_frames():
    try:
        fail("outer")
    except ValueError:
        return in_another_frame()


def in_another_frame():
    snap("called from a handler")
    try:
        raise TypeError("inner")
    except TypeError as error:
        return chain(error)


events.append(context_across_frames())
cycle = ValueError("cycle")
cycle.own = cycle
cycle.__cause__ = KeyError("cause")
snap(cycle)
events.append((cycle.own is cycle, repr(cycle.__cause__)))
for kind in (
    StopIteration(snap(1)),
    SystemExit(snap(2)),
    OSError(2, snap("no such file"), "name"),
    UnicodeDecodeError("utf-8", b"\xff", 0, 1, snap("bad")),
    ImportError("i", name=snap("n"), path="p"),
    AttributeError("a", name=snap("n"), obj=[1]),
    NameError("n", name=snap("name")),
):
    try:
        raise kind
    except BaseException as error:
        snap(error)
        details = {
            key: getattr(error, key, None) for key in ("value", "code", "errno", "filename", "reason", "name")
        }
        events.append((repr(error), str(error), details))

print("\n".join(map(repr, events)))
