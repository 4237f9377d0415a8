"""Cells that are plain Python, run without the machinery that magics and awaits need.

IPython's run_cell touches some 450 memory pages, and after a fork each is copied when it is first written:
1.5 ms, and as much memory in every state. A cell that is plain Python, as most are, needs none of it.

Invariants:
  * A plain cell does here exactly what IPython's run_cell would do with it: the same names for its source,
    the same events, AST transformers, displayhook and `__future__` flags. Where that is not certain, the
    cell is not plain.
"""

from __future__ import annotations
import __future__

import ast
import functools
import operator
import re
import sys
from collections.abc import Callable
from types import CodeType
from typing import TYPE_CHECKING, Any

from IPython.core.interactiveshell import ExecutionInfo, ExecutionResult

if TYPE_CHECKING:
    from stillframe.engine.shell import Shell

_FIRST_WORD = re.compile(r"\s*([^\W\d]\w*)")
_NOT_SIMPLE = re.compile(r"\S\s*\n\s*\S|;|__future__|^\s*(?:@|(?:for|while|if|with|try|def|class|match)\b)")
"""What is not a single simple statement. (A prompt would show every value inside a loop's body.)"""
_FUTURE = functools.reduce(
    operator.or_, (getattr(__future__, feature).compiler_flag for feature in __future__.all_feature_names)
)
_UNFIT = (SyntaxError, ValueError, OverflowError, MemoryError, RecursionError)
WHOLE, BODY, VALUE = "whole", "body", "value"
"""The pieces of a cell: a simple statement that is the whole of it; all but a last expression; that."""
_MAY_AWAIT = re.compile(r"\b(?:await|async)\b")


def parse(shell: Shell, code: str, name: str) -> ast.Module | CodeType | None:
    """The cell's syntax tree, or None where IPython has to look at it: magics, awaits, errors, hooks.

    A single simple statement is compiled as at Python's own prompt, which shows what it must and needs no tree:
    another sixty pages less to copy.
    """
    traits = shell._trait_values  # themselves: to read a trait writes to a dozen pages
    if _MAY_AWAIT.search(code) or _is_hooked(shell, traits) or _may_be_automagic(shell, code):
        return None
    if _NOT_SIMPLE.search(code) is None and not traits["ast_transformers"]:
        try:
            compiled: CodeType = compile(code, name, "single", shell.compile.flags & _FUTURE, True)
            return compiled
        except _UNFIT:
            pass
    try:
        return ast.parse(code, name)
    except _UNFIT:
        return None


def _is_hooked(shell: Shell, traits: dict[str, Any]) -> bool:
    """Whether the program has asked IPython to transform its input."""
    manager = traits["input_transformer_manager"]
    counts = (len(manager.cleanup_transforms), len(manager.line_transforms), len(manager.token_transformers))
    return bool(traits["input_transformers_post"]) or counts != shell.transformer_counts


def _may_be_automagic(shell: Shell, code: str) -> bool:
    """Whether a single line begins with a word that IPython may take for a magic, as in `ls -l`."""
    if "\n" in code.strip():
        return False
    word = _FIRST_WORD.match(code)
    if word is None:
        return False
    name = word.group(1)
    if name in ("exit", "quit"):
        return True
    return name in shell.line_magics and name not in shell.user_ns


def run(shell: Shell, tree: ast.Module | CodeType, code: str, name: str) -> ExecutionResult:
    """Run a plain cell."""
    result = _result_of(shell, code)
    events = shell.events.callbacks
    try:
        if events["pre_execute"]:
            shell.events.trigger("pre_execute")
        if events["pre_run_cell"]:
            shell.events.trigger("pre_run_cell", result.info)
        _run_caught(shell, result, functools.partial(_run_parsed, shell, tree, name))
    finally:
        _tell_end(shell, result)
    return result


def _result_of(shell: Shell, code: str) -> ExecutionResult:
    result = ExecutionResult(ExecutionInfo(code, False, False, True, None, None, code))
    result.execution_count = shell.execution_count
    return result


def _tell_end(shell: Shell, result: ExecutionResult) -> None:
    events = shell.events.callbacks
    if events["post_execute"]:
        shell.events.trigger("post_execute")
    if events["post_run_cell"]:
        shell.events.trigger("post_run_cell", result)


def _run_caught(shell: Shell, result: ExecutionResult, run_code: Callable[[], None]) -> None:
    """Run a cell's code; what it raises is the result's, and shown."""
    __tracebackhide__ = "__ipython_bottom__"
    sys.displayhook = hook = shell.displayhook
    hook.exec_result = result
    try:
        run_code()
    except BaseException as error:  # the user's code may raise anything
        result.error_in_exec = error
        shell.showtraceback()
    finally:
        hook.exec_result = None
        shell.last_execution_succeeded = result.error_in_exec is None
        shell.last_execution_result = result


def _run_parsed(shell: Shell, parsed: ast.Module | CodeType, name: str) -> None:
    if isinstance(parsed, CodeType):
        shell.executed.append(parsed)
        shell.piece = WHOLE
        exec(parsed, shell.user_ns)
    else:
        _run_tree(shell, parsed, name)


def _run_tree(shell: Shell, tree: ast.Module, name: str) -> None:
    if shell.ast_transformers:
        tree = shell.transform_ast(tree)
    compiler: Any = shell.compile  # it remembers the `from __future__ import`s of earlier cells
    last = tree.body[-1] if tree.body else None
    if isinstance(last, ast.Expr):
        tree.body.pop()
    if tree.body:
        main = compiler(tree, name, "exec")
        shell.executed.append(main)
        shell.piece = BODY
        exec(main, shell.user_ns)
    if isinstance(last, ast.Expr):
        _show(shell, last, name)


def _show(shell: Shell, last: ast.Expr, name: str) -> None:
    compiler: Any = shell.compile
    value = compiler(ast.Expression(last.value), name, "eval")
    shell.executed.append(value)
    shell.piece = VALUE
    shell.displayhook(eval(value, shell.user_ns))


def go_on(shell: Shell, code: str, name: str, piece: str, run_frames: Callable[[], Any]) -> ExecutionResult:
    """Run the rest of a plain cell that was put down in the middle of `piece`: its frames, and what comes then."""
    result = _result_of(shell, code)
    try:
        _run_caught(shell, result, functools.partial(_run_rest, shell, code, name, piece, run_frames))
    finally:
        _tell_end(shell, result)
    return result


def _run_rest(shell: Shell, code: str, name: str, piece: str, run_frames: Callable[[], Any]) -> None:
    value = run_frames()
    if piece == VALUE:
        shell.displayhook(value)
    elif piece == BODY:
        tree = ast.parse(code, name)
        last = shell.transform_ast(tree).body[-1] if shell.ast_transformers else tree.body[-1]
        if isinstance(last, ast.Expr):
            _show(shell, last, name)
