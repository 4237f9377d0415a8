"""What belongs to the process: the same in a restored program as it was."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from capture import differential

CAPTURE = differential.CAPTURE.replace("_capture(None", "_capture(_state()").replace(
    "import pickle as _pickle",
    "from stillframe.capture.process_state import capture_process_state as _state\nimport pickle as _pickle",
)
RESTORE = differential.RESTORE.replace(
    "restore(Contents(data, [bytearray(part) for part in parts]))",
    "_, state = restore(Contents(data, [bytearray(part) for part in parts]))\n"
    "from stillframe.capture.process_state import restore_process_state\n"
    "notes = restore_process_state(state)",
)
PROGRAM = """
import decimal, gc, io, locale, logging, os, random, signal, sys, threading, warnings
random.seed(5); random.random()
decimal.getcontext().prec = 7; context = decimal.getcontext(); decimal.DefaultContext.prec = 11
class Only(logging.Filter):
    def filter(self, record): return "x" in record.getMessage()
class Mine(logging.Logger):
    def __init__(self, name): super().__init__(name); self.made = 1
buffer = io.StringIO()
handler = logging.StreamHandler(buffer); handler.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
log = logging.getLogger("a.b"); log.addHandler(handler); log.setLevel(10); log.addFilter(Only())
logging.setLoggerClass(Mine); mine = logging.getLogger("mine"); mine.made = 2; mine.disabled = True
logging.addLevelName(25, "NOTE"); logging.getLogger("quiet").propagate = False; logging.disable(5)
warnings.simplefilter("default")
def warn(): warnings.warn("seen", UserWarning)
warnings.showwarning = lambda m, c, f, l, file=None, line=None: shown.append(str(m))
shown = []
warn(); warn()
os.environ["STILL_TEST"] = "1"; os.environ.pop("HOME", None); os.umask(0o027)
os.makedirs("inner", exist_ok=True); os.chdir("inner")
sys.argv.append("more"); sys.path.append("/somewhere"); sys.setrecursionlimit(1500); sys.setswitchinterval(0.02)
sys.set_int_max_str_digits(5000)
def hook(*a): return "hooked"
sys.excepthook = hook; threading.excepthook = hook
def on_signal(*a): return 7
signal.signal(signal.SIGUSR1, on_signal); signal.signal(signal.SIGTERM, signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2]); signal.setitimer(signal.ITIMER_REAL, 900, 30)
gc.set_threshold(500, 6, 7); gc.disable()
path = sys.path
out = sys.stdout = io.StringIO(); print("into memory")
"""
CAPTURE = CAPTURE.replace('print("----")', 'sys.__stdout__.write("----\\n")')
LOOK = """
import decimal, gc, locale, logging, os, random, signal, sys, threading, warnings
same = sys.stdout is out; print("more"); written = out.getvalue(); sys.stdout = sys.__stdout__
print(same, written, random.random(), random.getstate()[1][:3])
print(decimal.Decimal(1) / 3, decimal.getcontext() is context, decimal.DefaultContext.prec)
log.debug("x1"); log.debug("y"); logging.getLogger("a.b.c").warning("x2"); print(buffer.getvalue())
print(mine is logging.getLogger("mine"), type(mine) is Mine, mine.made, mine.disabled, logging.getLevelName(25))
print(logging.getLogger("quiet").propagate, logging.root.manager.disable, logging.getLoggerClass() is Mine)
warn(); print(shown); warnings.warn("again"); print(shown, len(warnings.filters))
print(os.environ["STILL_TEST"], "HOME" in os.environ, oct(os.umask(0)), os.getcwd(), sys.argv[-1], sys.path[-1])
print(sys.getrecursionlimit(), sys.getswitchinterval(), sys.get_int_max_str_digits(), sys.path is path)
print(sys.excepthook is hook, threading.excepthook is hook, signal.getsignal(signal.SIGUSR1) is on_signal)
print(signal.getsignal(signal.SIGTERM), signal.pthread_sigmask(signal.SIG_BLOCK, []), gc.get_threshold(), gc.isenabled())
left, every = signal.setitimer(signal.ITIMER_REAL, 0); print(800 < left <= 900, every)
"""


def run_both(program: str, look: str, folder: Path) -> tuple[str, str]:
    (folder / "program.py").write_text(program + CAPTURE + look)
    (folder / "observation.py").write_text(look)
    captured = str(folder / "captured")
    here = differential.run("program.py", captured, folder=folder).split("----\n", 1)[1]
    there = differential.run("-c", RESTORE, captured, str(folder / "observation.py"), folder=folder)
    return here, there


def test_all_of_it_is_the_same(tmp_path: Path) -> None:
    here, there = run_both(PROGRAM, LOOK, tmp_path)
    assert len(here.splitlines()) > 10
    assert there == here, f"it was:\n{here}and is:\n{there}"


def test_what_cannot_be_restored_is_told(tmp_path: Path) -> None:
    program = "import os\nos.mkdir('gone')\nos.chdir('gone')\n"
    (tmp_path / "program.py").write_text(program + CAPTURE.replace("sys.__stdout__", "_sys.__stdout__"))
    (tmp_path / "observation.py").write_text("import sys; print(sys._getframe(1).f_globals['notes'])")
    differential.run("program.py", str(tmp_path / "captured"), folder=tmp_path)
    (tmp_path / "gone").rmdir()
    told = differential.run(
        "-c", RESTORE, str(tmp_path / "captured"), str(tmp_path / "observation.py"), folder=tmp_path
    )
    assert f"the program was in the folder {tmp_path}/gone, which cannot be entered here" in told


def test_it_imports_nothing_and_is_quick() -> None:
    script = """
import sys
from stillframe.capture import process_state
before = set(sys.modules)
state = process_state.capture_process_state()
assert set(sys.modules) == before, set(sys.modules) - before
"""
    done = subprocess.run([sys.executable, "-c", script], env=differential.environment(), check=False)
    assert done.returncode == 0
