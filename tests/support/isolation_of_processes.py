"""Isolation of what a process has: random streams, modules, the environment, options of libraries."""

from __future__ import annotations

from support.cases import Case, counted

RANDOM = [
    counted("the stream of random belongs to its branch",
            "import random\nrandom.seed(1)\nstream = [random.random() for _ in range(9)]\nrandom.seed(1)",
            "_ = random.random()", "print(stream.index(random.random()))"),
    counted("the old stream of numpy belongs to its branch",
            "import numpy as np\nnp.random.seed(1)\nstream = list(np.random.RandomState(1).random_sample(9))",
            "_ = np.random.random_sample()", "print(stream.index(np.random.random_sample()))"),
    counted("a numpy generator inside a function belongs to its branch",
            "import numpy as np\nstream = list(np.random.default_rng(1).random(9))\n"
            "def draw(rng=np.random.default_rng(1)): return rng.random()",
            "_ = draw()", "print(stream.index(draw()))"),
    counted("torch's stream belongs to its branch",
            "import torch\n_ = torch.manual_seed(1)\nstream = [float(torch.rand(1)) for _ in range(9)]\n"
            "_ = torch.manual_seed(1)",
            "_ = torch.rand(1)", "print(stream.index(float(torch.rand(1))))", needs="torch"),
    counted("the stream of C's rand belongs to its branch",
            "import ctypes\nlibc = ctypes.CDLL(None)\nlibc.srand(1)\n"
            "stream = [libc.rand() for _ in range(9)]\n_ = libc.srand(1)",
            "_ = libc.rand()", "print(stream.index(libc.rand()))"),
]  # fmt: skip

PROCESS = [
    counted("sys.path belongs to its branch",
            "import sys", "sys.path.append('/nowhere/at/all')", "print(sys.path.count('/nowhere/at/all'))"),
    Case(
        "os.environ belongs to its branch",
        "import os\nos.environ['SF_CASE'] = '0'", "os.environ['SF_CASE'] = '1'",
        "del os.environ['SF_CASE']",
        "print(os.environ.get('SF_CASE'))", "0", "1", "None",
    ),
    Case(
        "the environment of child processes belongs to its branch",
        "import os, subprocess\nos.environ['SF_CASE'] = '0'", "os.environ['SF_CASE'] = '1'",
        "os.environ['SF_CASE'] = '2'",
        "print(subprocess.check_output('echo $SF_CASE', shell=True, text=True).strip())", "0", "1", "2",
    ),
    Case(
        "the working directory belongs to its branch",
        "import os, tempfile\nos.chdir(tempfile.mkdtemp(dir='.'))\nos.mkdir('l'); os.mkdir('r')",
        "os.chdir('l')", "os.chdir('r')",
        "print(os.path.basename(os.getcwd()) if len(os.path.basename(os.getcwd())) == 1 else '-')", "-",
        "l", "r",
    ),
    Case(
        "the umask belongs to its branch",
        "import os\n_ = os.umask(0o22)", "_ = os.umask(0o77)", "_ = os.umask(0o27)",
        "m = os.umask(0); _ = os.umask(m); print(oct(m))", "0o22", "0o77", "0o27",
    ),
    Case(
        "imported modules belong to their branch",
        "import sys", "import ftplib", "import poplib",
        "print('ftplib' in sys.modules, 'poplib' in sys.modules)",
        "False False", "True False", "False True",
    ),
    Case(
        "a patched module belongs to its branch",
        "import string\nstring.mine = 0", "string.mine = 1", "string.mine = 2", "print(string.mine)", "0",
        "1", "2",
    ),
    Case(
        "a patched function of a module belongs to its branch",
        "import textwrap", "textwrap.dedent = lambda t: 'left'", "textwrap.dedent = lambda t: 'right'",
        "print(textwrap.dedent(' x'))", "x", "left", "right",
    ),
    counted("the globals of a user's own module belong to their branch",
            """
            import os, sys, tempfile
            _d = tempfile.mkdtemp(dir='.')
            with open(_d + '/sf_mine.py', 'w') as _f:
                _ = _f.write('n = 0\\ndef bump():\\n    global n\\n    n += 1\\n')
            sys.path.insert(0, os.path.abspath(_d))
            import sf_mine
            """,
            "sf_mine.bump()", "print(sf_mine.n)"),
    Case(
        "a patched builtin belongs to its branch",
        "import builtins\nbuiltins.sf_mine = 0", "builtins.sf_mine = 1", "builtins.sf_mine = 2",
        "print(sf_mine)",
        "0", "1", "2",
    ),
    Case(
        "options of pandas belong to their branch",
        "import pandas as pd\npd.set_option('display.precision', 3)",
        "pd.set_option('display.precision', 4)",
        "pd.set_option('display.precision', 5)", "print(pd.get_option('display.precision'))", "3", "4", "5",
        needs="pandas",
    ),
    Case(
        "print options of numpy belong to their branch",
        "import numpy as np\nnp.set_printoptions(precision=2)", "np.set_printoptions(precision=3)",
        "np.set_printoptions(precision=4)", "print(np.array([1 / 3]))", "[0.33]", "[0.333]", "[0.3333]",
    ),
    Case(
        "the decimal context belongs to its branch",
        "import decimal\ndecimal.getcontext().prec = 3", "decimal.getcontext().prec = 4",
        "decimal.getcontext().prec = 5", "print(decimal.Decimal(1) / 3)", "0.333", "0.3333", "0.33333",
    ),
    counted("filters of warnings belong to their branch",
            "import warnings", "warnings.filters.insert(0, ('ignore', None, UserWarning, None, 424242))",
            "print(sum(f[4] == 424242 for f in warnings.filters))"),
    Case(
        "the locale belongs to its branch",
        "import locale\n_ = locale.setlocale(locale.LC_TIME, 'C')",
        "_ = locale.setlocale(locale.LC_TIME, 'C.UTF-8')", "pass",
        "print(locale.setlocale(locale.LC_TIME))",
        "C", "C.UTF-8", "C",
    ),
    Case(
        "the time zone belongs to its branch",
        "import os, time\nos.environ['TZ'] = 'UTC'\ntime.tzset()",
        "os.environ['TZ'] = 'AAA-3'\ntime.tzset()", "os.environ['TZ'] = 'BBB+4'\ntime.tzset()",
        "print(time.localtime(0).tm_hour)", "0", "3", "20",
    ),
    Case(
        "levels of logging belong to their branch",
        "import logging\nlogging.getLogger('sf').setLevel(10)", "logging.getLogger('sf').setLevel(20)",
        "logging.getLogger('sf').setLevel(30)", "print(logging.getLogger('sf').level)", "10", "20", "30",
    ),
    Case(
        "a handler of a signal belongs to its branch",
        "import signal\n_ = signal.signal(signal.SIGUSR2, signal.SIG_DFL)",
        "_ = signal.signal(signal.SIGUSR2, signal.SIG_IGN)",
        "_ = signal.signal(signal.SIGUSR2, lambda *a: None)",
        "print(getattr(signal.getsignal(signal.SIGUSR2), 'name', 'a function'))",
        "SIG_DFL", "SIG_IGN", "a function",
    ),
    Case(
        "the recursion limit belongs to its branch",
        "import sys\nsys.setrecursionlimit(3000)", "sys.setrecursionlimit(4000)",
        "sys.setrecursionlimit(5000)",
        "print(sys.getrecursionlimit())", "3000", "4000", "5000",
    ),
    Case(
        "registered dialects of csv belong to their branch",
        "import csv", "csv.register_dialect('sf_l')", "csv.register_dialect('sf_r')",
        "print([d for d in csv.list_dialects() if d.startswith('sf')])", "[]", "['sf_l']", "['sf_r']",
    ),
    Case(
        "parameters of matplotlib belong to their branch",
        "import matplotlib as mpl\nmpl.rcParams['lines.linewidth'] = 1",
        "mpl.rcParams['lines.linewidth'] = 2",
        "mpl.rcParams['lines.linewidth'] = 3", "print(mpl.rcParams['lines.linewidth'])", "1.0", "2.0",
        "3.0",
        needs="matplotlib",
    ),
    Case(
        "the default type of torch belongs to its branch",
        "import torch\ntorch.set_default_dtype(torch.float32)", "torch.set_default_dtype(torch.float64)",
        "pass",
        "print(torch.ones(1).dtype)", "torch.float32", "torch.float64", "torch.float32", needs="torch",
    ),
    Case(
        "a limit on resources belongs to its branch",
        "import resource",
        "resource.setrlimit(resource.RLIMIT_NPROC, (9000, 90000))",
        "resource.setrlimit(resource.RLIMIT_NPROC, (8000, 90000))",
        "print(resource.getrlimit(resource.RLIMIT_NPROC)[0] in (8000, 9000) and "
        "resource.getrlimit(resource.RLIMIT_NPROC)[0])", "False", "9000", "8000",
    ),
]  # fmt: skip
