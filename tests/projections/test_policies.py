from datetime import date, timedelta

from domain.kernel import identify
from projections.policies import Policies
from tests.support.store import START, Store

POLICY, OLGA, PAUL = identify("policy", "p"), identify("official", "olga"), identify("official", "paul")


def begin(store: Store) -> None:
    store.run("supporters.register", supporter="anna")
    store.run("officials.register", official="olga", name="Olga", office="Mayor")
    store.run("officials.register", official="paul", name="Paul", party="Greens")
    store.run("policies.track", policy="p", title="Listen", kind="bill", stage="drafted", ask="Vote yes", at=START)


def test_a_policy_moves_through_its_stages_to_its_outcome(store: Store) -> None:
    begin(store)
    store.run("policies.advance", policy="p", stage="floor", on="2026-02-01")
    with store.seen(Policies) as (policies, connection):
        (found,) = policies.all(connection, state="open")
        assert (found.title, found.kind, found.stage, found.ask) == ("Listen", "bill", "floor", "Vote yes")
        stages = [(row.stage, row.on) for row in policies.stages_of(connection, POLICY)]
        assert stages == [("drafted", START.date()), ("floor", date(2026, 2, 1))]
        assert policies.all(connection, state="concluded") == []
    store.run("policies.conclude", policy="p", outcome="won", on="2026-03-01")
    with store.seen(Policies) as (policies, connection):
        (found,) = policies.all(connection, state="concluded")
        assert (found.outcome, found.concluded_on, found.tracked_at) == ("won", date(2026, 3, 1), START)
        assert policies.all(connection, state="open") == []
        assert policies.all(connection, after=POLICY) == []


def test_targets_are_shown_by_name_with_where_they_stand_last(store: Store) -> None:
    begin(store)
    store.run("policies.record_position", policy="p", official="paul", stance="opposes")
    store.run("policies.add_target", policy="p", official="olga")
    store.run("policies.add_target", policy="p", official="paul")
    store.run("policies.record_position", policy="p", official="paul", stance="undecided", evidence="A call", at=START)
    store.run("officials.amend", official="olga", name="Olga B.")
    with store.seen(Policies) as (policies, connection):
        olga, paul = policies.targets_of(connection, [POLICY])
        assert (olga.official, olga.name, olga.office, olga.stance) == (OLGA, "Olga B.", "Mayor", None)
        assert (paul.official, paul.party, paul.stance, paul.evidence) == (PAUL, "Greens", "undecided", "A call")
        assert paul.at == START
    store.run("policies.remove_target", policy="p", official="paul")
    with store.seen(Policies) as (policies, connection):
        assert [row.name for row in policies.targets_of(connection, [POLICY])] == ["Olga B."]
        (known,) = policies.stances_of(connection, POLICY)
        assert (known.official, known.target, known.stance) == (PAUL, False, "undecided")
        assert [row.policy for row in policies.of_official(connection, PAUL)] == [POLICY]


def test_each_action_counts_in_the_state_it_is_in(store: Store) -> None:
    begin(store)
    days = timedelta(days=1)
    for number in range(4):
        at = START + (10 - number) * days
        kind = "call" if number else "letter"
        names = {"action": f"a{number}", "policy": "p", "supporter": "anna", "kind": kind}
        store.run("actions.log", at=at, on=str(START.date()), **names)
    store.run("actions.reject", action="a1", reason="never happened")
    store.run("actions.verify", action="a2")
    store.catch_up()
    store.run("actions.verify", action="a1")
    store.run("actions.retract", action="a3")
    with store.seen(Policies) as (policies, connection):
        rows = policies.actions_by_kind(connection, [POLICY])
        found = {row.kind: (row.logged, row.verified, row.rejected, row.retracted) for row in rows}
        assert found == {"letter": (1, 0, 0, 0), "call": (0, 2, 0, 1)}
        assert policies.several(connection, [POLICY])[POLICY].last_action_at == START + 10 * days
