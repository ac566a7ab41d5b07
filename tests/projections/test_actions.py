from datetime import date

from domain.kernel import identify
from projections.actions import Actions
from tests.support.store import START, Store

ANNA, POLICY = identify("supporter", "anna"), identify("policy", "p")


def begin(store: Store) -> None:
    for supporter in ("anna", "ben"):
        store.run("supporters.register", supporter=supporter)
    for policy in ("p", "q"):
        store.run("policies.track", policy=policy, title=policy, kind="bill")
    for number, (policy, supporter) in enumerate([("p", "anna"), ("q", "anna"), ("p", "ben")]):
        store.run(
            "actions.log",
            action=f"a{number}",
            policy=policy,
            supporter=supporter,
            kind="call",
            on="2026-01-05",
            minutes=10,
            note="They listened",
            at=START,
        )


def test_an_action_shows_what_was_done_and_what_came_back(store: Store) -> None:
    begin(store)
    for summary in ("Thank you", "We will vote"):
        store.run("actions.record_response", action="a0", summary=summary, on="2026-01-06")
    store.catch_up()
    key = identify("action", "a0")
    with store.views() as views:
        actions, connection = views[Actions], views.connection
        found = actions.find(connection, key)
        assert found is not None
        assert (found.reference, found.policy, found.supporter, found.kind) == ("a0", POLICY, ANNA, "call")
        assert (found.on, found.minutes, found.state, found.logged_at) == (date(2026, 1, 5), 10, "logged", START)
        assert views.open([found.note]) == ["They listened"]
        responses = [(row.summary, row.on) for row in actions.responses_of(connection, [key])]
        assert responses == [("Thank you", date(2026, 1, 6)), ("We will vote", date(2026, 1, 6))]


def test_actions_are_listed_by_policy_and_by_supporter_the_newest_first(store: Store) -> None:
    begin(store)
    with store.seen(Actions) as (actions, connection):
        assert [row.reference for row in actions.of_policy(connection, POLICY)] == ["a2", "a0"]
        assert [row.reference for row in actions.of_supporter(connection, ANNA)] == ["a1", "a0"]
        (newest,) = actions.all(connection, limit=1)
        assert newest.reference == "a2"
        assert [row.reference for row in actions.all(connection, before=newest.position)] == ["a1", "a0"]


def test_an_action_keeps_why_it_was_rejected_until_it_is_verified_after_all(store: Store) -> None:
    begin(store)
    store.run("actions.reject", action="a1", reason="never happened", at=START)
    with store.seen(Actions) as (actions, connection):
        (rejected,) = actions.all(connection, states=["rejected"])
        assert (rejected.reference, rejected.reason, rejected.changed_at) == ("a1", "never happened", START)
    store.run("actions.verify", action="a1")
    with store.seen(Actions) as (actions, connection):
        (verified,) = actions.of_supporter(connection, ANNA, states=["verified"])
        assert (verified.reference, verified.reason) == ("a1", None)
