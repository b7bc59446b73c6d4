"""What every provider promises. A provider's test class inherits ProviderContract."""

from __future__ import annotations

import time

import pytest

from novacron_agent.identity import Machine
from novacron_agent.providers import Provider
from novacron_agent.readings import Reading, Scrape
from novacron_contract.errors import Unavailable
from novacron_contract.metrics import (
    BY_NAME,
    HOST_ID,
    HOST_NAME,
    VM_HOST_ID,
    VM_HOST_NAME,
    VM_ID,
    VM_METRICS,
    VM_NAME,
    Kind,
    VmState,
)

ELSEWHERE = Machine(id="0" * 32, name="agents-own", arch="amd64", os_description="Debian")


def guests(scrape: Scrape) -> list[Reading]:
    """One for each guest: all that was measured of it, at one time or another."""
    found: dict[str, Reading] = {}
    for reading in scrape.readings:
        if VM_ID in reading.resource:
            new = Reading(dict(reading.resource), reading.time_ns, reading.start_ns)
            of = found.setdefault(str(reading.resource[VM_ID]), new)
            of.series += reading.series
            of.values += reading.values
    return list(found.values())


def states(reading: Reading) -> dict[str | int | float, float]:
    return {state: value for (state,), value in values(reading, "vm.state").items()}


def values(reading: Reading, name: str) -> dict[tuple[str | int | float, ...], float]:
    """{values of the attributes: value} of one metric."""
    return {tuple(s.attributes.values()): s.value for s in reading.samples if s.metric.name == name}


class ProviderContract:
    """Fixtures of the inheriting class: `provider`, which sees at least one running guest, and
    `unreachable`, the same provider where nothing answers."""

    @pytest.fixture
    def provider(self) -> Provider:
        raise NotImplementedError

    @pytest.fixture
    def unreachable(self) -> Provider:
        raise NotImplementedError

    def test_a_provider_is_a_frozen_dataclass(self, provider: Provider) -> None:
        assert vars(type(provider))["__dataclass_params__"].frozen

    def test_no_series_is_told_twice_at_one_time(self, provider: Provider) -> None:
        scrape = provider.scrape(None)

        seen = [
            (r.resource.get(VM_ID, r.resource.get(HOST_ID)), r.time_ns, id(series))
            for r in scrape.readings
            for series in r.series
        ]
        assert len(seen) == len(set(seen))
        assert guests(scrape)
        assert scrape.failures == []

    def test_a_guest_names_itself_and_its_host(self, provider: Provider) -> None:
        scrape = provider.scrape(None)

        host = next(r.resource for r in scrape.readings if VM_ID not in r.resource)
        for guest in guests(scrape):
            assert guest.resource[VM_NAME]
            assert guest.resource[VM_HOST_ID] == host[HOST_ID]
            assert guest.resource[VM_HOST_NAME] == host[HOST_NAME]

    def test_every_sample_is_as_the_contract_says(self, provider: Provider) -> None:
        provider.scrape(None)
        time.sleep(0.05)
        for reading in provider.scrape(None).readings:
            seen = set()
            for sample in reading.samples:
                metric = BY_NAME[sample.metric.name]
                assert set(sample.attributes) == set(metric.attributes), metric.name
                assert isinstance(sample.value, float if metric.unit == "s" else int | float)
                assert sample.value >= 0
                identity = (metric.name, *sorted(sample.attributes.items()))
                assert identity not in seen
                seen.add(identity)

    def test_a_guest_is_in_exactly_one_state(self, provider: Provider) -> None:
        for guest in guests(provider.scrape(None)):
            states = values(guest, "vm.state")
            assert list(states.values()).count(1) == 1
            assert {state for (state,) in states} <= set(VmState)

    def test_utilization_needs_two_scrapes(self, provider: Provider) -> None:
        assert not any(values(g, "vm.cpu.utilization") for g in guests(provider.scrape(None)))
        time.sleep(0.05)
        assert any(values(g, "vm.cpu.utilization") for g in guests(provider.scrape(None)))

    def test_counters_do_not_step_back(self, provider: Provider) -> None:
        first = {g.resource[VM_ID]: g for g in guests(provider.scrape(None))}
        counters = [m.name for m in VM_METRICS if m.kind is Kind.COUNTER]
        for guest in guests(provider.scrape(None)):
            before = first[guest.resource[VM_ID]]
            assert guest.start_ns == before.start_ns
            for name in counters:
                old = values(before, name)
                assert all(v >= old.get(k, 0) for k, v in values(guest, name).items()), name

    def test_nothing_has_changed_until_something_does(self, provider: Provider) -> None:
        provider.scrape(None)
        assert provider.changes(None).readings == []

    def test_close_lets_go_and_a_later_scrape_connects_again(self, provider: Provider) -> None:
        provider.scrape(None)
        provider.close()
        provider.close()
        assert guests(provider.scrape(None))

    def test_what_does_not_answer_is_told_in_one_sentence(self, unreachable: Provider) -> None:
        for measure in (unreachable.scrape, unreachable.changes):
            with pytest.raises(Unavailable) as failure:
                measure(None)
            assert "\n" not in str(failure.value)
