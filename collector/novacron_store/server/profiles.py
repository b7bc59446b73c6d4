"""The settings a request runs with: what our components get, and the limits people have."""

from __future__ import annotations

from collections.abc import Mapping

from novacron_store.server.failures import READONLY, SETTING_CONSTRAINT_VIOLATION, EngineError
from novacron_store.server.settings import ReaderLimits

MAX_QUERY_S = 300

# What a reader's request may set besides lower limits: how values look, how NULLs join.
_HARMLESS = frozenset(
    {
        "date_time_input_format",
        "date_time_output_format",
        "group_by_use_nulls",
        "join_use_nulls",
        "output_format_arrow_compression_method",
        "output_format_arrow_string_as_string",
        "output_format_json_quote_64bit_integers",
        "output_format_json_quote_denormals",
        "session_timezone",
    }
)
_SYNTAX_LIMITS = {
    "max_query_size": "1048576",
    "max_parser_depth": "250",
    "max_ast_depth": "250",
    "max_ast_elements": "50000",
    "max_expanded_ast_elements": "200000",
}


def service_profile(memory: int) -> dict[str, str]:
    """`memory` is the whole engine's."""
    return {
        "async_insert": "0",  # an insert is acknowledged when its part is on disk
        "implicit_select": "0",  # as a server has it
        "max_memory_usage": str(memory // 2),
        "max_execution_time": str(MAX_QUERY_S),
    }


def reader_profile(limits: ReaderLimits, asked: Mapping[str, str]) -> dict[str, str]:
    """A reader's settings, with what the request asks for where that is harmless.

    Raises:
        EngineError: it asks for a setting a reader may not change, or for more than the limit.
    """
    bounds = _bounds(limits)
    for name, value in asked.items():
        if name in bounds:
            _check_lower(name, value, bounds[name])
        elif name not in _HARMLESS:
            raise EngineError.of(READONLY, f"Cannot modify {name[:64]!r} setting in readonly mode")
    return {
        **{name: str(int(bound)) for name, bound in bounds.items()},
        **asked,
        **_SYNTAX_LIMITS,
        "timeout_overflow_mode": "throw",
        "read_overflow_mode": "throw",
        "result_overflow_mode": "throw",
        "max_bytes_before_external_group_by": "0",  # a reader's query writes no files
        "max_bytes_before_external_sort": "0",
        "max_bytes_ratio_before_external_group_by": "0",
        "max_bytes_ratio_before_external_sort": "0",
        "enable_time_series_aggregate_functions": "1",
        "implicit_select": "0",
        "allow_ddl": "0",
        "allow_introspection_functions": "0",
        "os_threads_nice_value_query": "19",  # components go first, where CAP_SYS_NICE allows
        "readonly": "1",
    }


def _bounds(limits: ReaderLimits) -> dict[str, float]:
    return {
        "max_execution_time": limits.time,
        "max_rows_to_read": limits.rows,
        "max_bytes_to_read": limits.bytes,
        "max_memory_usage": limits.memory,
        "max_result_rows": limits.result_rows,
        "max_result_bytes": limits.result_bytes,
        "max_threads": limits.threads,
    }


def _check_lower(name: str, value: str, bound: float) -> None:
    if not (value.isascii() and value.isdigit() and len(value) < 20 and 1 <= int(value) <= bound):
        raise EngineError.of(
            SETTING_CONSTRAINT_VIOLATION, f"Setting {name} should be from 1 to {int(bound)}"
        )
