"""Which entity a resource stands for, and what makes another series."""

from __future__ import annotations

from dataclasses import replace

import pytest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue, KeyValueList

from novacron_collector.otlp.attributes import Attributes, read_attributes
from novacron_collector.otlp.identity import Stream, entity_of, series_id

STREAM = Stream(metric="cpu", unit="s", kind="sum", temporality="cumulative", monotonic=True)


def labels(**texts: str) -> Attributes:
    pairs = [
        KeyValue(key=key.replace("_", "."), value=AnyValue(string_value=text))
        for key, text in texts.items()
    ]
    return read_attributes(pairs, 10)


@pytest.mark.parametrize(
    ("resource", "name", "kind"),
    [
        (labels(vm_id="v", host_id="h", service_name="s"), "v", "vm"),
        (labels(service_name="s", service_instance_id="i", host_id="h"), "s/i", "service"),
        (labels(service_namespace="n", service_name="s", host_id="h"), "n/s/h", "service"),
        (labels(service_name="s", host_name="name"), "s/name", "service"),
        (labels(host_id="h", host_name="name"), "h", "host"),
        (labels(host_name="name"), "name", "host"),
        (labels(vm_id="", host_id="h"), "h", "host"),
    ],
)
def test_the_entity_is_the_most_telling_part_of_the_resource(
    resource: Attributes, name: str, kind: str
) -> None:
    entity = entity_of(resource)
    assert (entity.name, entity.type) == (name, kind)


def test_resources_without_a_name_are_told_apart() -> None:
    one, other = entity_of(labels(region="a")), entity_of(labels(region="b"))
    assert one.type == "other"
    assert one.name != other.name
    assert entity_of(labels(region="a")) == one


def test_a_vm_keeps_its_series_through_a_rename_and_a_migration() -> None:
    before = entity_of(labels(vm_id="v", vm_name="old", vm_host_id="h1"))
    after = entity_of(labels(vm_id="v", vm_name="new", vm_host_id="h2", cloud_region="x"))
    assert series_id(before, STREAM, labels()) == series_id(after, STREAM, labels())


def test_a_host_reported_by_two_programs_is_one_host() -> None:
    psutil = entity_of(labels(host_id="h", host_arch="amd64"))
    libvirt = entity_of(labels(host_id="h", libvirt_version="9"))
    assert series_id(psutil, STREAM, labels()) == series_id(libvirt, STREAM, labels())


def test_two_processes_of_a_service_have_their_own_series() -> None:
    one = entity_of(labels(service_name="s", service_instance_id="i", process_pid="1"))
    two = entity_of(labels(service_name="s", service_instance_id="i", process_pid="2"))
    assert one.name == two.name
    assert series_id(one, STREAM, labels()) != series_id(two, STREAM, labels())


def test_everything_that_identifies_makes_another_series() -> None:
    entity = entity_of(labels(vm_id="v"))
    others = [
        replace(STREAM, metric="mem"),
        replace(STREAM, unit="ms"),
        replace(STREAM, kind="gauge"),
        replace(STREAM, temporality="delta"),
        replace(STREAM, monotonic=False),
        replace(STREAM, scope="s"),
        replace(STREAM, scope_attributes=labels(a="b")),
    ]
    ids = {series_id(entity, stream, labels()) for stream in [STREAM, *others]}
    ids |= {
        series_id(entity, STREAM, labels(a="b")),
        series_id(entity, STREAM, labels(a="b", c="")),
    }
    assert len(ids) == 10


def test_a_better_description_makes_no_other_series() -> None:
    entity = entity_of(labels(vm_id="v"))
    described = replace(STREAM, description="CPU time")
    assert series_id(entity, STREAM, labels()) == series_id(entity, described, labels())


def test_values_are_text_with_their_types() -> None:
    nested = AnyValue(
        kvlist_value=KeyValueList(
            values=[
                KeyValue(key="z", value=AnyValue(bool_value=True)),
                KeyValue(key="a", value=AnyValue(bytes_value=b"\xff")),
            ]
        )
    )
    values = {
        "text": AnyValue(string_value="1"),
        "int": AnyValue(int_value=1),
        "double": AnyValue(double_value=1),
        "bool": AnyValue(bool_value=True),
        "bytes": AnyValue(bytes_value=b"\xff"),
        "list": AnyValue(array_value=ArrayValue(values=[AnyValue(int_value=1), nested])),
        "none": AnyValue(),
    }

    read = read_attributes([KeyValue(key=key, value=value) for key, value in values.items()], 10)

    assert dict(read.texts) == {
        "text": "1",
        "int": "1",
        "double": "1.0",
        "bool": "true",
        "bytes": "/w==",
        "list": '[1,{"a":{"base64":"/w=="},"z":true}]',
        "none": "",
    }
    assert dict(read.types) == {
        "int": "int",
        "double": "double",
        "bool": "bool",
        "bytes": "bytes",
        "list": "array",
        "none": "empty",
    }


def test_the_same_text_of_another_type_is_another_value() -> None:
    one = read_attributes([KeyValue(key="a", value=AnyValue(string_value="1"))], 10)
    other = read_attributes([KeyValue(key="a", value=AnyValue(int_value=1))], 10)
    assert one.canonical != other.canonical
