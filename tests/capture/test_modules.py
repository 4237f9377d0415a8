"""The user's modules travel by value, with their state; all others by reference."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from capture.differential import both, run, same
from stillframe.capture.values import dumps, loads


def write(folder: Path, name: str, text: str) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(textwrap.dedent(text))


PACKAGE = {
    "shop/__init__.py": "from . import prices\nfrom .prices import price\ncount = 0\n",
    "shop/prices.py": """
        from __future__ import annotations
        import shop
        table = {"pear": 3}
        log = []
        class Item:
            all = []
            def __init__(self, name):
                self.name = name
                Item.all.append(self)
        def price(name):
            shop.count += 1
            log.append(name)
            return table[name]
    """,
    "shop/deep/__init__.py": "",
    "shop/deep/down.py": "from .. import prices as up\nvalue = [1]\n",
}


@pytest.fixture
def package(tmp_path: Path) -> Path:
    for name, text in PACKAGE.items():
        write(tmp_path, name, text)
    return tmp_path


USE = """
import shop, shop.deep.down as down
from shop.prices import Item, price
import shop.prices as p
item = Item("pear")
price("pear"); p.table["fig"] = 9
"""
LOOK = """
import sys
print(price("fig"), shop.count, p.log, p is sys.modules["shop.prices"] is shop.prices is down.up, Item is p.Item)
print(Item.all == [item], price is shop.price, price.__globals__ is vars(p), down.value, shop.deep.down is down)
print(shop.__name__, shop.__path__ == sys.modules["shop"].__path__, p.__spec__.name, p.__package__, p.__file__[-9:])
print(p.__builtins__ is vars(__import__("builtins")), type(p.__loader__).__name__, [k for k in vars(p)])
import shop.deep
print(shop.deep is sys.modules["shop.deep"], sys.modules["__main__"].p is p)
"""


def test_packages_come_with_their_state_and_their_ties(package: Path) -> None:
    same(USE, LOOK, package)


def test_they_are_not_imported_again(package: Path) -> None:
    for name in PACKAGE:
        (package / name).write_text((package / name).read_text() + "\nprint('imported', __name__)\n")
    here, there = both(USE, "print(shop.count)", package)
    assert here == there == "1\n"
    for name in PACKAGE:
        (package / name).unlink()
    observation = package / "observation.py"
    from capture.differential import RESTORE

    assert run("-c", RESTORE, str(package / "captured"), str(observation), folder=package) == "1\n"


def test_a_program_started_with_m_knows_its_package(package: Path) -> None:
    same(
        "from . import prices\nfrom .prices import price\nprice('pear')\n",
        "from . import prices as again\nprint(again is prices, __spec__.name, __package__, prices.log, price('pear'))",
        package,
        module="shop.main",
    )


def test_a_module_is_there_before_its_contents(tmp_path: Path) -> None:
    same(
        """
        helpers = {"scale": 10}
        def scaled(x):
            return x * helpers["scale"] if "helpers" in globals() else x
        class Thing:
            def __getstate__(self):
                return {"x": self.x}
            def __setstate__(self, state):
                import __main__
                self.x = state["x"]
                self.again = __main__.scaled.__name__, Thing.__name__
        a = Thing(); a.x = 2
        a.again = "scaled", "Thing"
        """,
        "print(a.x, a.again, scaled(2))",
        tmp_path,
    )


def test_names_keep_their_order(tmp_path: Path) -> None:
    same(
        "z = 1\nimport os\ndef f(): pass\na = 2\nclass B: pass\n",
        "print([n for n in globals() if n[0] != '_' or n[:2] == '__'])",
        tmp_path,
    )


def test_an_import_in_a_function_still_works(package: Path) -> None:
    same(
        "import shop\ndef f():\n    import shop.prices as q, json\n    return q is shop.prices, json.dumps([1])\n",
        "print(f())",
        package,
    )


def test_installed_modules_are_imported_again(tmp_path: Path) -> None:
    same(
        "import json, email.message, collections.abc as abc, xml.dom\nm = email.message.Message()\nm['a'] = 'b'\n",
        "import sys; print(json is sys.modules['json'], json.loads('[1]'), m['a'], abc.__name__, xml.dom.Node.TEXT_NODE)",
        tmp_path,
    )


def test_nested_functions_of_installed_modules_come_by_value(tmp_path: Path) -> None:
    same(
        """
        import contextlib, functools, operator, collections
        @contextlib.contextmanager
        def manager(x):
            yield x
        getter = operator.itemgetter(1); caller = operator.methodcaller("upper")
        key = functools.cmp_to_key(lambda a, b: b - a)
        with manager(3) as seen:
            pass
        stack = contextlib.ExitStack(); stack.callback(print, "left")
        """,
        """
        with manager(4) as x:
            print(x, getter([1, 2]), caller("a"), sorted([1, 3, 2], key=key))
        stack.close()
        """,
        tmp_path,
    )


def test_a_module_of_another_class_keeps_it(tmp_path: Path) -> None:
    write(
        tmp_path,
        "lazy.py",
        """
        import sys, types
        class Lazy(types.ModuleType):
            @property
            def now(self):
                return self.base + 1
        base = 1
        sys.modules[__name__].__class__ = Lazy
        """,
    )
    same("import lazy\nlazy.base = 5\n", "print(lazy.now, type(lazy) is lazy.Lazy)", tmp_path)


def test_an_alias_in_sys_modules_is_the_same_module(package: Path) -> None:
    same(
        "import sys, shop\nsys.modules['boutique'] = shop\n",
        "import boutique; boutique.count = 7; print(boutique is shop, shop.count)",
        package,
    )


def test_exclusions_stay_behind(tmp_path: Path) -> None:
    program = """
    import socket
    from stillframe.capture.exclusions import exclude, excluded
    class Pool:
        pass
    pool = Pool(); pool.size, pool.sock = 3, socket.socket()
    handle = socket.socket()
    other = Pool(); other.sock = "mine"
    exclude("handle", "pool.sock")
    """
    from capture import differential

    before = differential.CAPTURE
    differential.CAPTURE = before.replace("whole_program=True", "whole_program=True, excluded=excluded()")
    try:
        _, there = both(
            program,
            "print('handle' in globals(), hasattr(pool, 'sock'), pool.size, other.sock)",
            tmp_path,
        )
    finally:
        differential.CAPTURE = before
    assert there == "False False 3 mine\n"


INSTALLED = """
class Wrapper:
    def __init__(self, inner): self.inner = inner
    def __getattr__(self, name): return getattr(self.inner, name)
class Needs:
    made = []
    def __new__(cls, x, *, y):
        self = super().__new__(cls); self.x = x; return self
class Free:
    count = 0
    def __new__(cls, *_, **__):
        cls.count += 1
        return super().__new__(cls)
class _Missing:
    def __init__(self): self.name = "MISSING"
MISSING = _Missing()
NOTHING = object()
def outer():
    def inner(x): return x, MISSING
    return inner
state = {"n": 1}
"""


def test_objects_of_installed_packages(tmp_path: Path) -> None:
    write(tmp_path, "site-packages/lib.py", INSTALLED)
    same(
        f"""
        import sys
        sys.path.insert(0, {str(tmp_path / "site-packages")!r})
        import lib
        wrapper, needs, free, missing, nothing = lib.Wrapper([1]), lib.Needs(1, y=2), lib.Free(), lib.MISSING, lib.NOTHING
        inner = lib.outer()
        class Mine(lib.Wrapper): pass
        mine = Mine({{}})
        """,
        """
        print(wrapper.append(2), wrapper.inner, needs.x, missing is lib.MISSING, nothing is lib.NOTHING, mine.items())
        print(inner(1)[1] is lib.MISSING, inner.__globals__ is vars(lib), lib.Free.count, type(free) is lib.Free)
        """,
        tmp_path,
    )


def test_a_class_that_only_native_code_can_make_is_refused(tmp_path: Path) -> None:
    import msgspec

    from stillframe.capture.explain import explain

    (found,) = explain({"cls": msgspec.defstruct("S", ["a"], module="__main__")}, "x")
    assert found.path == "x['cls']" and "only its metaclass StructMeta" in found.reason


@pytest.mark.parametrize("turn", [iter, reversed])
@pytest.mark.parametrize("view", ["keys", "items", "values"])
def test_an_iterator_over_the_modules_goes_on_over_those_that_were_there(
    view: str, turn: Callable[[Any], Iterator[Any]]
) -> None:
    dumps(turn(getattr(sys.modules, view)()))  # imports what that takes
    went = turn(getattr(sys.modules, view)())
    next(went)
    goes_on = loads(dumps(went))
    sys.modules["a module that came later"] = sys
    try:
        left = list(goes_on)
    finally:
        del sys.modules["a module that came later"]
    assert left == list(went) and type(goes_on) is type(went)
