"""The parts a reader's statement may consist of: kinds of nodes of ClickHouse's syntax tree, each
with the fields it may have. A kind or a field that is not listed is refused."""

from __future__ import annotations

from collections.abc import Mapping

_EXPRESSION = "alias children"

_KINDS = {
    "SelectWithUnionQuery": "list_of_selects list_of_modes union_mode format_ast",
    "SelectIntersectExceptQuery": "final_operator children list_of_selects",
    "SelectQuery": (
        "with recursive_with cte_aliases select distinct tables prewhere where qualify window "
        "group_by group_by_all group_by_with_totals group_by_with_rollup group_by_with_cube "
        "group_by_with_grouping_sets having order_by order_by_all interpolate "
        "limit_by limit_by_length limit_by_offset limit_length limit_offset limit_with_ties"
    ),
    "WithElement": "name subquery aliases is_materialized",
    "Subquery": _EXPRESSION + " cte_name",
    "ExpressionList": "children",
    "TablesInSelectQuery": "children",
    "TablesInSelectQueryElement": "table_expression table_join array_join",
    "TableExpression": (
        "database_and_table_name table_function subquery column_aliases final "
        "sample_size sample_offset"
    ),
    "TableIdentifier": "name name_parts alias",
    "TableJoin": "kind strictness locality on_expression using_expression_list",
    "ArrayJoin": "kind expression_list",
    "SampleRatio": "numerator denominator",
    "Function": (
        "name arguments parameters alias kind is_operator is_lambda_function nulls_action "
        "is_window_function window_name window_definition"
    ),
    "WindowListElement": "name definition",
    "WindowDefinition": (
        "parent_window_name partition_by order_by frame_is_default frame_type "
        "frame_begin_type frame_begin_offset frame_begin_preceding "
        "frame_end_type frame_end_offset frame_end_preceding"
    ),
    "OrderByElement": (
        "direction nulls_direction nulls_direction_was_explicitly_specified expression collation "
        "with_fill fill_from fill_to fill_step fill_staleness"
    ),
    "InterpolateElement": "column expr",
    "Identifier": "name name_parts alias",
    "Literal": "value alias",
    "QueryParameter": "name param_type alias",
    "Asterisk": "transformers",
    "QualifiedAsterisk": "qualifier transformers",
    "ColumnsRegexpMatcher": "pattern transformers",
    "ColumnsListMatcher": "column_list transformers",
    "QualifiedColumnsRegexpMatcher": "pattern qualifier transformers",
    "QualifiedColumnsListMatcher": "column_list qualifier transformers",
    "ColumnsTransformerList": "children",
    "ColumnsExceptTransformer": "children pattern is_strict",
    "ColumnsReplaceTransformer": "children is_strict",
    "ColumnsReplaceTransformerReplacement": "name children",
    "ColumnsApplyTransformer": "func_name parameters lambda lambda_arg column_name_prefix",
}

FIELDS: Mapping[str, frozenset[str]] = {
    kind: frozenset(fields.split()) | {"type"} for kind, fields in _KINDS.items()
}

# Fields that every query has; they say where an answer goes, and must say nothing.
EMPTY_FIELDS = frozenset(
    {"is_outfile_append", "is_outfile_truncate", "is_into_outfile_with_stdout"}
)
