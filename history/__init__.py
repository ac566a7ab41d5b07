"""What happened: the one log, the writer that appends to it, everything that makes it trustworthy."""
