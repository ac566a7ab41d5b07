"""How a process of ours uses the interpreter: many objects for long, and threads that wait for databases."""

import gc
import sys
from typing import Final

COLLECT_AFTER: Final = 10_000
"""Objects made before the next collection of the youngest is due; by default 700.

What a batch makes lives until the batch is appended, so a collection in between finds nothing: with the default they
took two fifths of the time that the writer of a server computes. Much rarer ones let memory grow.
"""
SWITCH_SECONDS: Final = 0.0005
"""A thread gives way whenever it waits for the database, and would get its turn back ten times later by default."""


def tune() -> None:
    """Set up the interpreter; to be called once the program is loaded, which is then left alone by collections."""
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER)
    sys.setswitchinterval(SWITCH_SECONDS)
