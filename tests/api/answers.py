"""Answers of the API, for tests to look into."""

from __future__ import annotations

from typing import Any

from flask.testing import FlaskClient
from werkzeug.test import TestResponse


def json_of(answer: TestResponse, status: int = 200) -> Any:
    assert answer.status_code == status, answer.text[:1000]
    return answer.get_json()


def get(http: FlaskClient, url: str, status: int = 200) -> Any:
    return json_of(http.get(url), status)
