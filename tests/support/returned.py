"""What comes back of mails, as servers write it; the formats are those of RFC 3464, RFC 5965, Exim and qmail."""

from uuid import UUID

HEADERS = """Return-Path: <bounces+{token}@groundswell.example.org>
From: Groundswell <groundswell@groundswell.example.org>
To: anna@example.org
Subject: =?utf-8?q?Ol=C3=A1?=
Message-ID: <{token}@groundswell.example.org>
"""

REPORT = """Return-Path: <>
Delivered-To: {to}
Date: Mon, 09 Mar 2026 09:00:00 +0000
From: MAILER-DAEMON@mx.example.org (Mail Delivery System)
Subject: Undelivered Mail Returned to Sender
To: {to}
Auto-Submitted: auto-replied
MIME-Version: 1.0
Content-Type: multipart/report; report-type={kind}; boundary="B/mx.example.org"

This is a MIME-encapsulated message.

--B/mx.example.org
Content-Description: Notification
Content-Type: text/plain; charset=utf-8

<somebody@else.example>: host mx.example.org said: 250 2.0.0 whatever

--B/mx.example.org
{status}
--B/mx.example.org
Content-Type: {returned}

{headers}
--B/mx.example.org--
"""

DELIVERY = """Content-Type: message/delivery-status

Reporting-MTA: dns; mx.example.org
Arrival-Date: Mon, 09 Mar 2026 08:00:00 +0000

Final-Recipient: rfc822; somebody@else.example
Action: {action}
Status: {status}
Diagnostic-Code: smtp; {said}
"""

FEEDBACK = """Content-Type: message/feedback-report

Feedback-Type: {kind}
User-Agent: SomeGenerator/1.0
Version: 1
{more}"""

EXIM = """Return-path: <>
Envelope-to: {to}
X-Failed-Recipients: somebody@else.example
Auto-Submitted: auto-replied
From: Mail Delivery System <Mailer-Daemon@mx.example.org>
To: {to}
Subject: Mail delivery failed: returning message to sender

This message was created automatically by mail delivery software.

A message that you sent could not be delivered to one or more of its
recipients. This is a permanent error. The following address(es) failed:

  somebody@else.example
    host mx.example.org [192.0.2.1]
    SMTP error from remote mail server after RCPT TO:<somebody@else.example>:
    {said}

------ This is a copy of the message, including all the headers. ------

{headers}
4.4.7 is no status here.
"""

QMAIL = """Return-Path: <>
Delivered-To: {to}
From: MAILER-DAEMON@mx.example.org
To: {to}
Subject: failure notice

Hi. This is the qmail-send program at mx.example.org.
I'm afraid I wasn't able to deliver your message to the following addresses.
This is a permanent error; I've given up. Sorry it didn't work out.

<somebody@else.example>:
{said}

--- Below this line is a copy of the message.

{headers}
"""

HOLIDAY = """Return-Path: <anna@example.org>
Delivered-To: {to}
From: Anna <anna@example.org>
To: {to}
Subject: On holiday (was: 550 5.1.1)
Auto-Submitted: auto-replied

550 5.1.1 is my favourite number. I am back on Monday.
"""


def path(row: UUID) -> str:
    return f"bounces+{row.hex}@groundswell.example.org"


def _sent(text: str) -> bytes:
    return text.replace("\n", "\r\n").encode()


def bounce(
    row: UUID,
    status: str = "5.1.1",
    *,
    action: str = "failed",
    said: str = "550 5.1.1 unknown",
    to: str | None = None,
    returned: str = "text/rfc822-headers",
) -> bytes:
    delivery = DELIVERY.format(action=action, status=status, said=said)
    return _sent(
        REPORT.format(
            to=to or path(row),
            kind="delivery-status",
            status=delivery,
            returned=returned,
            headers=HEADERS.format(token=row.hex),
        )
    )


def complaint(
    row: UUID, kind: str = "abuse", *, to: str = "abuse-reports@groundswell.example.org", more: str = ""
) -> bytes:
    return _sent(
        REPORT.format(
            to=to,
            kind="feedback-report",
            status=FEEDBACK.format(kind=kind, more=more),
            returned="message/rfc822",
            headers=HEADERS.format(token=row.hex),
        )
    )


def exim(row: UUID, said: str) -> bytes:
    return _sent(EXIM.format(to=path(row), said=said, headers=HEADERS.format(token=row.hex)))


def qmail(row: UUID, said: str) -> bytes:
    return _sent(QMAIL.format(to=path(row), said=said, headers=HEADERS.format(token=row.hex)))


def holiday(row: UUID) -> bytes:
    return _sent(HOLIDAY.format(to=path(row)))
