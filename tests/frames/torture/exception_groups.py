"""Exception groups and except*: splitting, re-raising, nesting, names, raising inside a handler."""

from snap import snap

events = []


def show(error):
    if isinstance(error, BaseExceptionGroup):
        return (error.message, [show(inner) for inner in error.exceptions])
    return repr(error)


def handle(*errors):
    try:
        snap("try")
        raise ExceptionGroup(snap("group"), list(errors))
    except* ValueError as group:
        events.append(("values", show(group)))
        snap("values")
    except* (KeyError, IndexError) as group:
        events.append(("lookups", show(group)))
        snap("lookups")
    else:
        events.append("never")
    finally:
        events.append(snap("finally"))
    return snap("handled")


events.append(handle(ValueError(1)))
events.append(handle(ValueError(1), KeyError(2), ValueError(3), IndexError(4)))
events.append(handle(ExceptionGroup("nested", [ValueError(5), KeyError(6)])))
try:
    handle(ValueError(7), TypeError(8))
except* TypeError as group:
    snap("left over")
    events.append(("left over", show(group)))


def plain_exception():
    try:
        raise ValueError(snap("bare"))
    except* ValueError as group:
        snap("in the star handler")
        events.append((type(group).__name__, show(group)))


plain_exception()


def no_exception():
    try:
        snap("nothing happens")
    except* ValueError:
        events.append("never")
    else:
        return snap("else")
    finally:
        snap("finally")


events.append(no_exception())


def raising_inside():
    try:
        raise ExceptionGroup("g", [ValueError(1), KeyError(2)])
    except* ValueError as group:
        raise TypeError(snap("from a star handler")) from group
    except* KeyError:
        snap("the other still runs")


try:
    raising_inside()
except TypeError as error:
    events.append((show(error), show(error.__cause__)))


def reraising():
    try:
        raise ExceptionGroup("g", [ValueError(1), KeyError(2), OSError(3)])
    except* ValueError:
        snap("re-raising")
        raise
    except* KeyError:
        snap("swallowing")


try:
    reraising()
except ExceptionGroup as group:
    events.append(show(group))


class Group(ExceptionGroup):
    def derive(self, errors):
        return Group(snap(self.message), errors)


group = Group("own class", [ValueError(1), TypeError(snap(2))])
matched, rest = group.split(ValueError)
events.append((type(matched).__name__, show(matched), show(rest)))
events.append(show(group.subgroup(lambda e: isinstance(e, TypeError))))
events.append(show(group.subgroup(TypeError)))
try:
    try:
        raise group
    except* ValueError as part:
        snap(part)
        events.append((type(part).__name__, show(part), show(part.__context__)))
except Group as left:
    events.append(show(left))

for i in range(2):
    try:
        raise ExceptionGroup("in a loop", [KeyError(i)])
    except* KeyError as inner:
        snap(i)
        for error in inner.exceptions:
            events.append((i, snap(repr(error))))


def nested_stars():
    try:
        try:
            raise ExceptionGroup("outer", [ValueError(snap(1)), TypeError(2)])
        except* ValueError as first:
            try:
                raise ExceptionGroup("inner", [OSError(snap(3))])
            except* OSError as second:
                events.append((show(first), show(second), show(second.__context__)))
                snap("two star handlers")
    except* TypeError as rest:
        found = snap(show(rest))
    return found


events.append(nested_stars())


def generator():
    try:
        yield snap(1)
    except* ValueError as group:
        events.append(show(group))
        yield snap("yielded from a star handler")
    yield snap("after")


g = generator()
next(g)
events.append([g.throw(ValueError("thrown")), next(g), next(g, "end")])


def matcher():
    snap("choosing")
    return ValueError


try:
    raise ExceptionGroup("g", [ValueError(1)])
except* matcher() as group:
    events.append(show(group))
with_notes = ExceptionGroup("noted", [ValueError(1)])
with_notes.add_note(snap("a note"))
try:
    raise with_notes
except* ValueError as group:
    snap(group)
    events.append(group.__notes__)

print("\n".join(map(repr, events)))
