"""The names under which boards show who stands on them."""

from collections.abc import Sequence
from uuid import UUID

from api.common import shown
from projections.boards import Scope
from projections.chapters import Chapters
from projections.partnerships import Partnerships
from projections.supporters import Supporters
from projections.views import Views


def names_on(opened: Views, scope: Scope, entities: Sequence[UUID]) -> dict[UUID, str | None]:
    """Return names by id: of chapters and partnerships theirs, of supporters only of those who chose to be named."""
    match scope:
        case Scope.CHAPTERS:
            chapters = opened[Chapters].several(opened.connection, entities)
            return {key: row.name for key, row in chapters.items()}
        case Scope.PARTNERSHIPS:
            partnerships = opened[Partnerships].several(opened.connection, entities)
            return {key: row.name for key, row in partnerships.items()}
        case _:
            rows = opened[Supporters].several(opened.connection, entities)
            public = [row for row in rows.values() if row.public]
            names = opened.open([row.display_name or row.name for row in public])
            return {row.id: shown(name) for row, name in zip(public, names, strict=True)}
