"""What the code of a cell can ask of the kernel that runs it: a state inside the call, a choice, another branch.

    option = stillframe.choose(options)     each option is a branch of the cell's execution
    stillframe.reject()                     ends this branch; the next option of the newest choice is tried

Invariants:
  * A state process puts its kernel here before it runs any cell. Nothing here knows what a kernel is.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NoReturn, Protocol, TypeVar

from stillframe.errors import NotInCell

T = TypeVar("T")


class Kernel(Protocol):
    """What answers a cell. Each raises NotInCell unless it is called by the main thread of a running cell."""

    def check(self, call: str) -> None: ...
    def snapshot(self, name: str) -> Any: ...
    def choose(self, count: int) -> int: ...
    def reject(self) -> NoReturn: ...


kernel: Kernel | None = None
"""The kernel that runs this process's cells; None in every other process."""


def choose(options: Iterable[T]) -> T:
    """One of `options`: the first at first, and the next one each time that reject() comes back to this choice.

    In a kernel's cell each option is a branch of the execution: a process of its own, so whatever a rejected
    branch did to the program's objects, and what it put out, is not there in the next one. Newest choices are
    gone through first (depth first), and the execution ends with the first branch that ends without reject();
    `kernel.execute_all` collects all of them. No options: as reject(). One: it is returned at once.

    Raises NotInCell elsewhere, and StateUnreachable where the program has live threads and so cannot branch.
    Cost: a fork, and one for each further option that is tried.
    """
    asked = _kernel("choose()")
    found = list(options)
    if not found:
        asked.reject()
    return found[asked.choose(len(found)) if len(found) > 1 else 0]


def reject() -> NoReturn:
    """End this branch of the cell's execution: it leads nowhere. The newest choice goes on with its next option.

    The branch ends here: no `finally` and no `with` of it is left. Where no option is left anywhere, the
    execution fails with AllRejected. Raises NotInCell outside of a cell.
    """
    _kernel("reject()").reject()


def _kernel(call: str) -> Kernel:
    if kernel is None:
        raise NotInCell(f"{call} works in a cell that a kernel runs; this program runs in none.",
                        "Give the code to `kernel.execute` or `still execute`.")  # fmt: skip
    kernel.check(call)
    return kernel
