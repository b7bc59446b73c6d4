"""Handles that are used again: by whom, how many, and when not."""

from __future__ import annotations

from collections.abc import Mapping

from novacron_store.server.engine import Handle
from novacron_store.server.handles import Handles


class Connection:
    """As chDB's, of which a process can have one engine alone."""

    def __init__(self) -> None:
        self.is_open = True

    def close(self) -> None:
        self.is_open = False


class Opener:
    """Opens handles, and remembers their connections."""

    def __init__(self) -> None:
        self.opened: list[tuple[Mapping[str, str], Connection]] = []

    def __call__(self, settings: Mapping[str, str]) -> Handle:
        connection = Connection()
        self.opened.append((settings, connection))
        return Handle(connection, {})

    @property
    def still_open(self) -> list[str]:
        return ["".join(settings.values()) for settings, one in self.opened if one.is_open]


def used(handles: Handles, name: str, *, spoiled: bool = False) -> Handle:
    lease = handles.lease({"name": name})
    handle = lease.take()
    lease.leave(spoiled=spoiled)
    return handle


def test_a_handle_is_used_again_by_requests_of_the_same_settings_alone() -> None:
    opener = Opener()
    handles = Handles(opener)
    first = used(handles, "a")

    other = used(handles, "b")

    assert other is not first
    assert used(handles, "a") is first
    assert used(handles, "b") is other
    assert [dict(settings) for settings, _ in opener.opened] == [{"name": "a"}, {"name": "b"}]


def test_what_one_request_has_no_other_gets() -> None:
    handles = Handles(Opener())
    used(handles, "a")
    one, other = handles.lease({"name": "a"}), handles.lease({"name": "a"})

    assert one.take() is not other.take()


def test_a_spoiled_handle_is_closed_and_not_used_again() -> None:
    opener = Opener()
    handles = Handles(opener)
    spoiled = used(handles, "a", spoiled=True)

    assert opener.still_open == []
    assert used(handles, "a") is not spoiled


def test_the_one_that_was_idle_for_longest_makes_room() -> None:
    opener = Opener()
    handles = Handles(opener, limit=2)
    for name in ("a", "b", "a", "c"):
        used(handles, name)

    assert opener.still_open == ["a", "c"]


def test_all_are_closed_in_the_end() -> None:
    opener = Opener()
    handles = Handles(opener)
    for name in ("a", "b"):
        used(handles, name)

    handles.close()

    assert opener.still_open == []
