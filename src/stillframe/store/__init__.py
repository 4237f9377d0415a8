"""The store: states that outlive their processes. Blobs by digest, records of snapshots, and a catalog.

In a state process, which has neither the lock nor the catalog:

    blobs = Blobs(path)
    record = write_snapshot(blobs, header, pickle, buffers, near=None)    durable when it returns
    pickle = read_pickle(blobs, record.pickle)                            verified
    buffers = [map_blob(blobs, part.digest) for part in record.buffers]   mapped, not read
    adopt(blobs, address, size_bytes, digest)                             memory that has a blob's content

In the one process that writes to a store:

    store = Store.open(path)                       StoreInUse if another one has it
    store.catalog.add_state(...), bind_name(...), add_snapshot(state_id, record), states(), ...
    store.check_blobs(record)                      before a restore
    prune(store), check(store), export_states(...), import_states(...), transfer(...)

The store never unpickles and never imports what does; see docs/store.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stillframe.store.blobs import Blobs as Blobs
    from stillframe.store.catalog import Catalog as Catalog
    from stillframe.store.catalog import StateRow as StateRow
    from stillframe.store.mapping import adopt as adopt
    from stillframe.store.mapping import map_blob as map_blob
    from stillframe.store.mapping import overlay as overlay
    from stillframe.store.opened import Store as Store
    from stillframe.store.snapshots import Part as Part
    from stillframe.store.snapshots import Record as Record
    from stillframe.store.snapshots import read_pickle as read_pickle
    from stillframe.store.snapshots import write_snapshot as write_snapshot

_HOMES = {
    "Blobs": "blobs",
    "Catalog": "catalog",
    "Part": "snapshots",
    "Record": "snapshots",
    "StateRow": "catalog",
    "Store": "opened",
    "adopt": "mapping",
    "map_blob": "mapping",
    "overlay": "mapping",
    "read_pickle": "snapshots",
    "write_snapshot": "snapshots",
}


def __getattr__(name: str) -> Any:
    # State processes need no catalog: what is not asked for is not imported.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
