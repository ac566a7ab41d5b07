"""What can be seen: read models, each a fold of events into its own tables."""
