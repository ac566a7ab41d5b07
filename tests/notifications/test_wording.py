"""Why a connection failed, as people are told."""

import smtplib
import ssl

import pytest

from notifications.wording import worded

HERE = "mail.example.org:25"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ConnectionRefusedError(111, "Connection refused"), "nothing answers at mail.example.org:25"),
        (TimeoutError("timed out"), "nothing answers at mail.example.org:25"),
        (OSError(113, "No route to host"), "No route to host"),
        (
            smtplib.SMTPServerDisconnected("Connection unexpectedly closed: [Errno 104] Connection reset by peer"),
            ("Connection unexpectedly closed: Connection reset by peer"),
        ),
        (ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number (_ssl.c:1006)"), "wrong version number"),
        (OSError(), "OSError"),
    ],
)
def test_no_number_of_a_program_is_said(error: Exception, said: str) -> None:
    assert worded(error, HERE) == said
