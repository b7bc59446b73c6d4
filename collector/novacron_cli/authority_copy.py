"""The collector's authority in a backup: without its key every host would have to join again."""

from __future__ import annotations

from pathlib import Path

from novacron_contract.errors import ConfigError
from novacron_contract.private_file import write_private

_FOLDER = "authority"
_FILES = ("ca.key", "ca.pem")  # the certificate last: where it is, the key is


def copy_authority(authority: Path, backup: Path) -> bool:
    """False where there is none yet: the collector never ran.

    Raises:
        ConfigError: it cannot be read, or not be written there.
    """
    if not (authority / _FILES[-1]).exists():
        return False
    _copy(authority, backup / _FOLDER)
    return True


def restore_authority(backup: Path, authority: Path) -> bool:
    """False where the backup has none.

    Raises:
        ConfigError: another one is there, or it cannot be written.
    """
    require_none_other(backup, authority)
    copied = backup / _FOLDER
    if not (copied / _FILES[-1]).exists():
        return False
    _copy(copied, authority)
    return True


def require_none_other(backup: Path, authority: Path) -> None:
    """
    Raises:
        ConfigError: the collector has an authority that is not the backup's.
    """
    there, copied = authority / _FILES[-1], backup / _FOLDER / _FILES[-1]
    try:
        if copied.exists() and there.exists() and there.read_bytes() != copied.read_bytes():
            raise ConfigError(
                f"{authority}: holds another authority than the backup: hosts that joined know the "
                "backup's. Move the folder away first"
            )
    except OSError as err:
        raise ConfigError(f"{err.filename}: cannot be read: {err.strerror}") from err


def _copy(source: Path, target: Path) -> None:
    try:
        target.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name in _FILES:
            write_private(target / name, (source / name).read_bytes())
    except OSError as err:
        raise ConfigError(f"{err.filename or target}: cannot be copied: {err.strerror}") from err
