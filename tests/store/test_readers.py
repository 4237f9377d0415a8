"""A store may be opened for reading at any moment beside its writer: what is read is of one moment."""

from __future__ import annotations

import threading
from pathlib import Path

from stillframe.errors import StoreError
from stillframe.store import Store
from stillframe.store.catalog import StateRow

ROWS = 400


def test_a_store_opened_beside_its_writer_is_never_taken_for_damaged(quick: Path) -> None:
    store = Store.open(quick / "store")
    done = threading.Event()
    opened: list[int] = []
    failures: list[StoreError] = []

    def open_all_the_time() -> None:
        try:
            while not done.is_set():
                with Store.open(store.path, writer=False) as reader:
                    opened.append(len(reader.catalog.states()))
        except StoreError as error:
            failures.append(error)

    reading = threading.Thread(target=open_all_the_time)
    reading.start()
    for number in range(ROWS):
        store.catalog.add_state(StateRow(id=str(number)))
        store.catalog.bind_name(f"name {number}", str(number))
    done.set()
    reading.join()
    store.close()
    assert failures == [] and len(opened) > 5 and opened == sorted(opened)
