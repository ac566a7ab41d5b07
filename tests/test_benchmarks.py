import pytest

from benchmarks.measure import Aim, Result, at_least, at_most


@pytest.mark.parametrize(
    ("ours", "aim", "said"),
    [
        ([50.0, 49.0, 500.0], at_least(5), "met"),
        ([49.0, 49.0, 500.0], at_least(5), "**not met**"),
        ([30.0, 1.0, 31.0], at_most(3), "met"),
        ([31.0, 1.0, 31.0], at_most(3), "**not met**"),
        ([31.0, 1.0, 31.0], None, ""),
    ],
)
def test_the_median_of_the_ratios_decides_and_the_row_says_so(ours: list[float], aim: Aim | None, said: str) -> None:
    result = Result("what", "s", ours, [10.0, 10.0, 10.0], aim)
    assert (result.row().split(" | ")[-1].removesuffix("|").strip(), result.missed) == (said, said == "**not met**")


def test_a_row_shows_median_lowest_and_highest() -> None:
    row = Result("append", "/s", [3_000.0, 1_000.0, 2_000.0], [500.0, 500.0, 1_000.0], at_least(5)).row()
    assert row == "| append | 2,000 (1,000-3,000) /s | 500 (500-1,000) /s | 2x (2-6) | ≥ 5x | **not met** |"
