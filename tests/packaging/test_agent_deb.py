"""The agent's .deb in a fresh Debian that systemd has booted: installed, run, upgraded, purged."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from booted_debian import Debian, booted, fresh_debian
from novacron_agent.settings import read_settings
from otlp_receiver import Received, Receiver, otlp_receiver

ROOT = Path(__file__).parents[2]
UNIT = ROOT / "packaging" / "systemd" / "novacron-agent.service"
MANUAL = ROOT / "packaging" / "deb" / "novacron-agent.8"
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
NEXT = "1000.0.0"
STATE = "/var/lib/novacron-agent"
SETTINGS = "/etc/novacron/agent.toml"
LARGEST = 25e6

pytestmark = pytest.mark.timeout(
    600
)  # the first test of a file builds; the first of a week fetches Debian


def build(out: Path, *also: str) -> Path:
    script = ROOT / "packaging" / "deb" / "build_agent.py"
    options: tuple[str | Path, ...] = ("--out", out, *(("--also", *also) if also else ()))
    done = subprocess.run((sys.executable, script, *options), capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return next(out.glob(f"novacron-agent_{VERSION}_*.deb"))


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("built"), NEXT)


@pytest.fixture(scope="module")
def content(package: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("content")
    subprocess.run(("dpkg-deb", "--extract", package, folder), check=True)
    return folder


@pytest.fixture
def debian(package: Path) -> Iterator[Debian]:
    with booted(fresh_debian("python3", "systemd", "systemd-sysv", "libvirt0")) as debian:
        for file in package.parent.glob("*.deb"):
            version = file.name.split("_")[1]
            debian.path(f"/tmp/{version}.deb").write_bytes(file.read_bytes())
        yield debian


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with otlp_receiver() as receiver:
        yield receiver


def install(debian: Debian, receiver: Receiver) -> None:
    """With a policy that starts nothing, so that the agent first runs with the test's receiver."""
    policy = debian.path("/usr/sbin/policy-rc.d")
    policy.write_text("#!/bin/sh\nexit 101\n")
    policy.chmod(0o755)
    debian.run(f"dpkg --install /tmp/{VERSION}.deb")
    assert status(debian) == "inactive"
    policy.unlink()
    settings = debian.path(SETTINGS)
    own = f'[agent]\nendpoint = "{by_name(receiver)}"\ninterval = "1s"\n'
    settings.write_text(settings.read_text().replace("[agent]\n", own, 1))


def by_name(receiver: Receiver) -> str:
    """Names must resolve within the unit's walls."""
    return receiver.url.replace("127.0.0.1", "localhost")


def start(debian: Debian, receiver: Receiver) -> None:
    install(debian, receiver)
    debian.run("systemctl start novacron-agent")
    receiver.wait_for(1)


def status(debian: Debian) -> str:
    return debian.run("systemctl is-active novacron-agent", check=False).stdout.strip()


def mountpoints(requests: list[Received]) -> set[str]:
    return {
        attribute.value.string_value
        for request in requests
        for resource in request.message.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
        if metric.name == "system.filesystem.limit"
        for point in metric.sum.data_points
        for attribute in point.attributes
        if attribute.key == "system.filesystem.mountpoint"
    }


def test_the_unit_is_exposed_to_little() -> None:
    command = ("systemd-analyze", "security", "--offline=true", "--threshold=20", "--no-pager")
    done = subprocess.run((*command, UNIT), capture_output=True, text=True)

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.booted
def test_the_same_sources_give_the_same_package(package: Path, tmp_path: Path) -> None:
    again = build(tmp_path)

    assert digest(again) == digest(package)


def digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def test_the_package_is_small(package: Path) -> None:
    assert package.stat().st_size <= LARGEST


def test_the_agent_alone_is_in_it(content: Path) -> None:
    libraries = next((content / "opt/novacron-agent/lib").glob("*/site-packages"))
    own = {path.name for path in libraries.glob("novacron*")}

    assert own == {
        "novacron_agent",
        "novacron_contract",
        "novacron_otlp",
        f"novacron-{VERSION}.dist-info",
    }
    assert [name for name in ("pip", "setuptools") if (libraries / name).exists()] == []
    points = (libraries / f"novacron-{VERSION}.dist-info" / "entry_points.txt").read_text()
    assert "novacron_agent.cli:main" in points
    assert "novacron_collector" not in points


def test_nothing_in_it_tells_where_it_was_built(content: Path) -> None:
    made_in = "/novacron-agent-deb-"  # the folder; libraries may speak of /tmp themselves
    telltales = [str(ROOT), str(Path(sys.executable).parents[1]), made_in, f"{Path.home()}/."]
    found = [
        f"{path.relative_to(content)}: {telltale}"
        for path in content.rglob("*")
        if path.is_file() and not path.is_symlink()
        for telltale in telltales
        if path.suffix != ".py" and telltale.encode() in path.read_bytes()
    ]

    assert found == []


def test_what_the_agent_keeps_is_in_the_folder_that_is_its_own(content: Path) -> None:
    """/var/lib/novacron is that of `make up`: purging the agent must not touch it."""
    settings = read_settings(content / SETTINGS.lstrip("/"))

    kept = [v for v in vars_of(settings) if isinstance(v, Path) and v.is_relative_to("/var")]
    assert kept
    assert [path for path in kept if not path.is_relative_to(STATE)] == []


def vars_of(settings: object) -> Iterator[object]:
    for name in getattr(settings, "__dataclass_fields__", {}):
        value = getattr(settings, name)
        yield value
        yield from vars_of(value)


def test_the_manual_knows_every_option() -> None:
    program = Path(sys.executable).with_name("novacron-agent")
    usage = subprocess.run((program, "--help"), capture_output=True, text=True, check=True).stdout
    manual = MANUAL.read_text().replace("\\-", "-")

    told, written = (set(re.findall(r"--[a-z-]+", text)) for text in (usage, manual))
    assert written == told


@pytest.mark.booted
def test_installed_it_runs_as_its_own_user_and_sends(debian: Debian, receiver: Receiver) -> None:
    for place in ("/home", "/srv"):  # filesystems of their own, as far as the agent can tell
        debian.run(f"mount -t tmpfs -o size=1M /dev{place} {place}")
    start(debian, receiver)

    assert debian.says("novacron-agent --version") == f"novacron-agent {VERSION}"
    pid = debian.says("systemctl show --property MainPID --value novacron-agent")
    assert debian.says(f"stat -c %U /proc/{pid}") == "novacron-agent"
    assert debian.says(f"stat -c '%U:%G %a' {SETTINGS}") == "root:novacron-agent 640"
    assert debian.says(f"stat -c '%U %a' {STATE}") == "novacron-agent 700"
    assert {"/", "/home", "/srv"} <= mountpoints(receiver.wait_for(2))
    debian.run("dpkg --verify novacron-agent | grep -v ' c ' && exit 1 || true")
    assert debian.says("systemctl is-enabled novacron-agent") == "enabled"


@pytest.mark.booted
def test_an_administrator_sees_what_it_would_send(debian: Debian, receiver: Receiver) -> None:
    install(debian, receiver)
    once = f"/usr/bin/novacron-agent --config {SETTINGS} --once --json"
    user = "setpriv --reuid novacron-agent --regid novacron-agent --clear-groups"
    done = debian.run(f"{user} {once}", check=False)

    assert "system.cpu.time" in json.dumps(json.loads(done.stdout))
    assert "libvirt" in done.stderr  # there is none in that Debian: said, and all else measured
    assert receiver.received == []


PROBE = """
import ctypes, glob, json, os, socket
def tells(read):
    try:
        return read() or True
    except OSError as err:
        return err.strerror
files = ["/proc/1/stat", "/proc/1/cgroup", "/proc/stat", "/proc/diskstats", "/proc/mdstat",
         *sorted(glob.glob("/proc/pressure/*")), *sorted(glob.glob("/sys/fs/cgroup/*/cpu.stat")),
         *sorted(glob.glob("/sys/class/hwmon/*/name")), *sorted(glob.glob("/sys/block/*/stat")),
         *sorted(glob.glob("/sys/class/net/*/speed"))]
seen = {name: tells(lambda: bool(open(name).read())) for name in files}
seen["processes"] = len([name for name in os.listdir("/proc") if name.isdigit()]) > 3
seen["clock"] = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(512)) >= 0
for place in ("/", "/home", "/srv", "/run", "/var"):
    seen[place] = tells(lambda: os.statvfs(place).f_blocks)
for family in (socket.AF_UNIX, socket.AF_INET, socket.AF_INET6):
    seen[str(family)] = tells(lambda: socket.socket(family).close())
print("PROBE", json.dumps(seen, sort_keys=True))
"""


@pytest.mark.booted
def test_the_units_walls_hide_nothing_it_measures(debian: Debian, receiver: Receiver) -> None:
    """What can be read within the unit is what the same user can read without it."""
    install(debian, receiver)
    debian.run("mount -t tmpfs -o size=1M /dev/home /home")
    debian.path("/usr/local/probe").write_text(PROBE)
    override = debian.path("/etc/systemd/system/novacron-agent.service.d/probe.conf")
    override.parent.mkdir()
    python = "/opt/novacron-agent/bin/python3 /usr/local/probe"
    override.write_text(f"[Service]\nType=oneshot\nRestart=no\nExecStart=\nExecStart={python}\n")
    debian.run("systemctl daemon-reload; systemctl start novacron-agent")
    user = "setpriv --reuid novacron-agent --regid novacron-agent --clear-groups"
    without = debian.says(f"{user} {python}")
    within = debian.says("journalctl --unit novacron-agent --output cat | grep ^PROBE")

    assert json.loads(without.removeprefix("PROBE"))["clock"] is True
    assert within == without


@pytest.mark.booted
def test_an_upgrade_keeps_settings_and_what_waits(debian: Debian, receiver: Receiver) -> None:
    start(debian, receiver)
    debian.run(f"echo waiting >{STATE}/kept")
    edited, agent = debian.says(f"cat {SETTINGS}"), debian.says(f"cat {STATE}/agent-id")

    debian.run(f"dpkg --install /tmp/{NEXT}.deb")

    assert debian.says("dpkg-query --show --showformat '${Version}' novacron-agent") == NEXT
    assert debian.says(f"cat {SETTINGS}") == edited
    assert debian.says(f"cat {STATE}/agent-id {STATE}/kept") == f"{agent}\nwaiting"
    seen = len(receiver.received)
    receiver.wait_for(seen + 2)
    assert status(debian) == "active"


@pytest.mark.booted
def test_a_disabled_agent_stays_disabled(debian: Debian, receiver: Receiver) -> None:
    start(debian, receiver)
    debian.run("systemctl disable --now novacron-agent")

    debian.run(f"dpkg --install /tmp/{NEXT}.deb")

    assert debian.run("systemctl is-enabled novacron-agent", check=False).stdout == "disabled\n"
    assert status(debian) == "inactive"


@pytest.mark.booted
def test_removed_it_keeps_settings_and_purged_it_leaves_nothing(
    debian: Debian, receiver: Receiver
) -> None:
    before, accounts = debian.files(), debian.says("cat /etc/passwd /etc/group /etc/shadow")
    start(debian, receiver)
    debian.run(f"echo waiting >{STATE}/kept; novacron-agent --version")  # Python may write as root
    debian.run("systemctl enable novacron-smart.socket")

    debian.run("dpkg --remove novacron-agent")
    assert status(debian) == "inactive"
    assert debian.says(f"cat {STATE}/kept") == "waiting"
    assert by_name(receiver) in debian.says(f"cat {SETTINGS}")
    assert "/opt" not in "".join(debian.files() - before)

    debian.run("dpkg --purge novacron-agent")
    assert debian.files() - before == set()
    assert before - debian.files() <= {"/opt"}  # dpkg takes a folder that was empty before
    assert debian.says("cat /etc/passwd /etc/group /etc/shadow") == accounts
