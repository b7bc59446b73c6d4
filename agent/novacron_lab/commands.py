"""Running the system's own tools, with their words in the error."""

from __future__ import annotations

import subprocess

from novacron_lab.errors import LabError


def run(*command: str, stdin: str = "", timeout: float = 60) -> str:
    """The command's output.

    Raises:
        LabError: it is missing, failed or took longer than `timeout` seconds.
    """
    try:
        done = subprocess.run(command, capture_output=True, text=True, input=stdin, timeout=timeout)
    except FileNotFoundError as err:
        raise LabError(f"{command[0]}: no such command on this machine") from err
    except subprocess.TimeoutExpired as err:
        raise LabError(f"{' '.join(command)}: no answer within {timeout:g} s") from err
    if done.returncode != 0:
        words = (done.stderr or done.stdout).strip() or f"exit status {done.returncode}"
        raise LabError(f"{' '.join(command)}: {words}")
    return done.stdout
