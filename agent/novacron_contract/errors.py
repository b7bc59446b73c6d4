"""The errors that cross a component's border.

NovaCronError
 ├── ConfigError     what the operator wrote is wrong: one line, exit 2
 ├── BadMessage      a sender's bytes or a user's request cannot be understood (400)
 ├── TooLarge        over a stated limit (413)
 ├── NotFound        no such host, VM, metric, ... (404)
 ├── Unauthenticated nobody knows who asks: no credential, or one that does not hold (401)
 ├── Refused         understood, and not allowed (403)
 ├── Conflict        something else stands in the way: a name in use, another state (409)
 ├── TooMany         too often or too many at once: later (429)
 └── Unavailable     a peer (store, hypervisor, collector) does not answer now: try again (503)
"""

from __future__ import annotations


class NovaCronError(Exception):
    """`status` is the HTTP status it becomes; `retryable`: whether the same call may succeed."""

    status = 500
    retryable = False


class ConfigError(NovaCronError):
    status = 400


class BadMessage(NovaCronError):
    status = 400


class TooLarge(NovaCronError):
    status = 413


class NotFound(NovaCronError):
    status = 404


class Refused(NovaCronError):
    status = 403


class Unauthenticated(NovaCronError):
    status = 401


class Conflict(NovaCronError):
    status = 409


class TooMany(NovaCronError):
    status = 429
    retryable = True


class Unavailable(NovaCronError):
    status = 503
    retryable = True
