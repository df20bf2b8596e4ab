"""Numbers of directions to try, from none to many, in steps that grow with them."""

from __future__ import annotations

STEPS = (1, 2, 3, 5, 8, 12, 20, 30, 50, 80)
"""The first ones; then again, ten times as large, from 120 on."""


def numbers_of_directions(most: int) -> list[int]:
    """0, 1, 2, 3, 5, 8, 12, 20, 30, 50, 80, 120, 200, ... and `most` as the last.

    >>> numbers_of_directions(192)
    [0, 1, 2, 3, 5, 8, 12, 20, 30, 50, 80, 120, 192]
    """
    numbers, scale = list(STEPS), 10
    while numbers[-1] < most:
        numbers += [scale * step for step in (12, 20, 30, 50, 80)]
        scale *= 10
    return [0, *(each for each in numbers if each < most), most]
