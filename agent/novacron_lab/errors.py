"""What stops the lab."""

from __future__ import annotations

from novacron_contract.errors import NovaCronError


class LabError(NovaCronError):
    """The lab cannot do what was asked; the message says what to do about it."""
