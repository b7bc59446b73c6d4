"""novacron backup and novacron restore, over a store and a state database of their own."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest

from cli.runs import Ended
from novacron_cli.main import main
from novacron_collector.tls.authority import open_authority
from novacron_contract.errors import Unavailable
from novacron_store.state import Host, Inventory, migrate, open_state
from novacron_store.telemetry.client import connect
from novacron_store.telemetry.migrations import migrate as migrate_telemetry
from novacron_store.telemetry.writer import write
from store.batches import Line, batch
from store_process import StoreProcess

NOW = datetime.now(UTC)
Run = Callable[..., Ended]


class Place:
    """A collector.toml and the databases it names."""

    def __init__(self, store: StoreProcess, folder: Path) -> None:
        folder.mkdir()
        self.config, self.state = folder / "collector.toml", f"sqlite:///{folder}/state.db"
        password, database = store.service_password_file, f"place_{uuid4().hex}"
        self.config.write_text(
            f'[telemetry]\nurl = "{store.url}"\npassword_file = "{password}"\n'
            f'database = "{database}"\n[state]\nurl = "{self.state}"\n'
            f'[wal]\npath = "{folder}/wal"\n'
        )
        self.authority = folder / "authority"
        self.client = connect(
            store.url, user="service", password=password.read_text(), database=database
        )

    def fill(self) -> None:
        migrate_telemetry(self.client)
        at = time.time()
        lines = [Line("heat", "vm-1", [(at - n, float(n)) for n in range(50)])]
        write(self.client, batch(lines, {"vm-1": {"vm.id": "vm-1"}}), "one", NOW)
        engine = open_state(self.state)
        migrate(engine)
        Inventory(engine).see_hosts([Host("h1", "kvm-a", NOW, NOW, "amd64", "linux", {})])
        engine.dispose()

    def hosts(self) -> list[str]:
        engine = open_state(self.state)
        names = [host.name for host in Inventory(engine).hosts()]
        engine.dispose()
        return names

    def close(self) -> None:
        self.client.command(f"DROP DATABASE IF EXISTS {self.client.database}", use_database=False)
        self.client.close()


@pytest.fixture
def here(store_process: StoreProcess, tmp_path: Path) -> Iterator[Place]:
    place = Place(store_process, tmp_path / "here")
    place.fill()
    yield place
    place.close()


@pytest.fixture
def there(store_process: StoreProcess, tmp_path: Path) -> Iterator[Place]:
    place = Place(store_process, tmp_path / "there")
    yield place
    place.close()


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def run(command: str, folder: Path, place: Place, *words: str) -> Ended:
        code = main([command, str(folder), "--config", str(place.config), *words])
        captured = capsys.readouterr()
        return Ended(code, captured.out, captured.err)

    return run


def test_what_was_copied_is_there_again(
    here: Place, there: Place, run: Run, tmp_path: Path
) -> None:
    copied = run("backup", tmp_path / "copy", here)
    assert copied.code == 0, copied.err
    assert f"{tmp_path}/copy: 50 samples and 1 rows of state in " in copied.out
    assert json.loads((tmp_path / "copy" / "manifest.json").read_text())["novacron"] == "0.1.0"

    restored = run("restore", tmp_path / "copy", there)

    assert restored.code == 0, restored.err
    assert "telemetry and 1 rows of state as of 20" in restored.out
    query = "SELECT ts, value FROM samples ORDER BY ts"
    assert there.client.query(query).result_rows == here.client.query(query).result_rows
    assert there.hosts() == ["kvm-a"]


def test_a_copy_needs_its_base(here: Place, there: Place, run: Run, tmp_path: Path) -> None:
    assert run("backup", tmp_path / "first", here).code == 0
    based = run("backup", tmp_path / "second", here, "--base", str(tmp_path / "first"))
    assert based.code == 0, based.err

    (tmp_path / "first").rename(tmp_path / "moved")
    gone = run("restore", tmp_path / "second", there)
    assert (gone.code, f"{tmp_path}/first: is no whole backup" in gone.err) == (2, True)

    (tmp_path / "moved").rename(tmp_path / "first")
    assert run("restore", tmp_path / "second", there).code == 0


def test_what_is_there_is_not_overwritten(
    here: Place, there: Place, run: Run, tmp_path: Path
) -> None:
    assert run("backup", tmp_path / "copy", here).code == 0
    twice = run("backup", tmp_path / "copy", here)
    assert (twice.code, "a backup has a folder of its own" in twice.err) == (2, True)

    over = run("restore", tmp_path / "copy", here)
    assert (over.code, "is not empty" in over.err) == (2, True)

    assert run("restore", tmp_path / "copy", there).code == 0
    again = run("restore", tmp_path / "copy", there)
    assert (again.code, "is not empty" in again.err) == (2, True)


def test_hosts_that_joined_know_the_collector_that_was_restored(
    here: Place, there: Place, run: Run, tmp_path: Path
) -> None:
    here.fill()
    pin = open_authority(here.authority).pin

    assert run("backup", tmp_path / "copy", here).code == 0
    assert run("restore", tmp_path / "copy", there).code == 0

    assert open_authority(there.authority).pin == pin
    kept = [there.authority / "ca.key", tmp_path / "copy" / "authority" / "ca.key"]
    assert [path.stat().st_mode & 0o077 for path in [*kept, tmp_path / "copy/state.jsonl"]] == [
        0
    ] * 3


def test_another_authority_is_not_overwritten(
    here: Place, there: Place, run: Run, tmp_path: Path
) -> None:
    here.fill()
    open_authority(here.authority)
    pin = open_authority(there.authority).pin
    run("backup", tmp_path / "copy", here)

    ended = run("restore", tmp_path / "copy", there)

    assert (ended.code, "holds another authority than the backup" in ended.err) == (2, True)
    assert open_authority(there.authority).pin == pin
    with pytest.raises(Unavailable, match="no tables yet"):
        there.hosts()


def test_a_copy_that_was_not_finished_is_none(
    here: Place, there: Place, run: Run, tmp_path: Path
) -> None:
    assert run("backup", tmp_path / "copy", here).code == 0
    (tmp_path / "copy" / "manifest.json").unlink()

    for ended in (
        run("restore", tmp_path / "copy", there),
        run("backup", tmp_path / "next", here, "--base", str(tmp_path / "copy")),
    ):
        assert (ended.code, "is no whole backup" in ended.err) == (2, True)
        assert ended.err.count("\n") == 1


def test_a_manifest_that_says_something_else_is_refused(
    here: Place, there: Place, run: Run, tmp_path: Path
) -> None:
    assert run("backup", tmp_path / "copy", here).code == 0
    manifest = tmp_path / "copy" / "manifest.json"
    said = json.loads(manifest.read_text())
    said["telemetry"]["rolled"] = {"x": 1}
    manifest.write_text(json.dumps(said))

    ended = run("restore", tmp_path / "copy", there)
    assert (ended.code, "is none of this program's" in ended.err) == (2, True)


def test_a_store_elsewhere_is_not_asked(here: Place, run: Run, tmp_path: Path) -> None:
    text = here.config.read_text().replace("http://127.0.0.1", "http://192.0.2.1")
    here.config.write_text(text)
    ended = run("backup", tmp_path / "copy", here)
    assert (ended.code, "is not on this machine" in ended.err) == (2, True)
    assert not (tmp_path / "copy").exists()


def test_a_folder_that_cannot_be_made_is_named(here: Place, run: Run) -> None:
    ended = run("backup", Path("/proc/nowhere"), here)
    assert (ended.code, "/proc/nowhere: cannot be used" in ended.err) == (2, True)
