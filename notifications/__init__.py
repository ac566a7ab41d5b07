"""What is sent: planned from the history, kept in an outbox, rendered per person, delivered once."""
