"""Rows of a view as soon as they are there: what is acknowledged may be seen a little later."""

from __future__ import annotations

import time
from typing import Any

from store_process import StoreProcess

_WAIT_S = 30


def rows(
    store: StoreProcess, columns: str, view: str, entity: str, *, count: int = 1
) -> list[tuple[Any, ...]]:
    """Those of `entity`, sorted, once there are `count` of them."""
    sql = f"SELECT {columns} FROM {view} WHERE entity = {{entity:String}} ORDER BY ALL"
    client = store.service()
    deadline = time.monotonic() + _WAIT_S
    try:
        while True:
            found = [
                tuple(row) for row in client.query(sql, parameters={"entity": entity}).result_rows
            ]
            if len(found) >= count:
                return found
            assert time.monotonic() < deadline, f"{view} of {entity}: {found}"
            time.sleep(0.1)
    finally:
        client.close()
