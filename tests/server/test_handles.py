"""Handles that are used again: whose, how many, and when not."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from novacron_store.server.engine import Engine, Handle
from novacron_store.server.failures import EngineError
from novacron_store.server.handles import Handles


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    engine = Engine(tmp_path_factory.mktemp("engine"), 1 << 30)
    yield engine
    engine.close()


def used(handles: Handles, settings: dict[str, str], *, spoiled: bool = False) -> Handle:
    lease = handles.lease(settings)
    handle = lease.take()
    lease.leave(spoiled=spoiled)
    return handle


def setting(handle: Handle) -> str:
    return handle.ask("SELECT getSetting('max_block_size')", {}).strip()


def test_a_handle_is_used_again_by_requests_of_the_same_settings_alone(engine: Engine) -> None:
    handles = Handles(engine.open)
    first = used(handles, {"max_block_size": "4321"})

    other = used(handles, {"max_block_size": "1234"})
    again = used(handles, {"max_block_size": "4321"})

    assert other is not first
    assert again is first
    assert (setting(first), setting(other)) == ("4321", "1234")
    handles.close()


def test_what_one_request_has_no_other_gets(engine: Engine) -> None:
    handles = Handles(engine.open)
    used(handles, {})
    one, other = handles.lease({}), handles.lease({})

    assert one.take() is not other.take()

    one.leave(spoiled=False)
    other.leave(spoiled=False)
    handles.close()


def test_a_spoiled_handle_is_not_used_again(engine: Engine) -> None:
    handles = Handles(engine.open)
    spoiled = used(handles, {}, spoiled=True)

    assert used(handles, {}) is not spoiled
    handles.close()


def test_the_one_that_was_idle_for_longest_makes_room(engine: Engine) -> None:
    handles = Handles(engine.open, limit=2)
    kept = {size: used(handles, {"max_block_size": size}) for size in ("1000", "2000", "3000")}

    assert used(handles, {"max_block_size": "2000"}) is kept["2000"]
    assert used(handles, {"max_block_size": "3000"}) is kept["3000"]
    assert used(handles, {"max_block_size": "1000"}) is not kept["1000"]
    handles.close()


def test_a_setting_that_is_refused_leaves_nothing_behind(engine: Engine) -> None:
    handles = Handles(engine.open)

    with pytest.raises(EngineError, match="no_such_setting"):
        used(handles, {"no_such_setting": "1"})

    assert setting(used(handles, {"max_block_size": "77"})) == "77"
    handles.close()
