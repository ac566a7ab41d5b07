"""What may happen: pure rules, no I/O."""
