"""The write-ahead log: what was appended is there, whatever happened to the process or the disk."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from novacron_collector.wal import frames
from novacron_collector.wal.log import Log, LogFull
from novacron_collector.wal.segment import Segment
from novacron_contract.errors import ConfigError
from wal_folder import MIB, limits

PAYLOADS = st.lists(st.tuples(st.binary(max_size=40), st.binary(max_size=400)), max_size=8)


def written(payloads: list[tuple[bytes, bytes]]) -> list[bytes]:
    """The bytes of each frame."""
    return [b"".join(frames.frame(meta, [data])) for meta, data in payloads]


def read(content: bytes) -> list[tuple[bytes, bytes]]:
    return [(one.meta, bytes(one.data)) for one in frames.scan(memoryview(content)).frames]


@given(PAYLOADS)
def test_what_was_framed_is_read(payloads: list[tuple[bytes, bytes]]) -> None:
    content = b"".join(written(payloads))
    assert read(content) == payloads
    found = frames.scan(memoryview(content))
    assert (found.damaged, found.torn) == (0, False)


@given(PAYLOADS.filter(bool), st.data())
def test_a_cut_loses_the_frame_it_is_in_alone(
    payloads: list[tuple[bytes, bytes]], data: st.DataObject
) -> None:
    """As a crash within an append leaves it: nobody was told that it was stored."""
    whole = written(payloads)
    before = b"".join(whole[:-1])
    cut = data.draw(st.integers(1, len(whole[-1]) - 1))
    found = frames.scan(memoryview(before + whole[-1][:cut]))
    assert [one.meta for one in found.frames] == [meta for meta, _ in payloads[:-1]]
    assert (found.damaged, found.torn) == (0, True)


@given(PAYLOADS.filter(bool), st.data())
def test_what_is_known_without_the_data_is_known_of_whole_frames_alone(
    payloads: list[tuple[bytes, bytes]], data: st.DataObject
) -> None:
    """Or a request that was cut off would be taken for stored when it is sent again."""
    content = b"".join(written(payloads))
    cut = content[: data.draw(st.integers(0, len(content)))]
    whole = [one.meta for one in frames.scan(memoryview(cut)).frames]
    assert frames.metas(io.BytesIO(cut)) == whole


@given(PAYLOADS.filter(bool), st.data())
def test_a_damaged_place_costs_one_frame_and_is_told(
    payloads: list[tuple[bytes, bytes]], data: st.DataObject
) -> None:
    whole = written(payloads)
    victim = data.draw(st.integers(0, len(whole) - 1))
    place = data.draw(st.integers(0, len(whole[victim]) - 1))
    damaged = bytearray(whole[victim])
    damaged[place] ^= data.draw(st.integers(1, 255))
    content = b"".join([*whole[:victim], bytes(damaged), *whole[victim + 1 :]])
    found = frames.scan(memoryview(content))
    others = payloads[:victim] + payloads[victim + 1 :]
    assert [(one.meta, bytes(one.data)) for one in found.frames] == others
    assert found.damaged or found.torn
    # In the last frame a damaged length looks like a frame that was cut.
    assert found.damaged or victim == len(whole) - 1


def appended(folder: Path, *texts: str, weight: int = 100_000) -> Log:
    log = Log(folder, limits(weight=weight, age=0))
    for text in texts:
        log.append(text.encode(), [b"data of ", text.encode()], 1)
    return log


def left_in(log: Log) -> list[str]:
    """Take everything out, oldest first."""
    found = []
    while (segment := log.oldest(0)) is not None:
        scan = segment.read()
        for frame in scan.frames:
            assert bytes(frame.data) == b"data of " + frame.meta
            found.append(frame.meta.decode())
        if scan.damaged:
            log.set_aside(segment, "the test damaged it")
        else:
            log.remove(segment)
    return found


def test_segments_come_out_in_the_order_they_went_in(tmp_path: Path) -> None:
    log = appended(tmp_path, "a", "b", "c", "d", "e", weight=2)
    assert log.state().segments == 3
    assert log.state().bytes == sum(path.stat().st_size for path in tmp_path.glob("*.seg"))
    assert left_in(log) == ["a", "b", "c", "d", "e"]
    assert (log.state().segments, log.state().bytes) == (0, 0)
    assert not list(tmp_path.glob("*.seg"))


def test_a_restart_finds_what_waits_and_goes_on_behind_it(tmp_path: Path) -> None:
    appended(tmp_path, "a", "b").close()
    log = appended(tmp_path, "c")
    assert left_in(log) == ["a", "b", "c"]


def test_a_segment_is_as_old_as_allowed_before_it_is_given_out(tmp_path: Path) -> None:
    clock = [1000.0]
    log = Log(tmp_path, limits(weight=7, age=5), now=lambda: clock[0])
    log.append(b"before", [b"data of before"], 7)
    log.append(b"young", [b"data of young"], 1)
    log.remove(given_out(log))
    clock[0] += 4
    assert log.oldest(0) is None
    clock[0] += 1
    assert log.oldest(0) is not None


def test_what_comes_after_a_pause_is_given_out_soon(tmp_path: Path) -> None:
    clock = [1000.0]
    log = Log(tmp_path, limits(age=5), now=lambda: clock[0])
    for _ in range(2):
        log.append(b"young", [b"data of young"], 1)
        assert log.oldest(0) is None, "more may come at once"
        clock[0] += 0.2
        log.remove(given_out(log))
        clock[0] += 5


def given_out(log: Log) -> Segment:
    segment = log.oldest(0)
    assert segment is not None
    return segment


def test_a_clock_that_jumps_back_holds_nothing_up(tmp_path: Path) -> None:
    clock = [1000.0]
    log = Log(tmp_path, limits(age=5), now=lambda: clock[0])
    log.append(b"young", [b"data of young"], 1)
    clock[0] -= 500
    assert log.oldest(0) is not None


def test_a_damaged_segment_is_set_aside_and_counted(tmp_path: Path) -> None:
    appended(tmp_path, "a", "b", "c").close()
    (path,) = tmp_path.glob("*.seg")
    content = bytearray(path.read_bytes())
    content[content.index(b"data of b")] ^= 1
    path.write_bytes(content)

    log = Log(tmp_path, limits())

    assert left_in(log) == ["a", "c"]
    assert log.state().set_aside == 1
    assert (tmp_path / "set-aside" / path.name).read_bytes() == content
    log.close()
    assert Log(tmp_path, limits()).state().set_aside == 1, "told until somebody has looked"


def test_beyond_its_size_it_takes_nothing_until_something_left(tmp_path: Path) -> None:
    log = Log(tmp_path, limits(size=1000, age=0))
    log.append(b"first", [b"data of first"], 1)
    with pytest.raises(LogFull, match="is full"):
        log.append(b"second", [b"x" * 1000], 1)
    assert "is full" in log.problem
    assert left_in(log) == ["first"]
    log.append(b"third", [b"data of third"], 1)
    assert log.problem == ""
    assert left_in(log) == ["third"]


def test_a_full_disk_loses_nothing_and_recovers_by_itself(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(disk)], check=True)
    try:
        allowed = replace(
            limits(size=64 * MIB, age=0), keep_free=-MIB
        )  # meets the full disk itself
        log = Log(disk, allowed)
        log.append(b"first", [b"data of first"], 1)
        ballast = disk / "ballast"
        ballast.write_bytes(b"x" * 200_000)
        with pytest.raises(LogFull, match="cannot be written: No space left"):
            log.append(b"large", [b"x" * 100_000], 1)
        ballast.unlink()
        log.append(b"second", [b"data of second"], 1)
        assert left_in(log) == ["first", "second"]
        assert log.state().set_aside == 0
        log.close()
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


def test_what_left_takes_no_room_and_gives_none(tmp_path: Path) -> None:
    log = appended(tmp_path, *"abcdefgh", weight=3)
    on_disk = sum(path.stat().st_size for path in tmp_path.glob("*.seg"))
    assert log.state().bytes == on_disk
    left_in(log)
    assert log.state().bytes == 0


def test_the_disk_is_not_filled_to_the_brim(tmp_path: Path) -> None:
    room = os.statvfs(tmp_path)
    free = room.f_bavail * room.f_frsize
    log = Log(tmp_path, replace(limits(), keep_free=2 * free))
    with pytest.raises(LogFull, match="MiB are free"):
        log.append(b"any", [b"data of any"], 1)


def test_a_folder_serves_one_process(tmp_path: Path) -> None:
    log = Log(tmp_path, limits())
    with pytest.raises(ConfigError, match="another novacron-collector uses this folder"):
        Log(tmp_path, limits())
    log.close()
    Log(tmp_path, limits()).close()


def test_a_folder_that_cannot_be_used_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot hold the write-ahead log: Not a directory"):
        Log(tmp_path / "file" / "wal", limits())


_APPENDER = """
import sys
from pathlib import Path
from novacron_collector.wal.log import Log, LogLimits
log = Log(Path(sys.argv[1]), LogLimits(size=1e9, keep_free=0, weight=7, age=60))
for n in range(10**9):
    log.append(str(n).encode(), [b"data of ", str(n).encode()], 1)
    print(n, flush=True)
"""


def test_what_a_killed_process_appended_is_there(tmp_path: Path) -> None:
    for _ in range(3):
        command = [sys.executable, "-c", _APPENDER, str(tmp_path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(0.3)
            process.send_signal(signal.SIGKILL)
            told = process.stdout.read().split()
        log = Log(tmp_path, limits())
        found = left_in(log)
        assert found[: len(told) + 1] == [str(n) for n in range(len(told) + 1)]
        assert len(found) <= len(told) + 2, "at most the one that was being told"
        assert log.state().set_aside == 0
        log.close()


def test_what_was_removed_leaves_exactly_no_bytes(tmp_path: Path) -> None:
    """Or the log would grow beyond its size, a little with each frame that passes."""
    log = appended(tmp_path, *"abcdefgh", weight=3)
    assert log.state().bytes == sum(path.stat().st_size for path in tmp_path.glob("*.seg"))
    left_in(log)
    assert log.state().bytes == 0
