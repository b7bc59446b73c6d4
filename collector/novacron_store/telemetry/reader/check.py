"""Decides whether a reader's statement may run, on the tree ClickHouse's own parser makes of it.

ClickHouse writes the statement anew (comments, quotes and encodings gone), parses that text, and
hands out the tree. Every node, function and table of the tree is looked up in a list of what is
allowed. The new text is what runs: the person's own text is only ever a bound parameter.

A name without a database is a view, a WITH of the statement, or a column. ClickHouse would take
it for any table of the database as well (in `FROM x`, `1 IN x`, also through an alias), so a name
that belongs to a table or a database which is not the reader's is refused wherever it appears.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from novacron_contract.errors import BadMessage, NovaCronError, Refused
from novacron_store.telemetry.client import DATABASE
from novacron_store.telemetry.reader import functions
from novacron_store.telemetry.reader.nodes import EMPTY_FIELDS, FIELDS
from novacron_store.telemetry.views import VIEWS

Ask = Callable[[str, Mapping[str, str]], str]  # runs (query, parameters); the answer as raw text
Node = dict[str, Any]

MAX_STATEMENT = 128 * 1024
_WITH_NAMES = ("", "WithNames", "WithNamesAndTypes")
FORMATS = frozenset(
    {
        *(
            "Arrow",
            "ArrowStream",
            "Markdown",
            "Native",
            "Null",
            "Parquet",
            "TabSeparatedRaw",
            "XML",
        ),
        *(
            "JSON",
            "JSONColumns",
            "JSONCompact",
            "JSONEachRow",
            "JSONLines",
            "JSONStrings",
            "NDJSON",
        ),
        *("Pretty", "PrettyCompact", "PrettyCompactMonoBlock", "PrettySpace", "Vertical"),
        *(f"{name}{suffix}" for name in ("CSV", "TSV", "TabSeparated") for suffix in _WITH_NAMES),
        *(
            f"{name}{suffix}"
            for name in ("JSONCompactEachRow", "RowBinary")
            for suffix in _WITH_NAMES
        ),
    }
)
_SAID_OF_FIELDS = {
    "settings": "SETTINGS",
    "settings_ast": "SETTINGS",
    "out_file": "INTO OUTFILE",
    "stream_settings": "STREAM",
    "children": "a parameter in the place of a name",
}
_SYSTEM_TABLES = ("one", "numbers", "settings")  # clients read settings to connect
_ABOUT = re.compile(rf"(?:SHOW TABLES|DESCRIBE TABLE (?:{DATABASE}\.)?(\w+))( FORMAT (\w+))?")
_TAKEN = """SELECT toJSONString((
    (SELECT groupArray(name) FROM system.databases),
    (SELECT groupArray(name) FROM system.tables WHERE database = {database:String})
))"""
_FUNCTIONS = """SELECT groupArray(name) FROM system.functions
WHERE lower(name) IN splitByChar('\\n', lower({names:String})) FORMAT JSONCompactEachRow"""


@dataclass(frozen=True, slots=True)
class _Taken:
    """Names that mean something else than a column: all databases, and the database's tables."""

    databases: frozenset[str]
    tables: frozenset[str]


class Reader:
    """Checks statements; `ask` runs our own questions with the settings the statement will have."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._views = frozenset(view.name for view in VIEWS)
        self._open = {("system", name) for name in _SYSTEM_TABLES}
        self._open |= {(DATABASE, name) for name in self._views}

    def check(self, statement: str) -> str:
        """The statement as ClickHouse writes it: that text may run, and no other.

        Raises:
            Refused: it asks for something a reader may not have.
            BadMessage: it is no statement.
        """
        if len(statement) > MAX_STATEMENT:
            raise _bad(62, f"the query is longer than {MAX_STATEMENT} characters", "SYNTAX_ERROR")
        if "\0" in statement:
            raise _bad(62, "Syntax error: a NUL character", "SYNTAX_ERROR")
        text = self._by_parser("formatQuerySingleLine", statement)
        if "\ufffd" in text and "\ufffd" not in statement:
            raise _bad(36, "a text that is not UTF-8: write it as unhex('…')", "BAD_ARGUMENTS")
        if about := _ABOUT.fullmatch(text):
            return self._about(about)
        if not text.startswith(("SELECT ", "WITH ", "(")):
            raise _refused(f"only SELECT, SHOW TABLES and DESCRIBE: {text[:40]!r}")
        try:
            tree = json.loads(self._by_parser("parseQueryToJSON", text))
        except (ValueError, RecursionError) as err:
            raise _bad(306, "the query is nested too deeply", "TOO_DEEP_RECURSION") from err
        self._check_tree(tree)
        return text

    def _check_tree(self, tree: Any) -> None:
        if not isinstance(tree, dict) or tree.get("type") != "SelectWithUnionQuery":
            raise _refused("only SELECT")
        taken, nodes = self._taken(), list(_nodes(tree))
        named = {node["name"] for node in nodes if node["type"] == "WithElement"}
        for node in nodes:
            match node["type"]:
                case "TableIdentifier":
                    self._check_table(_parts(node), taken, named)
                case "Identifier":
                    self._check_name(_parts(node), taken)
                case "Function" | "ColumnsApplyTransformer":
                    _check_function(node)
                case "TableExpression" if "table_function" in node:
                    _check_table_function(node["table_function"])
                case "QueryParameter" if str(node["param_type"]).strip() == "Identifier":
                    raise _refused(_SAID_OF_FIELDS["children"])
                case "SelectWithUnionQuery" if "format_ast" in node:
                    check_format(node["format_ast"]["name"])
        self._check_passed_functions(nodes)

    def _check_passed_functions(self, nodes: list[Node]) -> None:
        """`arrayMap(file, paths)` calls file(), unless a column has that name."""
        passed = {name for node in nodes if (name := functions.passed(node)) is not None}
        unknown = sorted(name for name in passed if not functions.allowed(name))
        if not unknown:
            return
        if found := json.loads(self._ask(_FUNCTIONS, {"names": _bound("\n".join(unknown))}))[0]:
            raise _refused(f"function {found[0]}")

    def _check_table(self, parts: tuple[str, ...], taken: _Taken, named: set[str]) -> None:
        if len(parts) == 1:
            self._check_name(parts, taken)
            if parts[0] not in self._views | named:
                raise _bad(60, f"Unknown table {parts[0]!r}: see SHOW TABLES", "UNKNOWN_TABLE")
        elif parts not in self._open:
            raise _refused(f"table {'.'.join(parts)}")

    def _check_name(self, parts: tuple[str, ...], taken: _Taken) -> None:
        if len(parts) > 1 and parts[0] in taken.databases:
            if parts[:2] not in self._open:
                raise _refused(f"table {'.'.join(parts[:2])}")
        elif parts[0] in taken.tables - self._views:
            raise _refused(f"table {DATABASE}.{parts[0]}")

    def _taken(self) -> _Taken:
        answer = json.loads(self._ask(_TAKEN, {"database": DATABASE}))
        databases, tables = answer.values() if isinstance(answer, dict) else answer
        return _Taken(frozenset(databases), frozenset(tables))

    def _about(self, asked: re.Match[str]) -> str:
        """SHOW TABLES and DESCRIBE, which show what is the reader's."""
        view, suffix, form = asked.groups(default="")
        if form:
            check_format(form)
        if not view:
            names = ", ".join(f"'{name}'" for name in sorted(self._views))
            return (
                f"SELECT name, comment FROM system.tables WHERE database = '{DATABASE}' "
                f"AND name IN ({names}) ORDER BY name{suffix}"
            )
        if view not in self._views:
            raise _refused(f"table {DATABASE}.{view}")
        return f"DESCRIBE TABLE {DATABASE}.{view}{suffix}"

    def _by_parser(self, function: str, text: str) -> str:
        try:
            answer = self._ask(f"SELECT {function}({{text:String}})", {"text": _bound(text)})
        except NovaCronError as err:
            raise BadMessage(_without(f" In scope SELECT {function}(", str(err))) from err
        return answer.removesuffix("\n")


def check_format(name: str) -> None:
    """Raises Refused: `name` is none of the formats a reader may have an answer in."""
    if name not in FORMATS:
        raise _refused(f"FORMAT {name[:40]}")


def _nodes(tree: Node) -> Iterator[Node]:
    """Every node below `tree`, each with nothing in it that is not listed."""
    waiting: list[Any] = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, list):
            waiting += node
        elif isinstance(node, dict):
            _check_fields(node)
            yield node
            waiting += (part for name, part in node.items() if name != "value")


def _check_fields(node: Node) -> None:
    kind = node.get("type")
    allowed = FIELDS.get(str(kind))
    if allowed is None:
        raise _refused(f"{kind or 'this'} in a query")
    for name, content in node.items():
        if name in allowed or (name in EMPTY_FIELDS and content is False):
            continue
        raise _refused(_SAID_OF_FIELDS.get(name, f"{name} in {kind}"))


def _check_function(node: Node) -> None:
    name = node.get("name", node.get("func_name"))
    if name is not None and not functions.allowed(str(name)):
        raise _refused(f"function {name}")


def _check_table_function(node: Node) -> None:
    if node.get("name") not in functions.TABLE_FUNCTIONS:
        raise _refused(f"table function {node.get('name')}")


def _parts(node: Node) -> tuple[str, ...]:
    return tuple(node.get("name_parts") or [node["name"]])


def _without(question: str, said: str) -> str:
    """ClickHouse's message about the person's statement, without the question around it."""
    message, asked, rest = said.partition(question)
    return f"{message.rstrip(' :.')}.{rest[rest.rfind(' (') :]}" if asked else said


def _bound(text: str) -> str:
    """`text` as the value of a parameter: ClickHouse reads those as TabSeparated."""
    for char, escaped in (
        ("\\", "\\\\"),
        ("\t", "\\t"),
        ("\n", "\\n"),
        ("\r", "\\r"),
        ("\0", "\\0"),
    ):
        text = text.replace(char, escaped)
    return text


def _refused(what: str) -> Refused:
    return Refused(
        f"Code: 497. DB::Exception: reader: Not enough privileges: {what} is not allowed, only a "
        "SELECT over the views of SHOW TABLES. (ACCESS_DENIED)"
    )


def _bad(code: int, reason: str, name: str) -> BadMessage:
    return BadMessage(f"Code: {code}. DB::Exception: {reason}. ({name})")
