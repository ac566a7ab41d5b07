from collections.abc import Sequence
from hashlib import sha256
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

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

INPUTS = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
ROOTS = ["e3b0c442", "6e340b9c", "fac54203", "aeb6bcfe", "d37ee418", "4e3bbb1f", "76e67dad", "ddb89be4", "5dc9da79"]

SIZES = range(131)
LEAVES = [sha256(b"leaf %d" % number).digest() for number in range(70_000)]


def read(level: int, start: int, count: int) -> list[bytes]:
    """Complete subtrees over LEAVES, the slow way."""
    assert start // 256 == (start + count - 1) // 256, "one read never crosses a tile"
    width = 256**level
    return [naive_root(LEAVES[i * width : (i + 1) * width]) for i in range(start, start + count)]


# The definitions of RFC 6962 §2.1, written down as they stand there: MTH, PATH and SUBPROOF over lists.


def split(n: int) -> int:
    k = 1
    while k * 2 < n:
        k *= 2
    return k


def naive_root(leaves: Sequence[bytes]) -> bytes:
    if len(leaves) <= 1:
        return leaves[0] if leaves else sha256().digest()
    k = split(len(leaves))
    return sha256(b"\x01" + naive_root(leaves[:k]) + naive_root(leaves[k:])).digest()


def naive_path(m: int, leaves: Sequence[bytes]) -> list[bytes]:
    if len(leaves) == 1:
        return []
    k = split(len(leaves))
    if m < k:
        return [*naive_path(m, leaves[:k]), naive_root(leaves[k:])]
    return [*naive_path(m - k, leaves[k:]), naive_root(leaves[:k])]


def naive_subproof(m: int, leaves: Sequence[bytes], whole: bool) -> list[bytes]:  # noqa: FBT001 - as in the RFC
    if m == len(leaves):
        return [] if whole else [naive_root(leaves)]
    k = split(len(leaves))
    if m <= k:
        return [*naive_subproof(m, leaves[:k], whole), naive_root(leaves[k:])]
    return [*naive_subproof(m - k, leaves[k:], False), naive_root(leaves[:k])]  # noqa: FBT003 - as in the RFC


@pytest.mark.parametrize("size", range(9))
def test_the_known_roots_come_out(size: int) -> None:
    leaves = [leaf_hash(bytes.fromhex(text)) for text in INPUTS[:size]]
    growth = Growth()
    assert list(growth.add(leaves)) == []
    assert root(leaves).hex()[:8] == growth.root().hex()[:8] == naive_root(leaves).hex()[:8] == ROOTS[size]


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
        expected = naive_root(LEAVES[:size])
        assert root(LEAVES[:size]) == growth.root() == tree_root(read, size) == expected
        list(growth.add(LEAVES[size : size + 1]))


def test_inclusion_proofs_of_every_leaf_and_size() -> None:
    for size in SIZES[1:]:
        expected = naive_root(LEAVES[:size])
        for index in range(size):
            proof = inclusion_proof(read, index, size)
            assert proof == naive_path(index, LEAVES[:size])
            assert includes(LEAVES[index], index, size, proof, expected)
            assert not includes(LEAVES[index + 1], index, size, proof, expected)
            assert not includes(LEAVES[index], index, size, [*proof, LEAVES[0]], expected)
            assert not includes(LEAVES[index], index, size, proof[:-1], expected) or not proof


def test_consistency_proofs_between_every_two_sizes() -> None:
    roots = [naive_root(LEAVES[:size]) for size in SIZES]
    for new in SIZES:
        for old in range(new + 1):
            proof = consistency_proof(read, old, new)
            assert proof == (naive_subproof(old, LEAVES[:new], True) if old > 0 else [])  # noqa: FBT003
            assert extends(old, roots[old], new, roots[new], proof)
            if 0 < old < new:
                assert not extends(old, roots[old - 1], new, roots[new], proof)
                assert not extends(old, roots[old], new, roots[new - 1], proof)
                assert not extends(old, roots[old], new, roots[new], proof[:-1])
                assert not extends(old, roots[old], new, roots[new], [*proof, roots[old]])


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
        assert list(hashes) == list(read(tile.level or 0, tile.number * 256, 256))
        assert top == root(hashes)
    assert growth.size == 70_000
    assert [len(hashes) for hashes in growth.partial] == [112, 17, 1]
    assert growth.root() == tree_root(read, 70_000) == naive_root(LEAVES)
