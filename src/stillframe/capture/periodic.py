"""Captures of a program that knows nothing of them: made by a thread of our own, at intervals and on signals.

    wait ──► fork a copy in which all threads stand still ──► it pickles, writes, answers ──► wait
      ▲               │ not just now
      └── a pause ◄───┘ until the next point at which the main thread is between two instructions

Invariants:
  * The program stops for a fork and no longer; only a signal that ends it holds it until the copy has written.
  * The thread is not among `threading.enumerate()`, takes no signals, and runs none of the program's code.
  * The last good snapshot stays until a newer one is safe on disk. It is the program that puts a file in its place,
    never a copy: when the program is dead, the snapshot is the one that whoever resumes it will find.
  * What keeps captures from being made is said on standard error, once as long as it is the same.
  * When the program has ended well the file is removed: nothing is left to resume.
"""

from __future__ import annotations

import _thread
import atexit
import fcntl
import os
import re
import resource
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable
from contextlib import suppress

import msgspec

from stillframe.capture import blocking, snapshot, standing, threads
from stillframe.capture.ending import exit_code_of
from stillframe.capture.modules import is_installed_file
from stillframe.capture.pace import Pace
from stillframe.capture.pickler import load_reducers
from stillframe.capture.regime import ENDING, Regime
from stillframe.capture.text_state import is_known
from stillframe.errors import CannotCapture
from stillframe.frames import _frames

_QUIT = 0
_FIRST_PATIENCE_S = 0.002
_LONGEST_PATIENCE_S = 0.1
"""How long the next point is waited for. The program is slower meanwhile, so nine times as long it is left alone."""
_LEAST_TRY_S = 3.0
"""How long a capture is tried at least before it is said that it could not be made."""
_DOUBT_S = 0.05
"""How long after a capture that has failed it is tried once more."""
_LAST_CHANCE_S = 5.0
"""How long a program that a signal ends is kept for its capture."""
_FIRST_LIMIT_S = 60
"""What a copy may take; twice as much after each that took longer."""


_FORK_WARNING = ("ignore", re.compile("This process .* is multi-threaded"), DeprecationWarning, None, 0)


class Periodic:
    """The captures of this process's program, under one regime."""

    def __init__(self, regime: Regime) -> None:
        self.regime = regime
        self.exit_code: int | None = None
        """Of the main thread, once it has ended."""
        self._requests: list[int] = []
        self._limit_s = _FIRST_LIMIT_S
        self._moment_s = 0.0
        """When the last copy was forked, or a little before."""
        self._said = ""
        self._is_told = False
        self._captures = 0
        self._made = snapshot.beside(regime.to, "run")
        """Where copies write."""
        self._process_id = os.getpid()
        self._over = _thread.allocate_lock()
        self._terminal = _identity(2)

    # ---- In the program's main thread

    def start(self) -> None:
        """Begin to capture. Before the program starts any thread."""
        # What copies need is here before the first, and not found out in each.
        load_reducers()
        is_installed_file("")
        is_known()
        self._wakes, self._waker = (_out_of_the_way(end) for end in os.pipe())
        os.set_blocking(self._wakes, False)
        _frames.tell_signals(list(self.regime.signals), self._waker)
        self._over.acquire()
        # What is registered first is called last: behind all that the program does at its exit.
        atexit.register(self._finish)
        if sys.version_info >= (3, 12):
            os.register_at_fork(before=_hide, after_in_child=_show)
        before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            _thread.start_new_thread(self._live, ())
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def to_its_end(self, run: Callable[[], int]) -> int:
        """Run the program's main thread. Returns its exit code, or lets pass what it raises to end."""
        try:
            self.exit_code = run()
        except SystemExit as request:
            self.exit_code = exit_code_of(request.code)
            raise
        except BaseException:
            self.exit_code = 128 + signal.SIGINT
            raise
        return self.exit_code

    def _finish(self) -> None:
        """The program has ended, with its threads and its exit handlers."""
        if self._process_id != os.getpid():
            return
        with suppress(OSError):
            os.write(self._waker, bytes([_QUIT]))
        self._over.acquire(timeout=_LAST_CHANCE_S)
        snapshot.remove(self._made)
        if self.exit_code == 0 and not self.regime.is_kept:
            snapshot.remove(self.regime.to)
        elif self._captures and not (self.exit_code == 0 and self.regime.is_quiet):
            with suppress(Exception):
                sys.stdout.flush()
            self._say(f"the program ended with exit code {self.exit_code}; its last snapshot stays: "
                      f"still resume {self.regime.shown()}")  # fmt: skip

    # ---- In our own thread

    def _live(self) -> None:
        threads.HIDDEN.add(_thread.get_ident())
        try:
            self._capture_until_quit()
        except BaseException as error:  # noqa: BLE001  the program must not see a thread of ours fail
            self._say(f"captures have stopped: {type(error).__name__}: {error}. Please report this.")
        finally:
            self._over.release()

    def _capture_until_quit(self) -> None:
        every_s = self.regime.every_s
        pace = None if every_s is None else Pace(every_s, time.monotonic())
        while True:
            if not self._requests:
                self._wait(None if pace is None else pace.due_s - time.monotonic())
            if _QUIT in self._requests:
                return
            number = self._requests.pop(0) if self._requests else 0
            began_s = time.monotonic()
            if number == 0 and (pace is None or began_s < pace.due_s):
                continue
            is_made = self._capture(number, until_s=None if every_s is None else began_s + every_s)
            if pace is None:
                continue
            if is_made:
                pace.made(began_s, self._moment_s, time.monotonic())
            else:
                pace.failed(began_s, time.monotonic())

    def _wait(self, patience_s: float | None) -> None:
        """Wait for a request, or for the time to pass."""
        patience_s = None if patience_s is None else max(0.0, patience_s)
        said = _frames.requests(self._wakes, -1.0 if patience_s is None else patience_s)
        if said is None:
            # The program has closed all descriptors, ours too: intervals go on, signals are not heard.
            time.sleep(1.0 if patience_s is None else patience_s)
        else:
            self._requests += said

    def _capture(self, number: int, until_s: float | None) -> bool:
        """Capture, now or at the next point at which it can be done, if that comes before `until_s`. Returns whether
        that has been done."""
        is_last = number in ENDING
        now_s = time.monotonic()
        limit_s = now_s + _LAST_CHANCE_S if is_last else max(until_s or 0.0, now_s + _LEAST_TRY_S)
        patience_s, pause_s = _FIRST_PATIENCE_S, 0.0
        is_doubted = True
        # A thread lets go of the interpreter within calls of the kernel: otherwise it would be met there.
        _frames.wait_for_point(patience_s, blocking.NotNow.most_calls)
        while True:
            verdict, text = self._attempt(number if is_last else 0)
            is_over = verdict == standing.DONE or (verdict == standing.FAILED and not is_doubted)
            if is_over or time.monotonic() >= limit_s or self._is_urgent():
                break
            if verdict == standing.FAILED:
                # What cannot be captured may be an object of the moment: the second time it is believed.
                is_doubted = False
                self._wait(_DOUBT_S)
                continue
            self._wait(pause_s)
            self._come_to_a_point(text, patience_s)
            pause_s, patience_s = 9 * patience_s, min(2 * patience_s, _LONGEST_PATIENCE_S)
        if verdict == standing.DONE:
            self._succeeded(msgspec.json.decode(text, type=standing.Report))
        elif not self._is_urgent():
            self._failed(verdict, text.decode(errors="replace"), is_last=is_last)
        if is_last:
            _frames.end_by_signal(number)
        return verdict == standing.DONE

    def _come_to_a_point(self, text: bytes, patience_s: float) -> None:
        """Give the thread that was in the way the time to come to a point at which it can be captured."""
        ident, most_calls = map(int, text.split(None, 2)[:2])
        if ident in (0, threading.main_thread().ident):
            _frames.wait_for_point(patience_s, most_calls)
            return
        with suppress(LookupError):
            _frames.meet(ident, patience_s)

    def _is_urgent(self) -> bool:
        """Whether the program is to end: what is under way is given up."""
        return _QUIT in self._requests or not ENDING.isdisjoint(self._requests)

    def _attempt(self, number: int) -> tuple[bytes, bytes]:
        """One copy: its verdict and what it says. With the `number` of a signal the program does not go on before the
        copy has written, and ends by that signal then."""
        began_s = time.monotonic()
        try:
            said = self._said_by_copy(number)
        except OSError as error:
            _frames.leave_point()
            return standing.FAILED, f"no copy of the process can be made: {error.strerror}.".encode()
        if said:
            return self._in_place(said[:1], said[1:])
        if time.monotonic() - began_s >= self._limit_s:
            self._limit_s *= 2
            return standing.FAILED, b"a capture took longer than it may. The next may take twice as long."
        why = f"0 {blocking.NotNow.most_calls} the copy of the process that was to be captured ended without a word"
        return standing.NOT_NOW, why.encode()

    def _said_by_copy(self, number: int) -> bytes:
        """A copy from its beginning to its end."""
        _show()
        self._moment_s = time.monotonic()
        facts = standing.before(self.exit_code)
        blocking.read_waits()
        made, to = os.fsencode(self._made), os.fsencode(self.regime.to)
        try:
            pid, ended, answer, first = _frames.fork_aside(self._limit_s, _least(), number, made, to)
            if pid == 0:
                standing.answer(answer, self._made, self.regime, facts)
        finally:
            _frames.leave_point()
        said = bytearray(standing.LONGEST_ANSWER_BYTES)
        while (length := _frames.copy_said(pid, ended, answer, self._wakes, said)) < 0:
            self._wait(0.0)
            if self._is_urgent():
                with suppress(ProcessLookupError):
                    signal.pidfd_send_signal(ended, signal.SIGKILL)
        return (bytes([first]) if first else b"") + said[:length]

    def _in_place(self, verdict: bytes, text: bytes) -> tuple[bytes, bytes]:
        """The verdict; if it is good, the file is now where it belongs."""
        if verdict == standing.DONE:
            try:
                snapshot.put_in_place(self._made, self.regime.to)
            except CannotCapture as error:
                return standing.FAILED, str(error).encode()
        return verdict, text

    # ---- What is said

    def _succeeded(self, report: standing.Report) -> None:
        self._captures += 1
        if self._said:
            self._said = ""
            self._say("the program is captured again.")
        if not self._is_told and not self.regime.is_quiet:
            self._is_told = True
            every_s = self.regime.every_s
            again = "" if every_s is None else f", from now on every {every_s:g} s"
            self._say(
                f"captured in {self.regime.shown()}{again}. After a crash: still resume {self.regime.shown()}"
            )

    def _failed(self, verdict: bytes, why: str, *, is_last: bool) -> None:
        if verdict == standing.NOT_NOW:
            why = why.split(None, 2)[2]
            why = f"the program could not be captured, it goes on ({why}). The next try is at the next interval."
        if is_last:
            why = f"the program ends without a last capture: {why}"
        if why != self._said:
            self._said = why
            self._say(why)

    def _say(self, text: str) -> None:
        """A line on standard error, past the program's own objects; nothing if it has another one by now."""
        if _identity(2) == self._terminal is not None:
            with suppress(OSError):
                os.write(2, f"still: {text}\n".encode())


def _hide() -> None:
    """A program that has one thread of its own is not told, by `os.fork`, that it has several. It would be told behind
    the last hook for forks, so that the filter stays until the next capture or fork."""
    _show()
    if len(_frames.thread_ids()) == 2:
        # Not by filterwarnings(), which has all other warnings be shown once more.
        warnings.filters.insert(0, _FORK_WARNING)  # type: ignore[attr-defined]


def _show() -> None:
    with suppress(ValueError):
        warnings.filters.remove(_FORK_WARNING)  # type: ignore[attr-defined]


def _identity(descriptor: int) -> tuple[int, int] | None:
    try:
        found = os.fstat(descriptor)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _out_of_the_way(descriptor: int) -> int:
    """The same, with a high number: the program's own files get the numbers that they would have."""
    moved = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, _least())
    os.close(descriptor)
    return moved


def _least() -> int:
    """The least number of a descriptor of ours."""
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if soft == resource.RLIM_INFINITY or soft > 1 << 12:
        soft = 1 << 12
    return max(3, soft - 32)


__all__ = ["Periodic", "Regime"]
