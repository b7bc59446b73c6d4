"""The messages of Prometheus remote write 1.0, as this receiver reads them.

On the wire they are those of Prometheus' package `prometheus`. What may be wrong alone stays bytes
here and is read alone: series, labels, and all text, which is not valid UTF-8 just because someone
sent it. So one bad label costs one series, and two bytes of a request never become a whole message.
"""

from __future__ import annotations

from typing import Any

from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

_PACKAGE = "novacron.remote_write"
_SCHEMA = {  # message: field number: name and type; a star: any number of them
    "WriteRequest": {1: "timeseries bytes*", 3: "metadata bytes*"},
    "TimeSeries": {
        1: "labels bytes*",
        2: "samples Sample*",
        3: "exemplars bytes*",
        4: "histograms bytes*",
    },
    "Label": {1: "name bytes", 2: "value bytes"},
    "Sample": {1: "value double", 2: "timestamp int64"},
    "Exemplar": {1: "labels bytes*", 2: "value double", 3: "timestamp int64"},
    "MetricMetadata": {2: "metric_family_name bytes", 4: "help bytes"},
    "BucketSpan": {1: "offset sint32", 2: "length uint32"},
    "Histogram": {
        1: "count_int uint64",
        2: "count_float double",
        3: "sum double",
        4: "schema sint32",
        5: "zero_threshold double",
        6: "zero_count_int uint64",
        7: "zero_count_float double",
        8: "negative_spans BucketSpan*",
        9: "negative_deltas sint64*",
        10: "negative_counts double*",
        11: "positive_spans BucketSpan*",
        12: "positive_deltas sint64*",
        13: "positive_counts double*",
        14: "reset_hint int32",
        15: "timestamp int64",
    },
}


def _file() -> FileDescriptorProto:
    file = FileDescriptorProto(
        name="novacron/remote_write.proto", package=_PACKAGE, syntax="proto3"
    )
    for message, fields in _SCHEMA.items():
        target = file.message_type.add(name=message)
        for number, text in fields.items():
            _describe(target.field.add(number=number), *text.split())
    return file


def _describe(field: FieldDescriptorProto, name: str, kind: str) -> None:
    field.name = name
    many, kind = kind.endswith("*"), kind.rstrip("*")
    repeated, single = FieldDescriptorProto.LABEL_REPEATED, FieldDescriptorProto.LABEL_OPTIONAL
    field.label = repeated if many else single
    if kind in _SCHEMA:
        field.type = FieldDescriptorProto.TYPE_MESSAGE
        field.type_name = f".{_PACKAGE}.{kind}"
    else:
        field.type = FieldDescriptorProto.Type.Value(f"TYPE_{kind.upper()}")


_POOL = DescriptorPool()
_POOL.AddSerializedFile(_file().SerializeToString())


def _message(name: str) -> Any:
    return GetMessageClass(_POOL.FindMessageTypeByName(f"{_PACKAGE}.{name}"))


WriteRequest = _message("WriteRequest")
TimeSeries = _message("TimeSeries")
Label = _message("Label")
Exemplar = _message("Exemplar")
Histogram = _message("Histogram")
MetricMetadata = _message("MetricMetadata")
