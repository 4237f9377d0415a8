"""Between two hosts: network namespaces with a cable between them and a sshd of our own in each."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import sshd


def ip(*words: str) -> bool:
    return subprocess.run(["ip", *words], capture_output=True, check=False).returncode == 0


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """The namespace of host `alpha`, and the folder with the ssh that knows `alpha` and `beta`."""
    if sshd.SSHD is None or shutil.which("ssh") is None:
        pytest.skip(sshd.WHY_NOT)
    names = [f"sf-alpha-{os.getpid()}", f"sf-beta-{os.getpid()}"]
    cable = [f"sfa{os.getpid()}"[:15], f"sfb{os.getpid()}"[:15]]
    place = tmp_path_factory.mktemp("hosts")
    with ExitStack() as stack:
        for name in names:
            if os.geteuid() != 0 or shutil.which("ip") is None or not ip("netns", "add", name):
                pytest.skip("no network namespaces for us here (root and iproute2)")
            stack.callback(ip, "netns", "delete", name)
        assert ip(
            "link", "add", cable[0], "netns", names[0], "type", "veth", "peer", cable[1], "netns", names[1]
        )
        for number, name in enumerate(names):
            assert ip("-n", name, "address", "add", f"10.254.7.{number + 1}/30", "dev", cable[number])
            assert ip("-n", name, "link", "set", cable[number], "up")
            assert ip("-n", name, "link", "set", "lo", "up")
        sshd.make_keys(place)
        tools = sshd.make_ssh(place, {"alpha": ("10.254.7.1", 2201), "beta": ("10.254.7.2", 2202)})
        for number, name in enumerate(names):
            within = ["ip", "netns", "exec", name]
            address = f"10.254.7.{number + 1}"
            stack.enter_context(sshd.running(place, address, 2201 + number, within, f"sshd{number}"))
        yield names[0], tools


PROGRAM = """
import os, sys
import stillframe.teleport
places = []
def where():
    return os.stat("/proc/self/ns/net").st_ino
def trip(to):
    held = [to]
    stillframe.teleport(to, python=sys.executable)
    places.append(where())
    return held is not None and held[0]
start = where()
print([trip(to) for to in ("ssh://beta", "ssh://alpha", "ssh://beta", "ssh://alpha")])
print([place == start for place in places], sys.stdin.read().strip(), flush=True)
sys.exit(21)
"""


def test_a_program_goes_there_and_back_and_there_again_with_its_streams(
    hosts: tuple[str, Path], tmp_path: Path
) -> None:
    namespace, tools = hosts
    (tmp_path / "program.py").write_text(PROGRAM)
    done = subprocess.run(
        ["ip", "netns", "exec", namespace, sys.executable, str(tmp_path / "program.py")],
        env=dict(os.environ, PATH=f"{tools}:{os.environ['PATH']}"),
        input="typed at the start\n",
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.stdout == (
        "['ssh://beta', 'ssh://alpha', 'ssh://beta', 'ssh://alpha']\n[False, True, False, True] typed at the start\n"
    ), done.stderr
    assert done.returncode == 21


def test_a_cable_that_is_pulled_ends_both_sides(hosts: tuple[str, Path], tmp_path: Path) -> None:
    """ssh notices by its own keep-alive, which is the user's to set; here it is set to a second."""
    namespace, tools = hosts
    (tmp_path / "program.py").write_text(
        """
import os, sys, time
import stillframe.teleport
alive = ["-o", "ServerAliveInterval=1", "-o", "ServerAliveCountMax=1"]
stillframe.teleport(["ssh", *alive, "beta"], python=sys.executable)
print(os.getpid(), flush=True)
time.sleep(1000)
"""
    )
    process = subprocess.Popen(
        ["ip", "netns", "exec", namespace, sys.executable, str(tmp_path / "program.py")],
        env=dict(os.environ, PATH=f"{tools}:{os.environ['PATH']}"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    with process:
        assert process.stdout is not None and process.stderr is not None
        there = int(process.stdout.readline())
        cable = f"sfa{os.getpid()}"[:15]
        assert ip("-n", namespace, "link", "set", cable, "down")
        try:
            assert process.wait(30) == 255
            assert b"the line to ssh" in process.stderr.read()
        finally:
            ip("-n", namespace, "link", "set", cable, "up")
            os.kill(there, 9)
