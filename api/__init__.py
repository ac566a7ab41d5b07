"""The doors: HTTP, pages, the command line, settings, and the composition root."""
