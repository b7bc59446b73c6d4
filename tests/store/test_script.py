"""What is printed for whoever runs it by hand makes the database that migrating makes."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from clickhouse_connect.driver.client import Client

from novacron_contract.errors import ConfigError
from novacron_store.telemetry import retention, schema, views
from novacron_store.telemetry.client import connect
from novacron_store.telemetry.migrations import MIGRATIONS, migrate
from novacron_store.telemetry.place import Place
from novacron_store.telemetry.retention import Retention
from novacron_store.telemetry.rollups import Roller
from novacron_store.telemetry.script import statements
from novacron_store.telemetry.writer import write
from store.batches import Line, at, batch

TESTS = Path(__file__).parents[1]
GUIDE = TESTS.parent / "docs" / "clickhouse.md"
KEPT = Retention(raw=3 * 86400, rollup_5m=30 * 86400, rollup_1h=90 * 86400)


def run_by_hand(client: Client, kept: Retention) -> None:
    """As somebody does who is in no database: each statement names the one it means."""
    for statement in statements(Place(client.database or ""), kept):
        client.command(statement, use_database=False)


def layout(client: Client) -> dict[str, str]:
    """How every table and view was made, whatever the database is called."""
    rows = client.query(
        "SELECT name, replaceAll(replaceAll(create_table_query, '`', ''), database, 'x') "
        "FROM system.tables WHERE database = currentDatabase()"
    ).result_rows
    return {row[0]: row[1] for row in rows}


def records(client: Client) -> tuple[int, int]:
    """How many: each change of schema, views or retention would add some."""
    counts = "SELECT (SELECT count() FROM data_migrations), (SELECT count() FROM data_settings)"
    return tuple(client.query(counts).result_rows[0])


@pytest.fixture
def another(engine_url: str) -> Iterator[Client]:
    client = connect(engine_url, database=f"novacron-{uuid4().hex}")
    yield client
    client.command(f"DROP DATABASE IF EXISTS `{client.database}`", use_database=False)
    client.close()


@pytest.mark.parametrize("kept", [Retention(), KEPT], ids=["defaults", "settings"])
def test_by_hand_the_same_is_made_as_by_migrating(
    empty: Client, another: Client, kept: Retention
) -> None:
    migrate(empty, kept)

    run_by_hand(another, kept)

    assert layout(another) == layout(empty)
    assert retention.current(another) == retention.current(empty)


def test_migrating_finds_nothing_to_do_afterwards(empty: Client) -> None:
    run_by_hand(empty, KEPT)
    before = layout(empty), records(empty)

    migrate(empty, KEPT)

    assert (layout(empty), records(empty)) == before
    assert records(empty) == (len(MIGRATIONS), 3)


def test_what_was_made_by_hand_takes_samples(empty: Client) -> None:
    run_by_hand(empty, Retention())
    hour = time.time() // 3600 * 3600 - 3600

    write(empty, batch([Line("heat", "svc", [(hour + n, 1.0) for n in range(100)])]), "one")
    Roller(empty).run(at(hour + 7200))

    assert empty.command("SELECT count() FROM metrics_raw WHERE metric = 'heat'") == 100
    assert empty.command("SELECT sum(count) FROM metrics_5m WHERE metric = 'heat'") == 100


def test_running_it_twice_changes_nothing(empty: Client) -> None:
    run_by_hand(empty, Retention())
    write(empty, batch([Line("heat", "svc", [(time.time(), 1.0)])]), "one")
    before = layout(empty), records(empty)

    run_by_hand(empty, Retention())

    assert (layout(empty), records(empty)) == before
    assert empty.command("SELECT count() FROM samples") == 1


def test_an_older_database_is_not_said_to_be_migrated(empty: Client) -> None:
    empty.command(f"CREATE DATABASE {empty.database}", use_database=False)
    for statement in schema.ddl():
        empty.command(statement)
    empty.insert(schema.MIGRATIONS, [[1, "first layout"]], ["number", "name"])

    run_by_hand(empty, Retention())

    assert records(empty)[0] == 1


@pytest.mark.parametrize("cluster", ["", "production", "eu-1.b_2"])
def test_clickhouse_can_read_every_statement(store: Client, cluster: str) -> None:
    for statement in statements(Place("novacron", cluster), KEPT):
        store.command(f"EXPLAIN AST {statement}")


def test_on_a_cluster_everything_is_made_on_all_of_its_servers() -> None:
    made = [text for text in statements(Place("novacron", "production"), KEPT) if "CREATE" in text]

    assert len(made) == 1 + 2 * len(schema.TABLES) + len(views.VIEWS)
    assert all(" ON CLUSTER 'production'" in text.splitlines()[0] for text in made)
    tables = [text for text in made if "MergeTree" in text]
    assert all("ENGINE = Replicated" in text for text in tables)
    assert not [text for text in made if "currentDatabase()" in text]


@pytest.mark.parametrize("table", schema.TABLES, ids=lambda table: table.name)
def test_rows_that_replace_one_another_are_on_one_shard(table: schema.Table) -> None:
    """FINAL and merges see the rows of one server: what they compare must decide on the shard."""
    if table.engine != "MergeTree":
        deciding = set(re.findall(r"\w+", table.shard)) - {"cityHash64", "toUInt32"}
        assert deciding <= set(re.findall(r"\w+", table.order))


@pytest.mark.parametrize("name", ["it's", "a b", "a;b", "a\nb", "é", "`a`", "x" * 65])
def test_a_name_that_no_cluster_has_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="a cluster's name is letters, digits, _, - and"):
        Place("novacron", name)


def test_the_tables_of_a_cluster_work_on_one_shard(tmp_path: Path) -> None:
    """As far as one process can try it: see one_shard.py."""
    done = subprocess.run(
        (sys.executable, TESTS / "store" / "one_shard.py", tmp_path),
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=300,
    )

    assert done.returncode == 0, done.stderr
    tables = len(schema.TABLES)
    assert json.loads(done.stdout) == {
        "made": {"Replicated": tables, "Distributed": tables, "View": len(views.VIEWS)},
        "recorded": [migration.number for migration in MIGRATIONS],
        "arrived": 40,
        "hours": 1,
        "closed": [["shop", 20, 20.0], ["web", 20, 1900.0]],
        "buckets": [[20, 190.0]],
    }


def test_clickhouse_can_read_what_the_guide_says(store: Client) -> None:
    blocks = re.findall(r"```sql\n(.*?)```", GUIDE.read_text("utf-8"), re.DOTALL)
    found = [
        text for block in blocks for text in re.split(r";\s*(?:--.*)?\n", block) if text.strip()
    ]

    assert len(found) >= 5
    for statement in found:
        store.command(f"EXPLAIN AST {statement}")
