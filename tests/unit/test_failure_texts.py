"""What an exception says is shown to many: passwords in it are masked before it is stored."""

from __future__ import annotations

import pytest

from phaseline._shell.failure import MAX_MESSAGE, info_of


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("no route to postgresql://bob:hunter2@db/runs?x=1", "no route to postgresql://bob:***@db/runs?x=1"),
        ("amqp://bob:hun@ter2@mq: refused", "amqp://bob:***@mq: refused"),
        ("no foo://bob:hun ter2@db/runs?token=hunter2, sorry", "no foo://bob:***@db/runs?token=***, sorry"),
        (
            "http://host:80/x and http://[::1]:80/x failed for a@b",
            "http://host:80/x and http://[::1]:80/x failed for a@b",
        ),
        ("no http://host:8080. Ask ops@example.com", "no http://host:8080. Ask ops@example.com"),
        ("<http://host:8080> failed; tell bob@x.org", "<http://host:8080> failed; tell bob@x.org"),
        ("AWS_SECRET_ACCESS_KEY=hunter2", "AWS_SECRET_ACCESS_KEY=***"),
        ("GET /?api_key=hunter2&page=5 gave 403", "GET /?api_key=***&page=5 gave 403"),
        ("connect(host='db', password='hunter2')", "connect(host='db', password=***)"),
        ('{"user": "bob", "token": "hunter2"}', '{"user": "bob", "token": ***}'),
        ("connect failed: password=hunter2, port=5432", "connect failed: password=***, port=5432"),
        ("the token is too old", "the token is too old"),
    ],
)
def test_passwords_in_texts_of_exceptions_are_masked(text: str, shown: str) -> None:
    """In URLs, and after a name that says what it is; all else stays."""
    assert shown == info_of(ValueError(text), "phase").message


def test_of_a_password_where_the_text_is_cut_no_half_is_left() -> None:
    """It is masked before."""
    url = "postgresql://bob:hunter2@db"
    text = "x" * (MAX_MESSAGE - len("postgresql://bob:hun")) + url
    assert "hun" not in info_of(ValueError(text), "phase").message
