"""Two servers that move states between them over the loopback, as their users do."""

from __future__ import annotations

import contextlib
import http.client
import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from stillframe import Client, connect
from stillframe.errors import (
    BadRequest,
    CannotCapture,
    IncompatibleSnapshot,
    MissingBlob,
    NameTaken,
    NoStore,
    StateNotFound,
    StillframeError,
    UntrustedSnapshot,
)
from stillframe.pool import Refused
from stillframe.store import Store
from stillframe.store.blobs import digest_of
from stillframe.store.exports import pieces, write_file
from stillframe.store.manifests import manifest_of
from store_moving.stores import Hostile, grown
from support.processes import until
from support.server import TOKEN, Bell, Server
from support.stored import Stored, stored

SHOWN = """
import array
class Point:
    def __init__(self, x): self.x = x
def total(): return sum(p.x for p in points)
"""


class Pair:
    """Two servers with a store each, and their clients."""

    def __init__(self, here: Stored, there: Stored) -> None:
        self.servers = here, there
        self.here, self.there = (client_of(server) for server in self.servers)

    def restart_here(self) -> None:
        self.servers[0].restart()
        self.here.close()
        self.here = client_of(self.servers[0])

    def trust_each_other(self) -> None:
        self.there.trust(self.here.keys().key, "here")
        self.here.trust(self.there.keys().key, "there")


def client_of(server: Server) -> Client:
    return connect(f"http://{server.host}:{server.port}", TOKEN)


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Stored, Stored]]:
    places = [tmp_path_factory.mktemp(name) for name in ("here", "there")]
    limits = {"upload_bytes": 30_000_000}
    with stored(places[0], limits=limits) as here, stored(places[1], limits=limits) as there:
        yield here, there
        for server in (here, there):
            server.reset()  # a stop stores what is not stored yet


@pytest.fixture
def pair(servers: tuple[Stored, Stored]) -> Iterator[Pair]:
    pair = Pair(*servers)
    for client in (pair.here, pair.there):
        client.reset()
        for trusted in client.keys().trusted:
            client.distrust(trusted.key)
    with pair.here, pair.there:
        yield pair


def number_of_blobs(server: Stored) -> int:
    return sum(len(files) for _, _, files in os.walk(server.store / "blobs"))


# Round trips


def test_a_state_is_exported_and_imported_elsewhere_and_goes_on_there(pair: Pair, tmp_path: Path) -> None:
    pair.here.execute(f"{SHOWN}\npoints = [Point(n) for n in range(10)]", name="made")
    pair.here.execute("big = array.array('d', range(500_000)); view = memoryview(big)[10:]", "made", "grown")
    file = tmp_path / "grown.export"
    assert pair.here.export("grown", file) == file.stat().st_size
    moved = pair.there.import_(file, trust=True)
    assert (moved.name, moved.missing_packages) == ("grown", {}) and pair.there.states() == ["initial", "grown"]
    assert pair.there.execute("points[0].x = 100; total(), len(view), view.obj is big", "grown").text == (
        "(145, 499990, True)"
    )
    assert pair.here.execute("total()", "grown").text == "45"
    assert pair.there.tree().named("grown").code == pair.here.tree().named("grown").code


def test_an_imported_state_is_there_after_a_kill(tmp_path: Path, pair: Pair) -> None:
    pair.here.execute("x = [1, 2]", name="one")
    pair.here.export("one", tmp_path / "one.export")
    with stored(tmp_path) as server:
        with client_of(server) as client:
            client.import_(tmp_path / "one.export", "uno", trust=True)
        server.restart(signal.SIGKILL)
        assert server.states() == ["initial", "uno"] and server.value("uno", "x") == [1, 2]


def test_a_state_is_exported_before_it_was_captured(pair: Pair, tmp_path: Path) -> None:
    """What is not stored yet is stored first."""
    for number in range(5):
        name = pair.here.execute(f"x = {number}").state
        assert name is not None
        pair.here.export(name, tmp_path / "x.export")
        pair.there.import_(tmp_path / "x.export", f"x{number}", trust=True)
        assert pair.there.value(f"x{number}", "x") == number


def test_what_cannot_be_captured_is_not_exported_and_the_reason_is_said(pair: Pair, tmp_path: Path) -> None:
    pair.here.execute("import socket; talk, other = socket.socketpair()", name="talking")
    with pytest.raises(CannotCapture, match=r"'talking' is not stored: .*talk"):
        pair.here.export("talking", tmp_path / "x.export")
    with pytest.raises(StateNotFound, match="Did you mean 'talking'"):
        pair.here.export("talkin", tmp_path / "x.export")
    with pytest.raises(BadRequest, match="fresh interpreter"):
        pair.here.export("initial", tmp_path / "x.export")
    assert list(tmp_path.iterdir()) == []


def test_a_kernel_without_a_store_says_so(kernel: Server, tmp_path: Path) -> None:
    kernel.ok("x = 1", name="one")
    with client_of(kernel) as client:
        for ask in (client.keys, client.prune, lambda: client.export("one", tmp_path / "x")):
            with pytest.raises(NoStore, match="--store"):
                ask()
        (tmp_path / "f").write_bytes(b"x")
        with pytest.raises(NoStore):
            client.import_(tmp_path / "f")


def test_the_lineage_comes_along_when_asked(pair: Pair, tmp_path: Path) -> None:
    pair.here.execute("x = 1", name="one")
    pair.here.execute("x += 1", "one", "two")
    pair.servers[0].wait_stored()
    pair.here.export("two", tmp_path / "two.export", lineage=True)
    pair.there.execute("other = 1", name="one")
    moved = pair.there.import_(tmp_path / "two.export", trust=True)
    assert moved.taken_names == ["one"] and pair.there.value("two", "x") == 2
    tree = pair.there.tree()
    assert [node.code for node in tree.states if tree.named("two").parent == node.id] == ["x = 1"]
    assert tree.named("one").code == "other = 1"


# Push and pull


def test_a_state_is_pushed_and_only_what_is_missing_is_sent(pair: Pair) -> None:
    pair.trust_each_other()
    pair.here.execute("data = bytearray(range(256)) * 40_000", name="base")
    first = pair.here.push("base", pair.there)  # it is stored now, so that the next one is a patch to it
    assert first.sent_bytes > 10_000_000
    pair.here.execute("small = [1]", "base", "next")
    second = pair.here.push("next", pair.there, "renamed")
    assert second.name == "renamed" and second.sent_bytes < 100_000
    assert pair.here.push("next", pair.there, "renamed").sent_bytes == 0
    assert pair.there.execute("len(data), small", "renamed").text == "(10240000, [1])"
    pulled = pair.here.pull("renamed", pair.there.url, "back", token=TOKEN)
    assert pulled.sent_bytes == 0 and pair.here.tree().named("back").id == pair.here.tree().named("next").id


def test_a_push_is_refused_until_the_key_is_trusted_there(pair: Pair) -> None:
    pair.here.execute("x = 5", name="five")
    before = number_of_blobs(pair.servers[1])
    with pytest.raises(UntrustedSnapshot, match="still trust"):
        pair.here.push("five", pair.there)
    assert number_of_blobs(pair.servers[1]) == before and pair.there.states() == ["initial"]
    pair.there.trust(pair.here.keys().key, "a friend")
    assert [key.comment for key in pair.there.keys().trusted] == ["a friend"]
    pair.here.push("five", pair.there)
    assert pair.there.value("five", "x") == 5
    assert pair.there.distrust(pair.here.keys().key) and not pair.there.distrust(pair.here.keys().key)
    pair.here.execute("x = 6", "five", "six")
    with pytest.raises(UntrustedSnapshot):
        pair.here.push("six", pair.there)
    assert pair.there.execute("x", "five").text == "5"


def test_a_pull_takes_what_is_not_trusted_only_when_told(pair: Pair) -> None:
    pair.there.execute("x = 7", name="seven")
    with pytest.raises(UntrustedSnapshot):
        pair.here.pull("seven", pair.there)
    pair.here.pull("seven", pair.there, trust=True)
    assert pair.here.value("seven", "x") == 7 and pair.here.keys().trusted == []


def test_a_state_goes_through_a_store_in_a_directory(pair: Pair, tmp_path: Path) -> None:
    """As with a disk that is carried from one machine to the other."""
    disk = tmp_path / "disk"
    with Store.open(disk) as store:
        store.catalog.trust_key(pair.here.keys().key, "")
    pair.here.execute("x = {'a': 1}", name="one")
    pair.here.push("one", disk)
    pair.there.pull("one", disk, trust=True)
    assert pair.there.value("one", "x") == {"a": 1}


def test_a_state_inside_a_call_moves_and_is_resumed_there(pair: Pair) -> None:
    pair.trust_each_other()
    code = "import stillframe\nfor n in range(3):\n    got = stillframe.snapshot(f'at{n}')\nprint('end', n, got)"
    assert pair.here.execute(code, name="whole").text == "end 2 None\n"
    pair.here.push("at1", pair.there)
    assert pair.there.tree().named("at1").kind == "call"
    resumed = pair.there.resume("at1", 42, "other")
    assert resumed.ok and resumed.text == "end 2 None\n"
    pair.here.push("at2", pair.there, "last")
    assert "value=42" in pair.there.resume("last", 42).text


def test_several_pushes_at_once_and_cells_meanwhile(pair: Pair) -> None:
    pair.trust_each_other()
    pair.here.execute("data = bytes(3_000_000)", name="base")
    for number in range(4):
        pair.here.execute(f"x = {number}", "base", f"x{number}")
    errors: list[BaseException] = []

    def push(number: int) -> None:
        try:
            pair.here.push(f"x{number % 4}", pair.there, f"y{number}")
        except BaseException as error:  # noqa: BLE001 - it is raised in the test's thread
            errors.append(error)

    threads = [threading.Thread(target=push, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for number in range(5):
        pair.there.execute(f"z = {number}", name=f"z{number}")
    for thread in threads:
        thread.join()
    assert errors == []
    assert [pair.there.value(f"y{number}", "x") for number in range(8)] == [0, 1, 2, 3, 0, 1, 2, 3]
    assert [pair.there.value(f"z{number}", "z") for number in range(5)] == list(range(5))


def test_a_name_that_another_state_has_is_never_taken(pair: Pair) -> None:
    pair.trust_each_other()
    pair.here.execute("x = 1", name="name")
    pair.there.execute("x = 2", name="name")
    with pytest.raises(NameTaken, match="--as"):
        pair.here.push("name", pair.there)
    assert pair.there.value("name", "x") == 2


# Interrupted


PUSH = """
import sys
from stillframe import connect
here, there, token = sys.argv[1:]
client = connect(here, token)
print("begins", flush=True)
client.push("big", there, token=token)
"""


def test_a_push_that_is_killed_names_nothing_and_goes_on_where_it_was(pair: Pair) -> None:
    pair.trust_each_other()
    # Arrays: each is a blob of its own.
    part = "numpy.random.default_rng(n).integers(0, 256, 2_000_000, 'uint8')"
    pair.here.execute(f"import numpy\nparts = [{part} for n in range(8)]", name="big")
    before = number_of_blobs(pair.servers[1])
    with BrokenOff(pair.there.url) as relay:
        words = [sys.executable, "-c", PUSH, pair.here.url, relay.url, TOKEN]
        with subprocess.Popen(words, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": "src"}) as process:
            assert relay.reached.wait(60)
            process.kill()
            process.communicate()
    assert pair.there.states() == ["initial"]
    left = number_of_blobs(pair.servers[1]) - before
    assert left >= 2  # four are under way at a time: when the seventh begins, three have been stored
    sent = pair.here.push("big", pair.there)
    assert pair.there.execute("len(parts), sum(map(len, parts))", "big").text == "(8, 16000000)"
    assert sent.sent_bytes < 16_500_000 - 2_000_000 * max(0, left - 1)


class BrokenOff:
    """What stands before a server, and lets nothing through any more when some MB have passed."""

    def __init__(self, url: str, after_bytes: int = 12_500_000) -> None:
        host, _, port = url.removeprefix("http://").partition(":")
        self._there = host, int(port)
        self._after_bytes = after_bytes
        self._passed = 0
        self.reached = threading.Event()
        self._sockets: list[socket.socket] = []

    def __enter__(self) -> BrokenOff:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *exc: object) -> None:
        for sock in (self._listening, *self._sockets):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listening.accept()
                far = socket.create_connection(self._there)
                self._sockets += [near, far]
                threading.Thread(target=self._carry, args=(near, far, True), daemon=True).start()
                threading.Thread(target=self._carry, args=(far, near, False), daemon=True).start()

    def _carry(self, source: socket.socket, target: socket.socket, is_counted: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if is_counted:
                    self._passed += len(data)
                if self._passed > self._after_bytes:
                    self.reached.set()
                    return
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)


def test_an_upload_that_is_cut_off_leaves_nothing_named(pair: Pair) -> None:
    content = os.urandom(3_000_000)
    digest = digest_of(content)
    server = pair.servers[1]
    for path, method in ((f"/blobs/{digest}", "PUT"), ("/import?trust=true", "POST")):
        with socket.create_connection((server.host, server.port)) as sock:
            head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n"
            sock.sendall(f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content[:2_000_000])
    assert pair.there.health()["status"] == "ok" and pair.there.states() == ["initial"]
    with pytest.raises(MissingBlob):
        raise_refused(pair.there, f"/blobs/{digest}")


def raise_refused(client: Client, path: str) -> bytes:
    """The body of a GET, or the error that it is answered with."""
    try:
        with client._pool.download(path) as content:
            return b"".join(content)
    except Refused as refused:
        raise client._error(refused.answer) from None


def test_imports_whose_clients_send_nothing_more_hold_nothing_up(pair: Pair) -> None:
    server = pair.servers[1]
    head = f"POST /import?trust=true HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n"
    begun = f"{head}Content-Length: 9000000\r\n\r\nstillframe export 1 1000000\n".encode()
    with contextlib.ExitStack() as closing:
        for _ in range((os.cpu_count() or 1) + 4):  # as many as there are threads in which a store is read
            sock = closing.enter_context(socket.create_connection((server.host, server.port)))
            sock.sendall(begun)
        assert server.call("GET", "/keys")[0] == 200
        pair.there.execute("x = 1", name="one")
        server.wait_stored("one")


# Bad input


def test_a_blob_that_is_not_what_its_digest_says_is_refused(pair: Pair) -> None:
    content = b"some content"
    digest = digest_of(content)
    there = pair.servers[1]
    status, answer = there.call("PUT", f"/blobs/{digest}", b"other content")
    assert (status, answer["error"]["code"]) == (409, "CorruptBlob")
    assert there.call("GET", f"/blobs/{digest}")[0] == 404
    assert there.call("PUT", f"/blobs/{digest}", content) == (200, {"stored": digest})
    assert there.exchange("GET", f"/blobs/{digest}").body == content


ODD = ["..%2f..%2fkey", "%2e%2e%2f%2e%2e%2fcatalog.sqlite", "..", "a" * 63, "A" * 64, "%00" * 64, "0" * 64 + "%0a"]


@pytest.mark.parametrize("digest", [*ODD, "%ff"])
def test_what_is_no_digest_leads_nowhere(pair: Pair, digest: str) -> None:
    there = pair.servers[1]
    files = files_of(there)
    for method, body in (("GET", None), ("PUT", b"x")):
        status, answer = there.call(method, f"/blobs/{digest}", body)
        assert status in (400, 404) and answer["error"]["code"] in ("MissingBlob", "BadRequest", "NotFound")
    assert files_of(there) == files


def files_of(server: Stored) -> dict[Path, int]:
    """The files of its store, and when each was changed; not the catalog's, which the reset before still changes."""
    found = [path for path in server.store.rglob("*") if path.is_file() and not path.name.startswith("catalog")]
    return {path: path.stat().st_mtime_ns for path in found}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/states/one/export"), ("POST", "/import"), ("GET", "/states/one/manifest"), ("POST", "/receive"),
        ("GET", f"/blobs/{'0' * 64}"), ("PUT", f"/blobs/{'0' * 64}"), ("GET", "/keys"), ("PUT", f"/keys/{'0' * 64}"),
        ("DELETE", f"/keys/{'0' * 64}"), ("POST", "/prune"),
    ],
)  # fmt: skip
def test_every_route_wants_the_token(pair: Pair, method: str, path: str) -> None:
    assert pair.servers[1].call(method, path, {}, token=None)[0] == 401
    assert pair.servers[1].call(method, path, {}, token="wrong")[0] == 401


LINE = b"stillframe export 1 "


@pytest.mark.parametrize("body", [b"", b"no export", LINE + b"9999999999\n", LINE + b"10\n{}"])
def test_what_is_no_export_is_refused(pair: Pair, body: bytes) -> None:
    status, answer = pair.servers[1].call("POST", "/import?trust=true", body)
    assert (status, answer["error"]["code"]) == (409, "CorruptSnapshot")


@pytest.mark.parametrize("body", [{}, {"manifest": 3}, {"manifest": {"manifest": {}, "key": "", "signature": ""}}, []])
def test_a_manifest_that_makes_no_sense_is_refused(pair: Pair, body: object) -> None:
    status, answer = pair.servers[1].call("POST", "/receive", body)
    assert (status, answer["error"]["code"]) in ((409, "CorruptSnapshot"), (400, "BadRequest"))


@pytest.mark.parametrize("key", ["short", "G" * 64, "..%2fkey", "A" * 64])
def test_what_is_no_key_is_not_trusted(pair: Pair, key: str) -> None:
    assert pair.servers[1].call("PUT", f"/keys/{key}", {})[0] == 400
    assert pair.there.keys().trusted == []


def test_an_export_that_is_too_large_is_refused_soon_and_one_below_is_not(pair: Pair, tmp_path: Path) -> None:
    """The limit of uploads is 30 MB here; that of other bodies, 64 MiB, is another one."""
    server = pair.servers[1]
    before = set((server.store / "new").iterdir())  # of captures that a reset has ended in their midst
    file = tmp_path / "large"
    with file.open("wb") as opened:
        opened.truncate(40_000_000)
    with pytest.raises(StillframeError, match=r"larger than 28\.6 MiB"):
        pair.there.import_(file)
    status, answer = server.call("PUT", f"/blobs/{'0' * 64}", bytes(31_000_000))
    assert (status, answer["error"]["code"]) == (413, "BodyTooLarge")
    # Without a length it is found out on the way.
    connection = http.client.HTTPConnection(server.host, server.port, timeout=60)
    with contextlib.closing(connection):
        pieces_of_it = (bytes(1_000_000) for _ in range(40))
        headers = {"Authorization": f"Bearer {TOKEN}"}
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.request("PUT", f"/blobs/{'0' * 64}", pieces_of_it, headers, encode_chunked=True)
        assert connection.getresponse().status == 413
    assert pair.there.health()["status"] == "ok"
    assert server.call("PUT", f"/blobs/{digest_of(bytes(25_000_000))}", bytes(25_000_000))[0] == 200
    until(lambda: set((server.store / "new").iterdir()) <= before, 10, "the end of what was cut off")


def test_an_untrusted_file_is_refused_before_it_was_sent(pair: Pair, tmp_path: Path) -> None:
    pair.here.execute("data = __import__('random').randbytes(20_000_000)", name="large")
    pair.here.export("large", tmp_path / "large.export")
    sent: list[int] = []
    with pytest.raises(UntrustedSnapshot):
        pair.there.import_(tmp_path / "large.export", progress=sent.append)
    assert sum(sent) < 15_000_000


def foreign(place: Path, pickle_bytes: bytes, **header: object) -> Path:
    """An export of a store that no kernel has made."""
    with grown(place / "foreign", "foreign", pickle=pickle_bytes, size_bytes=1000, **header) as store:
        file = place / "foreign.export"
        write_file(file, pieces(store, manifest_of(store, "foreign")))
        return file


def test_a_hostile_pickle_is_not_run_by_who_imports_it_without_using_it(pair: Pair, tmp_path: Path) -> None:
    sign = tmp_path / "was-run"
    file = foreign(tmp_path, pickle.dumps(Hostile(sign)))
    pair.here.import_(file, trust=True)
    assert pair.here.tree().named("foreign").stored
    pair.here.export("foreign", tmp_path / "again.export")
    pair.restart_here()
    assert "foreign" in pair.here.states() and not sign.exists()


def test_a_state_of_another_python_is_refused_by_its_version(pair: Pair, tmp_path: Path) -> None:
    other = {"version": "3.9.2", "minor": "3.9", "system": sys.platform, "machine": os.uname().machine}
    file = foreign(tmp_path, b"x", interpreter=other)
    with pytest.raises(IncompatibleSnapshot, match=r"'foreign' could not be restored here: .*CPython 3\.9\.2"):
        pair.there.import_(file, trust=True)
    assert pair.there.states() == ["initial"]


def test_packages_that_are_not_here_are_listed(pair: Pair, tmp_path: Path) -> None:
    packages = {"msgspec": "0.1", "surely-not-there": "1.2", "nor this/one": "3"}
    moved = pair.there.import_(foreign(tmp_path, b"x", packages=packages), trust=True)
    assert moved.missing_packages == {"surely-not-there": "1.2", "nor this/one": "3"}
    with pytest.raises(StillframeError, match="foreign"):
        pair.there.value("foreign", "x")


# Prune


def test_what_was_deleted_is_pruned_and_what_runs_is_safe(pair: Pair, bell: Bell) -> None:
    server = pair.servers[0]
    pair.here.prune()
    pair.here.execute("a = 1", name="a")
    pair.here.execute("b = 1", "a", "b")
    pair.here.execute("c = 1", "a", "c")
    server.wait_stored()
    assert pair.here.prune(dry_run=True).states == 0
    pair.here.delete("c")
    assert pair.here.prune(dry_run=True).states == 1
    assert pair.here.prune().states == 1 and pair.here.prune().states == 0
    assert pair.here.value("b", "b") == 1
    # A state whose name is gone while a cell runs in it is the parent of what that cell makes.
    os.mkfifo(f"{bell.path}.go")
    running = server.begin(f"{bell.ring}\nopen({str(bell.path) + '.go'!r}).read()", "b", "d")
    bell.wait()
    pair.here.delete("b")
    assert pair.here.prune().states == 0
    Path(f"{bell.path}.go").write_text("")
    assert running.reply()["error"] is None
    server.wait_stored()
    pair.restart_here()
    tree = pair.here.tree()
    assert {node.code for node in tree.states if node.id == tree.named("d").parent} == {"b = 1"}


def test_states_that_were_not_used_for_long_are_deleted_by_a_prune_unless_pinned(pair: Pair) -> None:
    for name in ("old", "pinned", "parent"):
        pair.here.execute("x = 1", name=name)
    pair.here.execute("y = 1", "parent", "child")
    pair.servers[0].wait_stored()
    pair.here.pin("pinned")
    assert pair.here.prune(1).names == [] and pair.here.prune(1).states == 0
    dry = pair.here.prune(0, dry_run=True)
    assert dry.names == ["child", "old", "parent"] and len(pair.here.states()) == 5
    assert pair.here.prune(0).names == dry.names
    assert pair.here.states() == ["initial", "pinned"] and pair.here.value("pinned", "x") == 1
    with pytest.raises(BadRequest, match="keep_days"):
        pair.here.prune(-1)


def test_what_was_archived_is_used_as_it_was(pair: Pair, tmp_path: Path) -> None:
    code = "import numpy\ndata = numpy.arange(1_000_000)\nsame = data[10:]\ntext = 'again and ' * 10_000"
    pair.here.execute(code, name="one")
    pair.here.execute("data[5] = 0", "one", "two")
    pair.servers[0].wait_stored()
    done = pair.here.archive(0)
    assert done.blobs >= 3 and done.archived_bytes < done.size_bytes
    pair.restart_here()
    assert pair.here.export("two", tmp_path / "two.export") > 0
    assert pair.here.archive(0).blobs == 0
    # Restored in a fresh process, its arrays mapped, and run in.
    pair.here.execute("same[0] += 1\nfound = [int(data[10]), int(data[5]), len(text)]", "one", "three")
    assert pair.here.value("three", "found") == [11, 5, 100_000]
    pair.here.execute("found = [int(data[5]), int(data.sum())]", "two", "four")
    assert pair.here.value("four", "found") == [0, 499_999_500_000 - 5]
    pair.servers[0].wait_stored()
    assert pair.here.archive(1).returned_blobs == done.blobs


def test_blobs_of_what_was_deleted_are_removed_when_they_are_old(pair: Pair) -> None:
    server = pair.servers[0]
    pair.here.execute("data = __import__('random').randbytes(5_000_000)", name="large")
    server.wait_stored()
    pair.here.delete("large")
    young = pair.here.prune()
    assert young.blobs == 0 and young.young_blobs > 0
    for path in (server.store / "blobs").rglob("*"):
        if path.is_file():
            os.utime(path, (0, 0))
    dry = pair.here.prune(dry_run=True)
    found = pair.here.prune()
    assert found.blobs == dry.blobs > 0 and found.size_bytes == dry.size_bytes > 5_000_000
    pair.here.execute("x = 1", name="on")
    assert pair.here.value("on", "x") == 1
