"""Which snippets and which window one forward pass at test time sees (docs/method.md, "Testing")."""

from __future__ import annotations

from itertools import product

from harness.base.errors import UserError, near_match

GROUPINGS = ("each", "interleaved", "all", "combinations")


def snippet_groups(U_test: int, U: int, grouping: str) -> tuple[tuple[int, ...], ...]:
    """The groups of snippets (of U_test) that are scored together; the video's score is the groups' average.

    each: every snippet alone (I3D's clips). all: one group (TSN). interleaved: groups of U, for 8 and 4
    {0,2,4,6} and {1,3,5,7} (DSA). combinations: one snippet from each of U even ranges in all ways, for 10
    and 4 the ranges 0-1, 2-4, 5-7, 8-9 and so 36 groups (V4D).

    Raises UserError for an unknown grouping, or where U_test snippets do not make groups of U.
    """
    if grouping == "each":
        return tuple((u,) for u in range(U_test))
    if grouping == "all":
        return (tuple(range(U_test)),)
    if grouping == "interleaved":
        return _interleaved(U_test, U)
    if grouping == "combinations":
        return _combinations(U_test, U)
    raise UserError(
        f"grouping {grouping!r} is unknown{near_match(grouping, GROUPINGS)}; known: {', '.join(GROUPINGS)}"
    )


def _interleaved(U_test: int, U: int) -> tuple[tuple[int, ...], ...]:
    if U_test < U or U_test % U:
        raise UserError(
            f"grouping 'interleaved': {U_test} test snippets are no multiple of the model's U = {U}"
        )
    stride = U_test // U
    return tuple(tuple(range(first, U_test, stride)) for first in range(stride))


def _combinations(U_test: int, U: int) -> tuple[tuple[int, ...], ...]:
    if U_test < U:
        raise UserError(f"grouping 'combinations': {U_test} test snippets are fewer than the model's U = {U}")
    # Halves go to the even neighbour: 0, 2.5, 5, 7.5, 10 become 0, 2, 5, 8, 10, the ranges of V4D's release.
    edges = [round(u * U_test / U) for u in range(U + 1)]
    return tuple(product(*(range(edges[u], edges[u + 1]) for u in range(U))))


def crop_offsets(width: int, height: int, crop_px: int, crops: int) -> tuple[tuple[int, int], ...]:
    """Top-left corners (x, y) of the square test crops: the centre, three along the longer side, or five.

    Three crops: left, centre, right; top, centre, bottom where the frame is higher than wide. Five: the corners row
    by row, then the centre; with their mirror images they are the 10 crops of TSN and TRN.

    Raises UserError where the crop is larger than the frame or `crops` is neither 1, 3 nor 5.
    """
    if crop_px > min(width, height):
        raise UserError(f"crop_px {crop_px} is larger than the {width} x {height} frame")
    free_x, free_y = width - crop_px, height - crop_px
    centre = (free_x // 2, free_y // 2)
    if crops == 1:
        return (centre,)
    if crops == 5:
        return ((0, 0), (free_x, 0), (0, free_y), (free_x, free_y), centre)
    if crops != 3:
        raise UserError(
            f"crops is 1 (centre), 3 (along the longer side) or 10 (5, each also mirrored), not {crops}"
        )
    if width >= height:
        return ((0, centre[1]), centre, (free_x, centre[1]))
    return ((centre[0], 0), centre, (centre[0], free_y))
