"""The tree of RFC 6962 §2.1 a second time, from the texts alone: it shares no code with the one that is tested.

Hashes and proofs are the recursive definitions MTH, PATH and SUBPROOF; the checks are the algorithms of RFC 9162
§2.1.3.2 and §2.1.4.2, step by step. Leaves are given as their hashes.
"""

from collections.abc import Sequence
from functools import cache
from hashlib import sha256


def largest_power_of_two_below(n: int) -> int:
    k = 1
    while k + k < n:
        k += k
    return k


def node(left: bytes, right: bytes) -> bytes:
    return sha256(b"\x01" + left + right).digest()


class Leaves:
    """D[n], of which D[a:b] is always given by its bounds, so that every hash is computed once."""

    def __init__(self, hashes: Sequence[bytes]) -> None:
        self.hashes = hashes
        self.mth = cache(self._mth)

    def _mth(self, a: int, b: int) -> bytes:
        if a == b:
            return sha256().digest()
        if b - a == 1:
            return self.hashes[a]
        k = a + largest_power_of_two_below(b - a)
        return node(self.mth(a, k), self.mth(k, b))

    def path(self, m: int, a: int, b: int) -> list[bytes]:
        """PATH(m, D[a:b]), m counted from a."""
        if b - a == 1:
            return []
        k = largest_power_of_two_below(b - a)
        if m < k:
            return [*self.path(m, a, a + k), self.mth(a + k, b)]
        return [*self.path(m - k, a + k, b), self.mth(a, a + k)]

    def proof(self, m: int, n: int) -> list[bytes]:
        """PROOF(m, D[n]), which is defined for 0 < m <= n."""
        return self.subproof(m, 0, n, b=True)

    def subproof(self, m: int, start: int, end: int, *, b: bool) -> list[bytes]:
        """SUBPROOF(m, D[start:end], b)."""
        if m == end - start:
            return [] if b else [self.mth(start, end)]
        k = largest_power_of_two_below(end - start)
        if m <= k:
            return [*self.subproof(m, start, start + k, b=b), self.mth(start + k, end)]
        return [*self.subproof(m - k, start + k, end, b=False), self.mth(start, start + k)]


def lsb(value: int) -> bool:
    return value % 2 == 1


def inclusion_holds(leaf: bytes, leaf_index: int, tree_size: int, path: Sequence[bytes], root: bytes) -> bool:
    """RFC 9162 §2.1.3.2."""
    if leaf_index >= tree_size:
        return False
    fn, sn = leaf_index, tree_size - 1
    r = leaf
    for p in path:
        if sn == 0:
            return False
        if lsb(fn) or fn == sn:
            r = node(p, r)
            if not lsb(fn):
                while True:
                    fn, sn = fn >> 1, sn >> 1
                    if lsb(fn) or fn == 0:
                        break
        else:
            r = node(r, p)
        fn, sn = fn >> 1, sn >> 1
    return sn == 0 and r == root


def consistency_holds(first: int, first_hash: bytes, second: int, second_hash: bytes, path: Sequence[bytes]) -> bool:
    """RFC 9162 §2.1.4.2, for 0 < first < second."""
    if not path:
        return False
    ways = list(path)
    if first & (first - 1) == 0:
        ways.insert(0, first_hash)
    fn, sn = first - 1, second - 1
    while lsb(fn):
        fn, sn = fn >> 1, sn >> 1
    fr = sr = ways[0]
    for c in ways[1:]:
        if sn == 0:
            return False
        if lsb(fn) or fn == sn:
            fr = node(c, fr)
            sr = node(c, sr)
            if not lsb(fn):
                while True:
                    fn, sn = fn >> 1, sn >> 1
                    if lsb(fn) or fn == 0:
                        break
        else:
            sr = node(sr, c)
        fn, sn = fn >> 1, sn >> 1
    return fr == first_hash and sr == second_hash and sn == 0
