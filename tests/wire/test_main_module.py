"""A cell runs as __main__ in IPython: modules, pickles, sources, tracebacks, magics, repeatable numbers."""

from __future__ import annotations

import re

import pytest

from support.server import Server, result

NUMBERS = {
    "random, never seeded": "import random\nprint(random.random(), random.randint(0, 10**9))",
    "random, seeded before": "print(r.random())",
    "numpy's old stream, never seeded": "import numpy as np\nprint(np.random.rand(3))",
    "numpy's old stream, seeded before": "print(np.random.rand(3))",
    "a numpy generator": "print(rng.random(3))",
    "random.shuffle": "x = list(range(20)); random.shuffle(x); print(x)",
    "hashes of texts": "print(hash('text'), {'a', 'b', 'c', 'd'})",
    "C's rand": "import ctypes\nprint(ctypes.CDLL(None).rand())",
}


@pytest.fixture(scope="module")
def numbers(kernel: Server) -> str:
    setup = (
        "import random, numpy as np\nr = random.Random(1)\nrng = np.random.default_rng(2)\nnp.random.seed(3)"
    )
    return kernel.ok(setup, name="numbers")


@pytest.mark.parametrize("source", NUMBERS)
def test_the_same_cell_in_the_same_state_gives_the_same_numbers(
    kernel: Server, numbers: str, source: str
) -> None:
    first = kernel.printed(NUMBERS[source], numbers)
    kernel.ok(NUMBERS[source], numbers)
    assert {kernel.printed(NUMBERS[source], numbers) for _ in range(3)} == {first}


def test_unseeded_numbers_are_the_same_in_the_newest_and_in_an_older_state(kernel: Server) -> None:
    state = kernel.ok("import random")
    in_tip = kernel.printed("print(random.random())", state)
    assert kernel.printed("print(random.random())", state) == in_tip


def test_torchs_unseeded_numbers_are_the_same_in_every_branch(kernel: Server) -> None:
    pytest.importorskip("torch", reason="torch is not installed")
    state = kernel.ok("import torch")
    assert len({kernel.printed("print(torch.rand(2))", state) for _ in range(3)}) == 1


def test_the_name_is_main(kernel: Server) -> None:
    assert kernel.printed("print(__name__)") == "__main__\n"


def test_main_is_the_module_that_the_cells_run_in(kernel: Server) -> None:
    state = kernel.ok("x = 5")
    assert (
        kernel.printed("import __main__, sys\nprint(__main__.x, sys.modules['__main__'].x)", state) == "5 5\n"
    )


def test_the_main_guard_runs(kernel: Server) -> None:
    assert kernel.printed("if __name__ == '__main__': print('ran')") == "ran\n"


def test_a_users_class_pickles(kernel: Server) -> None:
    state = kernel.ok("class C:\n    def __init__(self, x): self.x = x\nc = C(3)")
    code = "import pickle\nd = pickle.loads(pickle.dumps(c))\nprint(d.x, type(d) is C, C.__module__)"
    assert kernel.printed(code, state) == "3 True __main__\n"


def test_a_dataclass_an_enum_and_a_namedtuple_pickle(kernel: Server) -> None:
    code = (
        "import pickle, enum, collections\nfrom dataclasses import dataclass\n@dataclass\nclass D: x: int\n"
        "class E(enum.Enum): A = 1\nN = collections.namedtuple('N', 'a')\n"
        "print(pickle.loads(pickle.dumps([D(1), E.A, N(2)])) == [D(1), E.A, N(2)])"
    )
    assert kernel.printed(code) == "True\n"


def test_the_source_of_a_function_is_found(kernel: Server) -> None:
    state = kernel.ok("def f(x):\n    # a comment\n    return x")
    code = "import inspect\nprint(inspect.getsource(f))"
    assert kernel.printed(code, state) == "def f(x):\n    # a comment\n    return x\n\n"
    assert kernel.printed(code, kernel.ok("y = 1", state)) == "def f(x):\n    # a comment\n    return x\n\n"


def test_the_source_of_a_function_is_that_of_its_branch(kernel: Server) -> None:
    state = kernel.ok("def f(): return 1")
    left = kernel.ok("def f(): return 2", state)
    code = "import inspect\nprint(inspect.getsource(f))"
    assert "return 1" in kernel.printed(code, state)
    assert "return 2" in kernel.printed(code, left)


def test_a_traceback_shows_the_users_lines_and_none_of_ours(kernel: Server) -> None:
    state = kernel.ok("def outer():\n    return inner()\n\ndef inner():\n    raise ValueError('deep')")
    text = "\n".join(kernel.fails("y = 1\nouter()  # called here", state)["traceback"])
    for line in ("outer()  # called here", "return inner()", "raise ValueError('deep')"):
        assert line in text
    assert "stillframe" not in text and "IPython" not in text and "exec(" not in text


@pytest.mark.parametrize(
    "code",
    [
        "1 / 0",
        "import json\njson.loads('{')",
        "await nothing",
        "x = (",
        "raise SystemExit(1)",
        "import nomod",
    ],
)
def test_no_traceback_names_a_file_of_ours(kernel: Server, code: str) -> None:
    text = "\n".join(kernel.fails(code)["traceback"])
    assert "stillframe" not in text and "IPython/" not in text


def test_a_traceback_that_the_user_prints_has_no_line_of_ours(kernel: Server) -> None:
    code = "import traceback\ntry: 1 / 0\nexcept ZeroDivisionError: print(traceback.format_exc())"
    text = kernel.printed(code)
    assert "1 / 0" in text and "stillframe" not in text and "IPython" not in text


def test_a_traceback_gives_the_line_number_in_the_cell(kernel: Server) -> None:
    text = re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(kernel.fails("x = 1\n\n\n1 / 0")["traceback"]))
    assert re.search(r"(line |----> |-> ?)4\b", text)


def test_a_chained_exception_shows_both(kernel: Server) -> None:
    code = "try: 1 / 0\nexcept ZeroDivisionError as e: raise ValueError('second') from e"
    text = "\n".join(kernel.fails(code)["traceback"])
    assert "ZeroDivisionError" in text and "second" in text


def test_top_level_await_works(kernel: Server) -> None:
    reply = kernel.run("import asyncio\nasync def f(): return 5\nawait asyncio.gather(f(), f())")
    assert result(reply) == "[5, 5]"


def test_magics_work(kernel: Server) -> None:
    assert kernel.run("%timeit -n1 -r1 1")["error"] is None
    assert kernel.printed("%%time\nprint(5)").startswith("5\n")
    assert kernel.printed("%%bash\necho from bash") == "from bash\n"


def test_a_captured_shell_command_is_a_list_of_lines(kernel: Server) -> None:
    assert kernel.printed("lines = !printf 'a\\nb\\n'\nprint(list(lines))") == "['a', 'b']\n"


def test_cd_and_env_magics_belong_to_their_branch(kernel: Server) -> None:
    state = kernel.ok("import os")
    kernel.ok("%cd /\n%env SF_MAGIC=1", state)
    assert kernel.printed("print(os.getcwd() == '/', os.environ.get('SF_MAGIC'))", state) == "False None\n"


def test_a_question_mark_shows_help(kernel: Server) -> None:
    reply = kernel.run("len?")
    assert reply["error"] is None
    assert "number of items" in str(reply["output"])


def test_the_last_results_are_underscores(kernel: Server) -> None:
    state = kernel.ok("40 + 1")
    assert kernel.printed("print(_ + 1)", state) == "42\n"


def test_get_ipython_is_there(kernel: Server) -> None:
    assert kernel.printed("print(get_ipython() is not None)") == "True\n"


def test_no_history_is_written(kernel: Server) -> None:
    assert kernel.printed("print(get_ipython().history_manager.enabled)") == "False\n"


def test_the_servers_token_is_not_in_a_cells_environment(kernel: Server) -> None:
    code = "import os, sys\nprint([k for k, v in os.environ.items() if 'a-token-of-the-tests' in v], sys.argv[1:])"
    assert kernel.printed(code) == "[] []\n"


def test_argv_and_executable_are_sensible(kernel: Server) -> None:
    code = "import sys, subprocess\nprint(subprocess.check_output([sys.executable, '-c', 'print(6)'], text=True))"
    assert kernel.printed(code) == "6\n\n"


def test_the_working_directory_is_the_servers_and_importable(kernel: Server) -> None:
    path = kernel.cwd / "sf_in_cwd.py"
    path.write_text("value = 7\n")
    try:
        assert kernel.printed("import os, sf_in_cwd\nprint(sf_in_cwd.value)") == "7\n"
        assert kernel.printed("import os\nprint(os.getcwd())") == f"{kernel.cwd}\n"
    finally:
        path.unlink()


def test_cells_run_in_the_main_thread(kernel: Server) -> None:
    code = "import threading\nprint(threading.current_thread() is threading.main_thread(), threading.active_count())"
    assert kernel.printed(code) == "True 1\n"


def test_multiprocessing_works_in_any_state(kernel: Server) -> None:
    state = kernel.ok("import multiprocessing as mp\ndef double(x): return 2 * x")
    code = "with mp.get_context('fork').Pool(2) as pool: print(pool.map(double, [1, 2]))"
    assert [kernel.printed(code, state) for _ in range(2)] == ["[2, 4]\n"] * 2


def test_a_parallel_fit_of_joblib_works_in_any_state(kernel: Server) -> None:
    pytest.importorskip("joblib", reason="joblib is not installed")
    state = kernel.ok("from joblib import Parallel, delayed")
    code = "print(Parallel(n_jobs=2, prefer='threads')(delayed(pow)(i, 2) for i in range(4)))"
    assert [kernel.printed(code, state) for _ in range(2)] == ["[0, 1, 4, 9]\n"] * 2
