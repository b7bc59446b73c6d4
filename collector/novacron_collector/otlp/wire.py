"""OTLP's own schema with attributes, resources, scopes and exemplars left as bytes, read by ptars.

The two schemas are compatible on the wire. ptars turns messages of this one into Arrow columns in
which a point's attributes are slices of the request, so nothing is spent on what was seen before.
"""

from __future__ import annotations

from collections.abc import Sequence

import ptars
import pyarrow as pa
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass
from opentelemetry.proto.metrics.v1 import metrics_pb2

from novacron_contract.errors import BadMessage

_OTLP = ".opentelemetry.proto"
_LEFT_AS_BYTES = {
    f"{_OTLP}.common.v1.KeyValue",
    f"{_OTLP}.common.v1.InstrumentationScope",
    f"{_OTLP}.resource.v1.Resource",
    f"{_OTLP}.metrics.v1.Exemplar",
}
_NOT_READ = {"metadata", "schema_url"}
_PACKAGE = "novacron.wire"


class WireReader:
    def __init__(self) -> None:
        file = DescriptorPool().AddSerializedFile(_schema().SerializeToString())
        whole = file.message_types_by_name["MetricsData"]
        self._handler = ptars.HandlerPool([file]).get_for_message(whole)
        self._message = GetMessageClass(whole)

    def read(self, bodies: Sequence[bytes]) -> pa.Array:
        """One list of ResourceMetrics per body.

        Raises:
            BadMessage: one of them is not OTLP.
        """
        try:
            for body in bodies:
                self._message.FromString(body)  # ptars skips tags beyond 32 bits
            return self._handler.list_to_record_batch(list(bodies)).column(0)
        except (ValueError, DecodeError) as err:
            raise BadMessage(f"not an OTLP metrics request: {err}") from err


def _schema() -> FileDescriptorProto:
    schema = FileDescriptorProto()
    metrics_pb2.DESCRIPTOR.CopyToProto(schema)
    schema.name, schema.package = "novacron/wire.proto", _PACKAGE
    del schema.dependency[:]
    for message in schema.message_type:
        fields = [field for field in message.field if field.name not in _NOT_READ]
        for field in fields:
            _leave_as_bytes(field)
        del message.field[:]
        message.field.extend(fields)
    return schema


def _leave_as_bytes(field: FieldDescriptorProto) -> None:
    if field.type_name in _LEFT_AS_BYTES:
        field.type = FieldDescriptorProto.TYPE_BYTES
        # A message sent in parts means its parts joined, so even one that is not a list is read
        # as the list of its parts.
        field.label = FieldDescriptorProto.LABEL_REPEATED
        field.ClearField("type_name")
    elif field.type_name:
        field.type_name = field.type_name.replace(f"{_OTLP}.metrics.v1", f".{_PACKAGE}")
