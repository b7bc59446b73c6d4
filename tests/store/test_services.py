"""Which processes report of themselves, and what they say now."""

from __future__ import annotations

from clickhouse_connect.driver.client import Client

from noon import NOON
from novacron_store.telemetry.queries import figures, services
from novacron_store.telemetry.writer import write
from store.batches import Line, at, batch, counter

ONE = {"service.name": "agent-of-sorts", "service.instance.id": "1", "host.name": "a"}
TWO = {"service.name": "agent-of-sorts", "service.instance.id": "2", "host.name": "b"}
OTHER = {"service.name": "something-else", "service.instance.id": "3"}


def flat(value: float, end: float = NOON) -> list[tuple[float, float]]:
    return [(end - 10 * back, value) for back in range(3)]


def test_services_are_found_by_name_the_one_heard_of_last_first(store: Client) -> None:
    lines = [
        Line("m", "one", flat(1, NOON - 60)),
        Line("m", "two", flat(1)),
        Line("m", "3", flat(1)),
    ]
    written = batch(lines, {"one": ONE, "two": TWO, "3": OTHER})
    write(store, written, "services", at(NOON))

    found = services(store, "agent-of-sorts", "m", at(NOON - 3600))

    assert [(each.entity, each.seen) for each in found] == [
        ("two", at(NOON)),
        ("one", at(NOON - 60)),
    ]
    assert dict(found[1].resource) == ONE
    late = services(store, "agent-of-sorts", "m", at(NOON - 30))
    assert [each.entity for each in late] == ["two"]
    assert services(store, "agent-of-sorts", "n", at(0)) == []


def test_the_newest_value_of_each_series_with_the_rate_of_the_last_minute(store: Client) -> None:
    growing = [(NOON - 10 * back, 1000.0 - 20 * back) for back in range(9)]
    restarted = [(NOON - 20, 500.0), (NOON - 10, 40.0), (NOON, 90.0)]
    lines = [
        Line("size", "one", flat(5)),
        counter("grows", "one", growing, how="steadily"),
        counter("grows", "one", restarted, how="from nothing again"),
        counter("grows", "one", [(NOON, 7.0)], how="once"),
        counter(
            "grows", "one", [(NOON - 600, 1.0), (NOON - 300, 10.0), (NOON, 40.0)], how="rarely"
        ),
        counter("grows", "two", growing),
        Line("unasked", "one", flat(5)),
        Line("size", "one", [(NOON - 3600, 1.0)], attributes={"age": "old"}),
    ]
    write(store, batch(lines), "figures", at(NOON))

    found = figures(store, "one", ["size", "grows", "never sent"], at(NOON + 1))

    told = {(f.metric, f.attributes.get("how", "")): (f.value, f.rate) for f in found}
    assert told == {
        ("size", ""): (5, None),
        ("grows", "steadily"): (1000, 2),
        ("grows", "from nothing again"): (90, 4.5),
        ("grows", "once"): (7, None),
        ("grows", "rarely"): (40, 0.1),
    }
    assert {figure.ts for figure in found} == {at(NOON)}
