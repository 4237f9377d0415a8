"""Resumes snapshots, each in a fork of this one process, which has imported stillframe and nothing else.

A request is one line of JSON on stdin, its answer one line on stdout:

    {"width": 2, "patience_s": 30, "jobs": [{"snapshot": path, "output": path, "value": 3, "environment": {}}]}
    [0, 1, null, -11]

The answer has each job's exit code, in order: negative if a signal ended it, null if its patience was over.
A job's streams are in `<output>.stdout` and `<output>.stderr`.

Invariants:
  * A fork resumes one snapshot as the process does that `still resume` makes, and ends as an interpreter ends.
  * This process never imports or runs anything of a snapshot.
"""

from __future__ import annotations

import json
import os
import runpy
import select
import signal
import sys
import time

import snap

from stillframe.capture import runner


def become(job: dict[str, object]) -> None:
    """Turn this fork into the process that resumes the job's snapshot."""
    os.setpgid(0, 0)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for descriptor, path, flags in (
        (0, os.devnull, os.O_RDONLY),
        (1, f"{job['output']}.stdout", os.O_WRONLY | os.O_CREAT | os.O_TRUNC),
        (2, f"{job['output']}.stderr", os.O_WRONLY | os.O_CREAT | os.O_TRUNC),
    ):
        opened = os.open(path, flags, 0o600)
        os.dup2(opened, descriptor)
        os.close(opened)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115  (the process's own)
    os.environ.update(job["environment"])
    sys.argv = ["still", str(job["snapshot"])]
    if job["value"] is not None:
        from stillframe.capture.values import dumps

        given = os.memfd_create("value")
        os.write(given, dumps(job["value"]))
        os.lseek(given, 0, os.SEEK_SET)
        sys.argv.append(str(given))


class Running:
    """One fork, its deadline, and a descriptor that is readable once it has ended."""

    def __init__(self, number: int, pid: int, patience_s: float) -> None:
        self.number, self.pid = number, pid
        self.deadline = time.monotonic() + patience_s
        self.ended = os.pidfd_open(pid)
        self.cut_short = False

    def code(self) -> int | None:
        os.close(self.ended)
        status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return None if self.cut_short else status


def resume_all(jobs: list[dict[str, object]], width: int, patience_s: float) -> list[int | None] | None:
    """The exit code of each job; in a fork, None: the caller is to become what it resumes."""
    codes: list[int | None] = [None] * len(jobs)
    waiting = list(enumerate(jobs))
    running: list[Running] = []
    while waiting or running:
        while waiting and len(running) < width:
            number, job = waiting.pop(0)
            pid = os.fork()
            if pid == 0:
                become(job)
                return None
            running.append(Running(number, pid, patience_s))
        left_s = max(0.0, min(one.deadline for one in running) - time.monotonic())
        poll = select.poll()
        for one in running:
            poll.register(one.ended, select.POLLIN)
        ended = {descriptor for descriptor, _ in poll.poll(left_s * 1000 + 1)}
        for one in list(running):
            if one.ended not in ended and time.monotonic() >= one.deadline:
                one.cut_short = True
                os.kill(one.pid, signal.SIGKILL)
            if one.ended in ended or one.cut_short:
                codes[one.number] = one.code()
                running.remove(one)
    return codes


def serve() -> bool:
    """Answer requests; false in a fork, true when there are no more."""
    while line := sys.stdin.readline():
        request = json.loads(line)
        codes = resume_all(request["jobs"], request["width"], request["patience_s"])
        if codes is None:
            return False
        print(json.dumps(codes), flush=True)
    return True


if __name__ == "__main__" and not serve():
    del sys.modules[runner.__name__]  # it is about to run as a program
    snap.put_under(os.environ.get("SNAP_UNDER"))
    runpy.run_module(runner.__name__, run_name="__main__", alter_sys=True)
