"""IPython's shell as the place where cells run: no terminal, no history file, no threads.

Invariants:
  * What the shell shows goes through `Outputs`. What it reports of a failed cell is kept, not shown.
  * The namespace holds the user's variables and what IPython hides; `Out` does not keep results alive,
    only `_` does.
"""

from __future__ import annotations

import ast
import builtins
import getpass
import linecache
import operator
import os
import subprocess
import sys
import tokenize
import traceback
from collections.abc import Callable
from types import CodeType, TracebackType
from typing import Any, NoReturn

from IPython.core.compilerop import CachingCompiler
from IPython.core.completer import IPCompleter
from IPython.core.displayhook import DisplayHook
from IPython.core.displaypub import DisplayPublisher
from IPython.core.error import StdinNotImplementedError
from IPython.core.formatters import DisplayFormatter
from IPython.core.history import HistoryManager
from IPython.core.interactiveshell import ExecutionResult, InteractiveShell
from traitlets.config import Config

from stillframe.engine import plain
from stillframe.engine.streams import Outputs

_NO_INPUT = "this kernel cannot ask: no client can answer input(). Give the value in the code instead."
_IPYTHON_NAMES = frozenset(
    {"In", "Out", "_", "__", "___", "_i", "_ii", "_iii", "_ih", "_oh", "_dh", "_exit_code", "get_ipython",
     "exit", "quit", "open", "display"}
)  # fmt: skip
_PLAIN = frozenset({int, bool, str, bytes})
_PRINTERS = operator.itemgetter("type_printers")
_own_directories = tuple(
    os.path.dirname(os.path.abspath(module.__file__)) + os.sep
    for module in (sys.modules["IPython"], sys.modules["stillframe"])
    if module.__file__
)


class Publisher(DisplayPublisher):
    """display() and its relatives."""

    outputs: Outputs

    def publish(
        self,
        data: Any,
        metadata: Any = None,
        source: Any = None,
        *,
        transient: Any = None,
        update: Any = False,
        **options: Any,
    ) -> None:
        kind = "update_display_data" if update else "display_data"
        self.outputs.display(kind, data, metadata, (transient or {}).get("display_id"))

    def clear_output(self, wait: bool = False) -> None:
        self.outputs.clear(bool(wait))


class ResultHook(DisplayHook):
    """The value of a cell's last expression."""

    outputs: Outputs
    namespace: dict[str, Any]
    shell_traits: dict[str, Any]
    exec_result: ExecutionResult | None = None  # not a trait: see Shell

    def quiet(self) -> bool:
        """Whether the cell ends in `;`. Only a tail that could is tokenized."""
        info: Any = self.exec_result and self.exec_result.info
        cell = info.raw_cell if info is not None else ""
        tail = cell.rstrip()
        if tail.endswith(";"):
            return True
        if ";" not in tail.rpartition("\n")[2]:
            return False
        try:
            return bool(self.semicolon_at_end_of_expression(cell))
        except (tokenize.TokenError, SyntaxError):
            return False

    def update_user_ns(self, result: Any) -> None:
        namespace = self.namespace
        if "_" not in builtins.__dict__ and namespace.get("_", self._) is self._:
            self._ = namespace["_"] = result

    def __call__(self, result: Any = None) -> None:
        if result is None or self.quiet():
            return
        data, metadata = self.shell_traits["display_formatter"].format(result)
        self.update_user_ns(result)
        if self.exec_result is not None:
            self.exec_result.result = result
        if data:
            self.outputs.display("execute_result", data, metadata)


class Formatter(DisplayFormatter):
    """IPython's, but that what has only a repr is shown by it at once (a hundred pages less to copy), and it
    sets the rows and columns shown of data frames once, when the library is there; then they are the
    user's to change."""

    frame_limits: tuple[int, int, int] = (200, 100, 128)

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._is_set: set[str] = set()
        self._modules = 0
        """How many modules there were when each library that is there was set."""
        printers = self.formatters["text/plain"].type_printers
        self._reprs = {kind: printers.get(kind) for kind in _PLAIN}
        # Their type_printers, as the program may replace them. To read a trait writes to a dozen pages.
        self._text = self.formatters["text/plain"]._trait_values
        self._others = [
            formatter._trait_values
            for kind, formatter in self.formatters.items()
            if kind != "text/plain" and formatter.type_printers is not None
        ]

    def format(self, obj: Any, include: Any = None, exclude: Any = None) -> Any:
        self.set_frame_limits()
        if include is None and exclude is None and self.shows_plainly(type(obj)):
            return {"text/plain": repr(obj)}, {}
        return super().format(obj, include=include, exclude=exclude)

    def shows_plainly(self, kind: type) -> bool:
        """Whether values of a type have their repr and nothing else: nobody has registered more for it."""
        if kind not in _PLAIN or self._text["type_printers"].get(kind) is not self._reprs[kind]:
            return False
        return not any(map(_PRINTERS, self._others)) or not any(kind in _PRINTERS(of) for of in self._others)

    def set_frame_limits(self) -> None:
        modules = len(sys.modules)
        if modules == self._modules:
            return
        rows, columns, width = self.frame_limits
        for name in ("pandas", "polars"):
            module = sys.modules.get(name)
            if module is None or name in self._is_set:
                continue
            if name == "pandas" and hasattr(module, "set_option"):
                for option, value in (("rows", rows), ("columns", columns), ("colwidth", width)):
                    module.set_option(f"display.max_{option}", value)
            elif name == "polars" and hasattr(module, "Config"):
                module.Config.set_tbl_rows(rows).set_tbl_cols(columns).set_fmt_str_lengths(width)
            else:  # still being imported
                modules = 0
                continue
            self._is_set.add(name)
        self._modules = modules


class Compiler(CachingCompiler):
    """Names cells by their number, which is unique in a lineage; a cell run inside a cell by its content."""

    def get_code_name(self, raw_code: str, transformed_code: str, number: int) -> str:
        name = f"<ipython-input-{number}>"
        return super().get_code_name(raw_code, transformed_code, number) if name in linecache.cache else name

    def keep(self, code: str, name: str, number: int) -> None:
        """What cache() does, for a cell whose name is known."""
        self._filename_map[name] = number
        lines = [line + "\n" for line in code.splitlines()]
        linecache.cache[name] = (len(code), None, lines, name)


class Shell(InteractiveShell):
    """Runs cells; `executed` and `failure` say of the last one what ran and how it failed.

    What each cell sets is no trait here, as it is in IPython: a trait that is set writes to fifty pages.
    """

    compiler_class: Any = Compiler
    execution_count: int = 1
    last_execution_result: ExecutionResult | None = None
    last_execution_succeeded: bool = True
    compile: Compiler
    formatter: Formatter
    inputs: list[str]
    line_magics: dict[str, Any]
    transformer_counts: tuple[int, int, int]
    executed: list[CodeType]
    piece: str = ""
    """Which piece of a plain cell runs."""
    failure: tuple[BaseException, list[str]] | None

    def init_io(self) -> None:
        """Standard streams are ours already."""

    def enable_gui(self, gui: Any = None) -> None:
        """There is no screen; `%matplotlib inline` needs no more than this."""

    def ask_exit(self) -> NoReturn:
        """`exit` and `quit` in a cell."""
        raise SystemExit

    def system(self, cmd: str) -> None:
        """`!cmd`: its output goes where the program's goes, in order; an interrupt ends it, and the cell."""
        with subprocess.Popen(self.var_expand(cmd, depth=1), shell=True) as process:
            try:
                self.user_ns["_exit_code"] = process.wait()
            except BaseException:
                process.kill()
                raise

    def run_next(self, code: str) -> ExecutionResult:
        """Run the next numbered cell. `In` remembers it; IPython's `_i1`, `_i2`, ... would be in the
        namespace for ever, so its own book-keeping stays off."""
        self.inputs.append(code)
        self.user_ns.pop("__warningregistry__", None)  # IPython does it by an event
        try:
            name = self.compile.get_code_name(code, code, self.execution_count)
            tree = plain.parse(self, code, name)
            if tree is not None:
                self.compile.keep(code, name, self.execution_count)
                return plain.run(self, tree, code, name)
            result: ExecutionResult = self.run_cell(code, store_history=False)
            if type(result.error_before_exec).__name__ == "_IncompleteInputError":
                self._name_what_is_missing(result, code)
            return result
        finally:
            self.execution_count += 1

    def go_on(self, name: str, piece: str, run_frames: Callable[[], Any]) -> ExecutionResult:
        """Run the rest of the cell that was begun last, from the middle of a piece of it."""
        try:
            return plain.go_on(self, self.inputs[-1], name, piece, run_frames)
        finally:
            self.execution_count += 1

    def _name_what_is_missing(self, result: ExecutionResult, code: str) -> None:
        """From 3.13 on IPython asks the compiler whether more lines may come. None will: say what is wrong."""
        try:
            ast.parse(self.transform_cell(code), self.compile.get_code_name(code, code, self.execution_count))
        except SyntaxError as error:
            result.error_before_exec = error
            self.failure = (error, self._report(type(error), error, None))

    async def run_code(
        self, code_obj: CodeType, result: ExecutionResult | None = None, *, async_: bool = False
    ) -> bool:
        """Run one piece of a cell. Whatever it raises ends the cell, and nothing else."""
        __tracebackhide__ = "__ipython_bottom__"
        self.executed.append(code_obj)
        try:
            if async_:
                await eval(code_obj, self.user_global_ns, self.user_ns)
            else:
                exec(code_obj, self.user_global_ns, self.user_ns)
        except BaseException as error:  # the user's code may raise anything
            if result is not None:
                result.error_in_exec = error
            self.showtraceback()
            return True
        return False

    def showtraceback(self, exc_tuple: Any = None, *arguments: Any, **options: Any) -> None:
        """Keep the report. One that is not the cell's failure (a repr that raised) is shown."""
        self._show_failure()
        _, value, trace = exc_tuple or sys.exc_info()
        if value is not None:
            self.failure = (value, self._report(type(value), value, trace))

    def showsyntaxerror(self, *arguments: Any, **options: Any) -> None:
        self.showtraceback()

    def showindentationerror(self) -> None:
        self.showtraceback()

    def _show_failure(self) -> None:
        if self.failure is not None:
            print("\n".join(self.failure[1]), file=sys.stderr)
            self.failure = None

    def failed(self, error: BaseException) -> tuple[str, str, list[str]]:
        """The report of the cell's failure as ename, evalue and traceback lines."""
        if self.failure is None or self.failure[0] is not error:
            self._show_failure()
            self.failure = (error, self._report(type(error), error, error.__traceback__))
        lines = self.failure[1]
        self.failure = None
        evalue = "" if isinstance(error, KeyboardInterrupt) else _text_of(error)
        return type(error).__name__, evalue, lines

    def finished(self) -> None:
        """The cell did not fail: what was reported meanwhile is an output."""
        self._show_failure()

    def _report(
        self, kind: type[BaseException], value: BaseException, trace: TracebackType | None
    ) -> list[str]:
        try:
            if isinstance(value, SyntaxError):
                lines = self.SyntaxTB.structured_traceback(kind, value, None)
            elif hasattr(value, "_render_traceback_"):
                lines = value._render_traceback_()
            elif _holds_group(value) or isinstance(value, RecursionError):
                lines = traceback.format_exception(kind, value, _users(trace))
            else:
                lines = self.InteractiveTB.structured_traceback(kind, value, _users(trace), tb_offset=0)
        except BaseException:  # the exception's own methods are user code
            lines = [f"{kind.__name__}: its traceback could not be made"]
        return "\n".join(map(str, lines)).split("\n")


def is_ipythons(code: CodeType) -> bool:
    """Whether it is IPython's."""
    return code.co_filename.startswith(_own_directories[0])


def is_own_code(code: CodeType) -> bool:
    """Whether it is IPython's or ours, and not the program's."""
    return code.co_filename.startswith(_own_directories)


def _users(trace: TracebackType | None) -> TracebackType | None:
    """A traceback without the frames of IPython and of ours that led to the user's code."""
    while trace is not None and is_own_code(trace.tb_frame.f_code):
        trace = trace.tb_next
    return trace


def _holds_group(error: BaseException | None) -> bool:
    seen = set()
    while error is not None and id(error) not in seen:
        if isinstance(error, BaseExceptionGroup):
            return True
        seen.add(id(error))
        error = error.__context__
    return False


def _text_of(error: BaseException) -> str:
    try:
        return str(error)
    except BaseException as raised:  # a user's __str__
        return f"<str() of the exception raised {type(raised).__name__}>"


def start(outputs: Outputs, frame_limits: tuple[int, int, int]) -> Shell:
    """Make this process's shell, with `__main__` as its namespace."""
    config = Config()
    config.HistoryManager.enabled = False
    config.HistoryManager.hist_file = ":memory:"
    config.InteractiveShell.cache_size = 0
    config.InteractiveShell.colors = "nocolor"
    config.InteractiveShell.autocall = 0
    config.InteractiveShell.xmode = "Context"
    config.IPCompleter.use_jedi = False
    Publisher.outputs = ResultHook.outputs = outputs
    Formatter.frame_limits = frame_limits
    shell = Shell.instance(
        config=config,
        display_pub_class=Publisher,
        displayhook_class=ResultHook,
        user_ns=None,
    )
    assert isinstance(shell, Shell)
    assert isinstance(shell.Completer, IPCompleter)
    assert isinstance(shell.history_manager, HistoryManager)
    shell.formatter = shell.display_formatter = Formatter(parent=shell)
    shell.inputs = shell.history_manager.input_hist_parsed
    ResultHook.namespace = shell.user_ns
    ResultHook.shell_traits = shell._trait_values
    shell.line_magics = shell.magics_manager.magics["line"]
    # IPython's own, of which nothing is needed here.
    for callbacks in shell.events.callbacks.values():
        callbacks.clear()
    shell.executed, shell.failure = [], None
    manager = shell.input_transformer_manager
    for trait in ("ast_transformers", "input_transformers_post"):  # made when first read
        getattr(shell, trait)
    shell.transformer_counts = (
        len(manager.cleanup_transforms),
        len(manager.line_transforms),
        len(manager.token_transformers),
    )
    # For good, not for each cell: the builtins and the displayhook of this process are the shell's.
    shell.builtin_trap.__enter__()
    shell.display_trap.__enter__()
    shell.user_module.__dict__.pop("__file__", None)
    builtins.input = getpass.getpass = _refuse_input
    linecache.clearcache()
    return shell


def _refuse_input(prompt: object = "", *arguments: Any, **options: Any) -> NoReturn:
    if prompt:
        print(prompt)
    raise StdinNotImplementedError(_NO_INPUT)


def variable_names(shell: Shell) -> list[str]:
    """The user's variables, in the order in which they were made."""
    return [name for name, value in shell.user_ns.items() if is_variable(shell, name, value)]


def is_variable(shell: Shell, name: object, value: object) -> bool:
    """Whether a name of the namespace is the user's: not IPython's, not Python's own."""
    if not isinstance(name, str) or (name.startswith("__") and name.endswith("__")):
        return False
    if name not in _IPYTHON_NAMES:
        return not (name.startswith("_i") and name[2:].isdigit())
    if name.startswith("_") or name in ("In", "Out"):
        return False
    # `open`, `exit`, `display`, ... as long as they are what IPython put there.
    return shell.user_ns_hidden.get(name, _ABSENT) is not value


_ABSENT = object()
