from domain.kernel import identify
from projections.recognitions import Recognitions
from tests.support.store import START, Store

ANNA, BEN, STAR = identify("supporter", "anna"), identify("supporter", "ben"), identify("recognition", "star")


def begin(store: Store) -> None:
    for supporter in ("anna", "ben", "cleo"):
        store.run("supporters.register", supporter=supporter)
    store.run(
        "recognitions.nominate",
        recognition="star",
        title="Star",
        recipient={"kind": "supporter", "id": "anna"},
        nominator="cleo",
        citation="She listens",
        at=START,
    )


def test_a_recognition_is_nominated_endorsed_awarded_and_revoked(store: Store) -> None:
    begin(store)
    store.run("recognitions.endorse", recognition="star", supporter="ben", at=START)
    with store.seen(Recognitions) as (recognitions, connection):
        star = recognitions.find(connection, STAR)
        assert star is not None
        assert (star.title, star.recipient_kind, star.recipient, star.citation) == (
            *("Star", "supporter", ANNA, "She listens"),
        )
        assert (star.nominator, star.state, star.endorsements) == (identify("supporter", "cleo"), "endorsed", 1)
        assert (star.award, star.nominated_at, star.awarded_at) == (None, START, None)
        endorsed = [(row.supporter, row.at) for row in recognitions.endorsements_of(connection, STAR)]
        assert endorsed == [(BEN, START)]
    store.run("recognitions.award", recognition="star", at=START)
    store.run("recognitions.revoke", recognition="star", reason="a mistake", at=START)
    with store.seen(Recognitions) as (recognitions, connection):
        star = recognitions.find(connection, STAR)
        assert star is not None
        assert (star.state, star.reason, star.awarded_at, star.revoked_at) == ("revoked", "a mistake", START, START)


def test_recognitions_are_listed_by_recipient_the_newest_first(store: Store) -> None:
    begin(store)
    store.run("chapters.found", chapter="c", name="C")
    store.run("recognitions.nominate", recognition="two", title="Two", recipient={"kind": "chapter", "id": "c"})
    store.run(
        "recognitions.nominate", recognition="three", title="Three", recipient={"kind": "supporter", "id": "anna"}
    )
    store.run("recognitions.decline", recognition="three")
    with store.seen(Recognitions) as (recognitions, connection):
        assert [row.title for row in recognitions.of_recipient(connection, ANNA)] == ["Three", "Star"]
        declined = recognitions.of_recipient(connection, ANNA, states=["declined"])
        assert [row.title for row in declined] == ["Three"]
        (newest,) = recognitions.all(connection, limit=1)
        rest = recognitions.all(connection, before=newest.position)
        assert [row.title for row in (newest, *rest)] == ["Three", "Two", "Star"]


def test_an_award_by_rule_names_the_rule_and_nobody_can_pretend_one(store: Store) -> None:
    begin(store)
    awards = [{"award": "first-steps", "title": "First steps", "when": {"verified_actions": 1}}]
    store.run("scoring.publish", version=1, points={}, awards=awards, applies="to_all_history")
    store.run("policies.track", policy="p", title="P", kind="bill")
    store.run("actions.log", action="a", policy="p", supporter="ben", kind="call", on="2026-01-05")
    store.run("actions.verify", action="a")
    pretended = f"auto:first-steps:{ANNA}:1"
    store.run(
        "recognitions.nominate", recognition=pretended, title="Mine", recipient={"kind": "supporter", "id": "anna"}
    )
    store.react()
    with store.seen(Recognitions) as (recognitions, connection):
        (given,) = recognitions.of_recipient(connection, BEN)
        assert (given.award, given.state, given.title) == ("first-steps", "awarded", "First steps")
        assert {row.award for row in recognitions.of_recipient(connection, ANNA)} == {None}
