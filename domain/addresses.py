"""E-mail addresses: which are well-formed, and their normal form."""

import re
from typing import Final

from email_validator import SPECIAL_USE_DOMAIN_NAMES, EmailNotValidError, validate_email
from email_validator.rfc_constants import CASE_INSENSITIVE_MAILBOX_NAMES

from domain.kernel import Invalid

SPECIAL_USE_DOMAIN_NAMES.clear()  # the library's own way to have it judge the form of an address, not its use

_PLAIN: Final = re.compile(r"\w[\w+-]*(?:\.[\w+-]+)*@(?:[A-Za-z0-9]+(?:-[A-Za-z0-9]+)*\.)+[A-Za-z]{2,}", re.ASCII)
_LONGEST_PLAIN: Final = 63
"""Most addresses are plain: to see that is quicker by far than to examine them, and says the same."""


def check_email(address: str) -> str:
    """Return the address in its normal form; raise Invalid where it is malformed (RFC 5321, 5322, 6531).

    Quoted local parts, comments and address literals are refused too. Whether mail arrives is for its confirmation to
    show: a name such as ``localhost`` or ``example.test`` is well-formed.
    """
    if _PLAIN.fullmatch(address) and len(address) <= _LONGEST_PLAIN:
        local, _, domain = address.partition("@")
        if local.lower() in CASE_INSENSITIVE_MAILBOX_NAMES:
            local = local.lower()
        return f"{local}@{domain.lower()}"
    try:
        return validate_email(address, check_deliverability=False, globally_deliverable=False).normalized
    except EmailNotValidError:
        raise Invalid("email.malformed", "That is not an e-mail address.") from None
