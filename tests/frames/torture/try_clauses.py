"""try, except, else, finally in every combination, left in every way: to the end, return, break, continue, raise."""

from snap import snap

events = []


def note(*what):
    events.append(what)
    return snap(what[-1])


def clauses(fails, name):
    try:
        note(name, "try")
        if fails:
            raise ValueError(note(name, "raising"))
    except ValueError as error:
        note(name, str(error))
    else:
        note(name, "else")
    finally:
        note(name, "finally")
    return note(name, "after")


events.append([clauses(False, "clean"), clauses(True, "failing")])


def except_only(error):
    try:
        raise error
    except (KeyError, IndexError) as caught:
        return note("lookup", repr(caught))
    except ValueError:
        note("value")
    except:
        note("anything")
    return note("fell through")


events.append([except_only(e) for e in (KeyError("k"), ValueError("v"), KeyboardInterrupt())])


def finally_only(fails):
    try:
        if fails:
            raise OSError(note("raising"))
        return note("returning")
    finally:
        note("finally")


events.append(finally_only(False))
try:
    finally_only(True)
except OSError as error:
    note("outside", repr(error))


def return_in_finally():
    try:
        raise ValueError(note("lost"))
    finally:
        return note("from finally")


def return_overridden():
    try:
        return note("first")
    finally:
        return note("second")


def return_in_else():
    try:
        note("try")
    except ValueError:
        return note("never")
    else:
        return note("else")
    finally:
        note("finally")


def return_in_except():
    try:
        raise ValueError(note("v"))
    except ValueError as error:
        return note(str(error))
    finally:
        note("finally")


events.append([return_in_finally(), return_overridden(), return_in_else(), return_in_except()])


def loops():
    seen = []
    for i in range(5):
        try:
            if i == 0:
                continue
            if i == 1:
                raise KeyError(note("key"))
            if i == 3:
                break
            seen.append(note(i))
        except KeyError:
            seen.append(note("except"))
            continue
        else:
            seen.append(note("else"))
        finally:
            seen.append(note(f"finally {i}"))
    else:
        seen.append("never")
    return seen


events.append(loops())


def break_in_finally():
    for i in range(3):
        try:
            raise ValueError(note("swallowed by break"))
        finally:
            break
    while True:
        try:
            note("while")
            return note("never returned")
        finally:
            break
    return note("after the loops")


def continue_in_finally():
    seen = []
    for i in range(2):
        try:
            1 / note(0)
        finally:
            seen.append(note(i))
            continue
    return seen


events.append([break_in_finally(), continue_in_finally()])


def nested():
    try:
        try:
            raise ValueError(note("inner"))
        except KeyError:
            note("never")
        finally:
            note("inner finally")
            try:
                raise TypeError(note("in finally"))
            except TypeError as error:
                note(repr(error), repr(error.__context__))
    except ValueError as error:
        note("outer", str(error))
        try:
            raise KeyError(note("in the handler")) from error
        except KeyError as second:
            note(repr(second.__cause__))
            try:
                note("third level")
                raise
            except KeyError as third:
                note(third is second)
        note(repr(error))
    else:
        note("never")
    return note("end")


events.append(nested())


def handler_chosen_at_run_time():
    kinds = {"a": KeyError, "b": (ValueError, TypeError)}
    try:
        raise TypeError(note("t"))
    except kinds[note("a")]:
        note("never")
    except kinds[note("b")] as error:
        return note(repr(error))


events.append(handler_chosen_at_run_time())


def name_is_deleted():
    error = note("before")
    try:
        raise ValueError
    except ValueError as error:
        note(type(error).__name__)
    try:
        return error
    except UnboundLocalError as unbound:
        return note(type(unbound).__name__)


events.append(name_is_deleted())


def raise_in_else():
    try:
        try:
            note("fine")
        except ValueError:
            note("never")
        else:
            raise ValueError(note("from else"))
        finally:
            note("finally")
    except ValueError as error:
        return note(str(error))


def raise_in_finally():
    try:
        try:
            raise ValueError(note("first"))
        finally:
            raise KeyError(note("second"))
    except KeyError as error:
        return note(repr(error.__context__))


def generator():
    try:
        yield note(1)
        try:
            yield note(2)
        except ValueError as error:
            yield note(str(error))
        else:
            yield note("else")
        finally:
            yield note("inner finally")
    finally:
        note("outer finally")


events.append([raise_in_else(), raise_in_finally()])
events.append([v for v in generator()])
g = generator()
events.append([next(g), next(g), g.throw(ValueError(note("thrown"))), next(g), next(g, "end")])


def deep(n):
    try:
        if n == 0:
            raise ValueError(note("bottom"))
        return deep(n - 1)
    finally:
        note(("unwinding", n))


try:
    deep(4)
except ValueError as error:
    note(str(error))
try:
    try:
        raise SystemExit(note(3))
    finally:
        note("on the way out")
except SystemExit as error:
    note(error.code)
for attempt in range(3):
    try:
        if attempt < 2:
            raise ConnectionError(note(attempt))
        note("connected")
        break
    except ConnectionError:
        note("again")
else:
    note("never")

print("\n".join(map(repr, events)))
