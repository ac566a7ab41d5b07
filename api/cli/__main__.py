"""``python -m api.cli``: the same as ``groundswell``."""

from api.cli import main

main(prog_name="groundswell")
