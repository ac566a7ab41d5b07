"""What the history calls a mail, which anybody may read: never by its id in the outbox.

That id is a secret between us and who gets the mail: whoever knows the return path it makes can report on the mail.
"""

from hashlib import sha256
from uuid import UUID


def alias(mail: UUID) -> UUID:
    """Return the id of a mail in the history; from it nobody finds its id in the outbox."""
    return UUID(bytes=sha256(b"mail" + mail.bytes).digest()[:16])
