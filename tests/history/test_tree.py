from functools import cache
from hashlib import sha256
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from history import tree
from history.tree import (
    EMPTY_ROOT,
    Entry,
    Growth,
    Tile,
    consistency_proof,
    entry_bytes,
    extends,
    includes,
    inclusion_proof,
    leaf_hash,
    root,
    tiles_of,
    tree_root,
)
from tests.support.rfc6962 import Leaves, consistency_holds, inclusion_holds

INPUTS = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
ROOTS = ["e3b0c442", "6e340b9c", "fac54203", "aeb6bcfe", "d37ee418", "4e3bbb1f", "76e67dad", "ddb89be4", "5dc9da79"]

SIZES = range(301)
FEWER = 4  # proofs that hold are all shown, of those that must not every fourth
LEAVES = [sha256(b"leaf %d" % number).digest() for number in range(70_000)]
SECOND = Leaves(LEAVES)


def read(level: int, start: int, count: int) -> tuple[bytes, ...]:
    """Complete subtrees over LEAVES."""
    assert start // 256 == (start + count - 1) // 256, "one read never crosses a tile"
    width = 256**level
    return tuple(SECOND.mth(i * width, (i + 1) * width) for i in range(start, start + count))


def second_root(size: int) -> bytes:
    return SECOND.mth(0, size)


@pytest.fixture
def each_hash_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The root of a subtree is computed for one proof, and not again for the next of a hundred thousand."""
    monkeypatch.setattr(tree, "root", cache(tree.root))


@pytest.mark.parametrize("size", range(9))
def test_the_known_roots_come_out(size: int) -> None:
    leaves = [leaf_hash(bytes.fromhex(text)) for text in INPUTS[:size]]
    growth = Growth()
    assert list(growth.add(leaves)) == []
    assert root(leaves).hex()[:8] == growth.root().hex()[:8] == Leaves(leaves).mth(0, size).hex()[:8] == ROOTS[size]


def test_an_entry_is_canonical_json_and_takes_ids_in_both_forms() -> None:
    stream = "6ba7b810-9dad-11d1-80b4-00c04fd430c8"
    ids: list[Any] = [stream, UUID(stream)]
    entries = [
        Entry(
            actor="import:π",
            causation=None,
            command='"quoted"',
            correlation=None,
            data_sha256="00",
            event=one,
            format=1,
            occurred_at="2026-11-22T05:13:04.581695Z",
            position=7,
            recorded_at="2026-11-22T05:13:04.581695Z",
            stream=one,
            topic="pledges.Made",
            version=1,
        )
        for one in ids
    ]
    expected = (
        '{"actor":"import:π","causation":null,"command":"\\"quoted\\"","correlation":null,"data_sha256":"00",'
        f'"event":"{stream}","format":1,"occurred_at":"2026-11-22T05:13:04.581695Z","position":7,'
        f'"recorded_at":"2026-11-22T05:13:04.581695Z","stream":"{stream}","topic":"pledges.Made","version":1}}'
    ).encode()
    assert [entry_bytes(entry) for entry in entries] == [expected, expected]


def test_roots_at_every_size_agree_with_the_definition() -> None:
    growth = Growth()
    for size in range(600):
        expected = second_root(size)
        assert root(LEAVES[:size]) == growth.root() == tree_root(read, size) == expected
        list(growth.add(LEAVES[size : size + 1]))


@pytest.mark.usefixtures("each_hash_once")
def test_inclusion_proofs_of_every_leaf_and_size() -> None:
    for size in SIZES[1:]:
        top = second_root(size)
        for index in range(size):
            leaf, proof = LEAVES[index], inclusion_proof(read, index, size)
            assert proof == SECOND.path(index, 0, size)
            assert includes(leaf, index, size, proof, top)
            assert inclusion_holds(leaf, index, size, proof, top)
            if (index - size) % FEWER:
                continue
            wrong = [(LEAVES[index + 1], index, proof), (leaf, index + 1, proof), (leaf, index, [*proof, leaf])]
            for changed, place, path in [*wrong, (leaf, index, proof[:-1])] if proof else wrong:
                assert not includes(changed, place, size, path, top)
                assert not inclusion_holds(changed, place, size, path, top)


@pytest.mark.usefixtures("each_hash_once")
def test_consistency_proofs_between_every_two_sizes() -> None:
    roots = [second_root(size) for size in SIZES]
    for new in SIZES:
        assert consistency_proof(read, 0, new) == []
        assert extends(0, roots[0], new, roots[new], [])
        for old in range(1, new + 1):
            proof = consistency_proof(read, old, new)
            assert proof == SECOND.proof(old, new)
            assert extends(old, roots[old], new, roots[new], proof)
            assert old == new or consistency_holds(old, roots[old], new, roots[new], proof)
            if old == new or (new - old) % FEWER:
                continue
            longer = [*proof, roots[old]]
            for old_root, new_root, path in (
                (roots[old - 1], roots[new], proof),
                (roots[old], roots[new - 1], proof),
                (roots[old], roots[new], proof[:-1]),
                (roots[old], roots[new], longer),
            ):
                assert not extends(old, old_root, new, new_root, path)
                assert not consistency_holds(old, old_root, new, new_root, path)


def test_a_proof_for_a_smaller_tree_is_none_for_a_larger_one() -> None:
    """Though its way leads to the root that is claimed."""
    for size in range(1, 33):
        for claimed in (size + 1, 2 * size, 2 * size + 1):
            for index in range(size):
                proof = inclusion_proof(read, index, size)
                assert includes(LEAVES[index], index, claimed, proof, second_root(size)) is inclusion_holds(
                    LEAVES[index], index, claimed, proof, second_root(size)
                )
            for old in range(1, size):
                proof = consistency_proof(read, old, size)
                assert extends(old, second_root(old), claimed, second_root(size), proof) is consistency_holds(
                    old, second_root(old), claimed, second_root(size), proof
                )
    assert not includes(LEAVES[0], 0, 2, [], LEAVES[0])
    assert not extends(2, second_root(2), 8, second_root(4), consistency_proof(read, 2, 4))


@given(st.data())
def test_proofs_in_a_large_tree_hold_and_no_changed_one_does(data: st.DataObject) -> None:
    size = data.draw(st.integers(2, 2_000))
    index = data.draw(st.integers(0, size - 1))
    old = data.draw(st.integers(1, size - 1))
    top = tree_root(read, size)
    inclusion, consistency = inclusion_proof(read, index, size), consistency_proof(read, old, size)
    assert includes(LEAVES[index], index, size, inclusion, top)
    assert extends(old, root(LEAVES[:old]), size, top, consistency)
    place = data.draw(st.integers(0, len(inclusion) - 1))
    assert not includes(LEAVES[index], index, size, _flipped(inclusion, place), top)
    place = data.draw(st.integers(0, len(consistency) - 1))
    assert not extends(old, root(LEAVES[:old]), size, top, _flipped(consistency, place))


def _flipped(proof: list[bytes], place: int) -> list[bytes]:
    changed = bytes([proof[place][0] ^ 1]) + proof[place][1:]
    return [*proof[:place], changed, *proof[place + 1 :]]


def test_what_is_not_in_the_tree_has_no_proof() -> None:
    with pytest.raises(ValueError, match="leaf 3 is not in a tree of 3"):
        inclusion_proof(read, 3, 3)
    with pytest.raises(ValueError, match="a tree of 3 cannot begin with one of 4"):
        consistency_proof(read, 4, 3)
    assert not includes(LEAVES[0], 1, 1, [], LEAVES[0])
    assert extends(0, EMPTY_ROOT, 5, root(LEAVES[:5]), [])
    assert not extends(0, LEAVES[0], 5, root(LEAVES[:5]), [])
    assert not extends(5, root(LEAVES[:5]), 4, root(LEAVES[:4]), [])


def test_tiles_have_the_paths_of_the_specification() -> None:
    assert Tile(0, 1_234_067, 256).path == "tile/0/x001/x234/067"
    assert Tile(0, 0, 256).path == "tile/0/000"
    assert Tile(1, 1_000, 17).path == "tile/1/x001/000.p/17"
    assert Tile(None, 273, 112).path == "tile/entries/273.p/112"


@given(st.one_of(st.none(), st.integers(0, 63)), st.integers(0, 10**15), st.integers(1, 256))
def test_a_tile_is_read_back_from_its_path(level: int | None, number: int, width: int) -> None:
    tile = Tile(level, number, width)
    assert Tile.parse(tile.path) == tile


@pytest.mark.parametrize(
    "path",
    [
        "",
        "tile/0/0",
        "tile/00/000",
        "tile/64/000",
        "tile/0/x000/000",
        "tile/0/001/000",
        "tile/0/x001",
        "tile/0/000.p/0",
        "tile/0/000.p/256",
        "tile/0/000.p/01",
        "tile/0/000.p/999",
        "tile/x/000",
        "tile/0/000\n",
        "tile/0/\u0660\u0660\u0660",
        "/tile/0/000",
    ],
)
def test_any_other_path_is_no_tile(path: str) -> None:
    assert Tile.parse(path) is None


def test_a_tree_of_70000_has_the_tiles_of_the_specifications_example() -> None:
    tiles = list(tiles_of(70_000))
    assert [tile for tile in tiles if tile.width < 256] == [Tile(0, 273, 112), Tile(1, 1, 17), Tile(2, 0, 1)]
    assert len(tiles) == 273 + 1 + 1 + 1 + 1
    assert list(tiles_of(256)) == [Tile(0, 0, 256), Tile(1, 0, 1)]
    assert list(tiles_of(0)) == []


def test_a_growing_tree_hands_out_every_full_tile_with_its_root() -> None:
    growth = Growth()
    handed = list(growth.add(iter(LEAVES)))
    assert [tile for tile, _, _ in handed if tile.level == 0] == [Tile(0, number, 256) for number in range(273)]
    assert [tile for tile, _, _ in handed if tile.level] == [Tile(1, 0, 256)]
    for tile, hashes, top in handed:
        assert len(hashes) == 256
        assert tuple(hashes) == read(tile.level or 0, tile.number * 256, 256)
        assert top == root(hashes)
    assert growth.size == 70_000
    assert [len(hashes) for hashes in growth.partial] == [112, 17, 1]
    assert growth.root() == tree_root(read, 70_000) == second_root(70_000)
