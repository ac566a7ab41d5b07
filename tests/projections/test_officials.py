from domain.kernel import identify
from projections.officials import Officials
from tests.support.store import START, Store

OLGA, PAUL = (identify("official", name) for name in ("olga", "paul"))


def test_an_official_is_listed_by_state_and_comes_back_with_new_particulars(store: Store) -> None:
    store.run("officials.register", official="olga", name="Olga", office="Mayor", phone="112", at=START)
    store.run("officials.register", official="paul", name="Paul")
    store.run("officials.amend", official="paul", party="Greens")
    store.run("officials.retire", official="olga", at=START)
    with store.seen(Officials) as (officials, connection):
        (paul,) = officials.all(connection)
        (olga,) = officials.all(connection, state="retired")
        assert (paul.id, paul.name, paul.party, paul.state) == (PAUL, "Paul", "Greens", "in_office")
        assert (olga.id, olga.registered_at, olga.retired_at) == (OLGA, START, START)
        counts = [officials.count(connection, state=state) for state in ("in_office", "retired", "all")]
        assert counts == [1, 1, 2]
    store.run("officials.register", official="olga", name="Olga B.", office="Senator")
    with store.seen(Officials) as (officials, connection):
        again = officials.find(connection, OLGA)
        assert again is not None
        assert (again.name, again.office, again.phone, again.reference) == ("Olga B.", "Senator", None, "olga")
        assert (again.state, again.retired_at) == ("in_office", None)
        assert officials.several(connection, [OLGA, identify("official", "nobody")]).keys() == {OLGA}


def test_pages_follow_each_other(store: Store) -> None:
    for name in ("olga", "paul"):
        store.run("officials.register", official=name, name=name)
    with store.seen(Officials) as (officials, connection):
        (first,) = officials.all(connection, limit=1)
        (second,) = officials.all(connection, after=first.id)
    assert [first.id, second.id] == sorted([OLGA, PAUL])
