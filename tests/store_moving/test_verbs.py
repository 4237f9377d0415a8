"""The verbs of moving and keeping, as their users run them."""

from __future__ import annotations

import os
import pickle
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli_support import TOKEN, Home, Served, served
from stillframe.store import Store
from stillframe.store.exports import pieces, write_file
from stillframe.store.manifests import manifest_of
from store_moving.stores import HEADER, Hostile, grown


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(f"--store={tmp_path_factory.mktemp('served') / 'store'}") as one:
        yield one


@pytest.fixture
def there(tmp_path: Path, server: Served) -> Home:
    """A home whose verbs are told of a server with a store, which has been reset."""
    return Home.beside(server, tmp_path)


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Home]:
    """A home with a store in `states`, and no server."""
    home = Home(tmp_path)
    grown(home.work / "states", "first", "second").close()
    yield home
    home.close()


def key_of(home: Home, *options: str) -> str:
    key = home.still("keys", "--json", *options).json()["key"]
    assert isinstance(key, str)
    return key


def test_a_state_goes_from_a_server_to_a_file_and_into_a_store(there: Home) -> None:
    there.still("execute", "x = [1]; y = 2", "--as", "one")
    assert there.still("export", "one", "one.export").out.startswith("exported one to one.export, ")
    refused = there.still("import", "one.export", "--store", "other", code=2)
    key = key_of(there)
    assert f"still trust {key}" in refused.err and refused.out == ""
    there.still("trust", key, "--comment", "mine", "--store", "other")
    assert "mine" in there.still("keys", "--store", "other").out
    assert there.still("import", "one.export", "--store", "other").out == "imported one\n"
    assert there.still("import", "one.export", "--as", "uno", "--json").json()["name"] == "uno"
    assert there.still("show", "uno", "x").out == "[1]\n"
    there.still("distrust", key, "--store", "other")
    assert "was not trusted" in there.still("distrust", key, "--store", "other", code=2).err


def test_a_state_is_pushed_and_pulled_by_path_and_by_url(there: Home, server: Served) -> None:
    there.still("execute", "x = [1]", "--as", "one")
    there.still("trust", key_of(there), "--store", "disk")
    assert there.still("push", "one", "disk").out.startswith("pushed one to disk, ")
    assert there.still("push", "one", "disk", "--as", "two", "--json").json()["sent_bytes"] == 0
    pulled = there.still("pull", "two", server.url, "--store", "disk", "--to-token", TOKEN, code=2)
    assert "no state is called 'two'" in pulled.err
    assert there.still("pull", "two", "disk", "--trust").out == "pulled two from disk, 0 B sent\n"
    assert there.still("show", "two", "x").out == "[1]\n"
    # From one store into a server, neither of them the verb's own.
    there.still("trust", key_of(there, "--store", "disk"))
    url = f"{server.url}?token={TOKEN}"
    assert there.still("push", "two", url, "--as", "three", "--store", "disk").out == (
        f"pushed two to {server.url}, as three, 0 B sent\n"
    )
    assert there.still("delete", "two", "--store", "disk").out == "deleted two\n"
    assert "Did you mean" in there.still("delete", "ome", "--store", "disk", code=2).err


def test_a_file_is_shown_without_unpickling_it(alone: Home) -> None:
    sign = alone.path / "was-run"
    with grown(alone.work / "evil", "evil", pickle=pickle.dumps(Hostile(sign))) as store:
        write_file(alone.work / "evil.export", pieces(store, manifest_of(store, "evil")))
        key = store.key().public
    shown = alone.still("show", "evil.export").out
    for fact in ("state evil, with 1 cell", key, "numpy 2.3.0", "big", "ndarray", "2.9 MB", "  | x = 1"):
        assert fact in shown
    found = alone.still("show", "evil.export", "--json").json()
    assert found["variables"] == HEADER["variables"] and [cell["code"] for cell in found["lineage"]] == ["", "x = 1"]
    assert alone.still("doctor", "evil.export").out == shown
    alone.still("import", "evil.export", "--trust", "--store", "states")
    assert not sign.exists() and not alone.connection_file.exists()


def test_a_damaged_file_is_refused_with_a_sentence(alone: Home) -> None:
    alone.still("export", "first", "first.export", "--store", "states")
    file = alone.work / "first.export"
    data = file.read_bytes()
    file.write_bytes(data[:-100])
    done = alone.still("import", "first.export", "--store", "new", "--trust", code=2)
    assert done.out == "" and done.err == "still: the export is truncated. Get the file again.\n"
    file.write_bytes(data[:60] + b"#" + data[61:])
    assert alone.still("show", "first.export", code=2).err.startswith("still: the ")
    assert alone.still("import", "nowhere", "--store", "new", code=2).out == ""


def test_a_store_is_pruned_and_looked_through(alone: Home) -> None:
    assert "every state" in alone.still("doctor", "states").out
    alone.still("delete", "second", "--store", "states")
    dry = alone.still("prune", "--dry-run", "--json", "--store", "states").json()
    assert dry["states"] == 1 and dry["names"] == []
    for path in (alone.work / "states" / "blobs").rglob("*"):
        if path.is_file():
            os.utime(path, (0, 0))
    pruned = alone.still("prune", "--json", "--store", "states").json()
    assert pruned["states"] == 1 and pruned["blobs"] > 0
    assert "every state" in alone.still("doctor", "states").out
    pruned = alone.still("prune", "--keep-days", "1", "--store", "states").out
    assert pruned.startswith("removed 1 state") and "not used for so long: first" in pruned


def test_a_store_is_archived_and_is_the_same_store(alone: Home) -> None:
    assert alone.still("archive", "--dry-run", "--store", "states").out.startswith("would compress ")
    assert alone.still("archive", "--days", "100000", "--store", "states").out == "compressed 0 blobs\n"
    done = alone.still("archive", "--json", "--store", "states").json()
    assert done["blobs"] > 0 and 0 < done["archived_bytes"] < done["size_bytes"]
    assert "every state" in alone.still("doctor", "states").out
    assert alone.still("export", "second", "again.export", "--store", "states").out
    again = alone.still("archive", "--store", "states").out
    assert again.startswith("compressed 0 blobs\n")


def test_a_damaged_store_is_told_and_mended(alone: Home) -> None:
    with Store.open(alone.work / "states") as store:
        state = store.catalog.state(store.catalog.names()["second"])
        path = store.blobs.path(store.catalog.get_snapshot(state.snapshot).buffers[1].digest)
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    told = alone.still("doctor", "states", code=1).out
    assert "error" in told and "second" in told and "first" not in told
    assert "mended" in alone.still("doctor", "states", "--repair").out
    assert "error" not in alone.still("doctor", "states").out
    assert "has no snapshot" in alone.still("export", "second", "x.export", "--store", "states", code=2).err
    assert "store" in alone.still("doctor", "--repair", code=2).err


def test_a_store_that_a_server_has_is_read_and_not_written(alone: Home) -> None:
    with served(f"--store={alone.work / 'states'}"):
        assert alone.still("export", "first", "first.export", "--store", "states").code == 0
        for words in (("import", "first.export"), ("prune",), ("delete", "first"), ("trust", "0" * 64)):
            assert "in use by process" in alone.still(*words, "--store", "states", code=2).err
        assert "every state" in alone.still("doctor", "states").out
