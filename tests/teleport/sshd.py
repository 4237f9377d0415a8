"""A sshd of the tests' own: its keys, its configuration, its port; nothing of the machine's is touched or used."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from getpass import getuser
from pathlib import Path

from support.processes import until

SSHD = shutil.which("sshd", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
WHY_NOT = "no sshd here (Debian: openssh-server)"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def make_keys(place: Path) -> None:
    for name in ("host_key", "user_key"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(place / name)], check=True)
    (place / "authorized_keys").write_bytes((place / "user_key.pub").read_bytes())


def make_ssh(place: Path, hosts: dict[str, tuple[str, int]]) -> Path:
    """A folder for PATH whose `ssh` knows `hosts` and the tests' key, and nothing of the user's."""
    key = (place / "host_key.pub").read_text().split()[:2]
    lines = [f"[{address}]:{port} {' '.join(key)}" for address, port in hosts.values()]
    (place / "known_hosts").write_text("\n".join(lines) + "\n")
    config = ["Host *", f"  IdentityFile {place}/user_key", "  IdentitiesOnly yes", "  BatchMode yes"]
    config += [
        f"  UserKnownHostsFile {place}/known_hosts",
        "  GlobalKnownHostsFile /dev/null",
        "  IdentityAgent none",
    ]
    config += ["  ConnectTimeout 20"]
    for name, (address, port) in hosts.items():
        config += [f"Host {name}", f"  HostName {address}", f"  Port {port}"]
    (place / "config").write_text("\n".join(config) + "\n")
    tools = place / "bin"
    tools.mkdir()
    real = shutil.which("ssh")
    (tools / "ssh").write_text(f'#!/bin/sh\nexec {real} -F {place}/config "$@"\n')
    (tools / "ssh").chmod(0o755)
    return tools


@contextmanager
def running(
    place: Path, address: str, port: int, within: Sequence[str] = (), log: str = "sshd"
) -> Iterator[None]:
    """A sshd that listens at `address`; `within` is a command that starts it elsewhere (a network namespace)."""
    config = place / f"{log}.config"
    settings = {
        "ListenAddress": f"{address}:{port}",
        "HostKey": place / "host_key",
        "AuthorizedKeysFile": place / "authorized_keys",
        "PidFile": "none",
        "StrictModes": "no",
        "UsePAM": "no",
        "PermitRootLogin": "yes",
        "PasswordAuthentication": "no",
        "KbdInteractiveAuthentication": "no",
        "MaxStartups": "100",
        # A login finds the tests' own ssh first, as its user's would find theirs.
        "SetEnv": f"PATH={place}/bin:{os.environ['PATH']} PYTHONPATH={Path(__file__).parent}",
    }
    config.write_text("".join(f"{name} {value}\n" for name, value in settings.items()))
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    assert SSHD is not None
    with (place / f"{log}.log").open("wb") as output:
        process = subprocess.Popen(
            [*within, SSHD, "-D", "-e", "-f", str(config)], stdout=output, stderr=output
        )
    try:
        until(lambda: b"listening" in (place / f"{log}.log").read_bytes() or process.poll() is not None)
        assert process.poll() is None, (place / f"{log}.log").read_text()
        yield
    finally:
        process.terminate()
        process.wait()


def user() -> str:
    return getuser()
