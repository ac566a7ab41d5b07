"""Leaderboards over HTTP: five scopes, three windows, and the events behind every number of points."""

from typing import Annotated, Final

from fastapi import APIRouter, Path

from api.boards import BOARD, EXPLAINED, TEAMS, Explained, Leaderboard, TeamBoard
from api.campaigns import CampaignPath
from api.chapters import ChapterPath
from api.common import LARGEST_PAGE, PAGE_SIZE, Limit, Named
from api.openapi import answers
from api.standings import Question, SortQuery, explain, known, read_board, read_teams
from domain.campaigns import Campaign
from domain.chapters import Chapter
from projections.boards import Scope
from projections.teams import Sort

router = APIRouter(prefix="/leaderboards", tags=["leaderboards"])

EntryPath = Annotated[
    str, Named, Path(description="Who stands on the board: a supporter, chapter or partnership.", examples=["anna"])
]
PROBLEMS: Final = ("as_of.in_future",)


@router.get("/movement", summary="Rank supporters", responses=answers(BOARD, *PROBLEMS))
def movement(asked: Question, limit: Limit = PAGE_SIZE) -> Leaderboard:
    """All supporters by their points, most first."""
    return read_board(asked, asked.board(Scope.MOVEMENT), limit)


@router.get(
    "/movement/entries/{entry}",
    summary="Explain a supporter's points",
    responses=answers(EXPLAINED, "entry.unknown", *PROBLEMS),
)
def movement_entry(asked: Question, entry: EntryPath, limit: Limit = LARGEST_PAGE) -> Explained:
    """One supporter's rank and points, with the score entries behind them."""
    return explain(asked, asked.board(Scope.MOVEMENT), entry, limit)


@router.get(
    "/campaigns/{campaign}",
    summary="Rank supporters in a campaign",
    responses=answers(BOARD | {"scope": "campaign"}, "campaign.unknown", *PROBLEMS),
)
def campaign_board(asked: Question, campaign: CampaignPath, limit: Limit = PAGE_SIZE) -> Leaderboard:
    """Supporters by the points they have by one campaign."""
    key = known(asked.store, Campaign, campaign)
    return read_board(asked, asked.board(Scope.CAMPAIGN, key), limit)


@router.get(
    "/campaigns/{campaign}/entries/{entry}",
    summary="Explain a supporter's points in a campaign",
    responses=answers(EXPLAINED, "entry.unknown", *PROBLEMS),
)
def campaign_entry(asked: Question, campaign: CampaignPath, entry: EntryPath, limit: Limit = LARGEST_PAGE) -> Explained:
    """One supporter's rank and points in a campaign, with the score entries behind them."""
    key = known(asked.store, Campaign, campaign)
    return explain(asked, asked.board(Scope.CAMPAIGN, key), entry, limit)


@router.get(
    "/chapters/{chapter}",
    summary="Rank supporters in a chapter",
    responses=answers(BOARD | {"scope": "chapter"}, "chapter.unknown", *PROBLEMS),
)
def chapter_board(asked: Question, chapter: ChapterPath, limit: Limit = PAGE_SIZE) -> Leaderboard:
    """Supporters by the points they have as members of one chapter."""
    key = known(asked.store, Chapter, chapter)
    return read_board(asked, asked.board(Scope.CHAPTER, key), limit)


@router.get(
    "/chapters/{chapter}/entries/{entry}",
    summary="Explain a supporter's points in a chapter",
    responses=answers(EXPLAINED, "entry.unknown", *PROBLEMS),
)
def chapter_entry(asked: Question, chapter: ChapterPath, entry: EntryPath, limit: Limit = LARGEST_PAGE) -> Explained:
    """One supporter's rank and points in a chapter, with the score entries behind them."""
    key = known(asked.store, Chapter, chapter)
    return explain(asked, asked.board(Scope.CHAPTER, key), entry, limit)


@router.get(
    "/chapters",
    summary="Rank chapters as teams",
    responses=answers(TEAMS, *PROBLEMS),
)
def chapters_board(asked: Question, sort: SortQuery = Sort.POINTS, limit: Limit = PAGE_SIZE) -> TeamBoard:
    """Chapters by the points that their members got while they belonged to them: the sum, or the mean per active one.

    Active is who stands on the chapter's own board in the same window: a member with points above 0.
    """
    return read_teams(asked, asked.board(Scope.CHAPTERS), sort, limit)


@router.get(
    "/chapters/entries/{entry}",
    summary="Explain a chapter's points",
    responses=answers(EXPLAINED, "entry.unknown", *PROBLEMS),
)
def chapters_entry(asked: Question, entry: EntryPath, limit: Limit = LARGEST_PAGE) -> Explained:
    """One chapter's rank and points as a team, with the score entries behind them."""
    return explain(asked, asked.board(Scope.CHAPTERS), entry, limit)


@router.get(
    "/partnerships",
    summary="Rank partnerships",
    responses=answers(BOARD | {"scope": "partnerships"}, *PROBLEMS),
)
def partnerships_board(asked: Question, limit: Limit = PAGE_SIZE) -> Leaderboard:
    """Partnerships by the points of the pledges that came by their referral codes."""
    return read_board(asked, asked.board(Scope.PARTNERSHIPS), limit)


@router.get(
    "/partnerships/entries/{entry}",
    summary="Explain a partnership's points",
    responses=answers(EXPLAINED, "entry.unknown", *PROBLEMS),
)
def partnerships_entry(asked: Question, entry: EntryPath, limit: Limit = LARGEST_PAGE) -> Explained:
    """One partnership's rank and points, with the score entries behind them."""
    return explain(asked, asked.board(Scope.PARTNERSHIPS), entry, limit)
