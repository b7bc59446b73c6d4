"""Secrets that programs hold: 256 random bits after a prefix that tells what they are for.

nct_ API token   nvs_ session   nvj_ join token   nci_ ingest token
"""

from __future__ import annotations

import hashlib
import re
import secrets

_BYTES = 32
_LENGTH = 43  # of 32 bytes in base64url


def mint(prefix: str) -> str:
    return f"{prefix}{secrets.token_urlsafe(_BYTES)}"


def has_form(text: str, prefix: str) -> bool:
    """Whether it may be such a secret at all: no database is asked for anything else."""
    return len(text) == len(prefix) + _LENGTH and bool(
        re.fullmatch(rf"{re.escape(prefix)}[A-Za-z0-9_-]{{{_LENGTH}}}", text)
    )


def digest(secret: str) -> str:
    """What is kept of it, and looked up by. A hash for passwords would be no better: nobody guesses
    256 bits, and who times a look-up by hash learns of hashes they cannot choose."""
    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()
