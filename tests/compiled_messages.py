"""Messages of the .proto files beside this one, compiled when they are asked for."""

from __future__ import annotations

import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass


def message(file: str, name: str) -> Any:
    """The class of the message with this full name."""
    return GetMessageClass(_compiled(file).FindMessageTypeByName(name))


@cache
def _compiled(file: str) -> DescriptorPool:
    protoc = [sys.executable, "-m", "grpc_tools.protoc", "--descriptor_set_out=/dev/stdout"]
    folder = Path(__file__).parent
    done = subprocess.run([*protoc, "-I.", file], cwd=folder, capture_output=True, check=True)
    pool = DescriptorPool()
    for one in FileDescriptorSet.FromString(done.stdout).file:
        pool.Add(one)
    return pool
