"""The best that a market could do: who would get what if somebody knew everything and could decide for everybody."""

from __future__ import annotations

from collections.abc import Sequence


def best_total(gains: Sequence[Sequence[int]]) -> int:
    """The largest sum of gains that pairs rows with columns, each at most once; nobody is paired at a loss.

    The Hungarian algorithm with potentials (Kuhn, Munkres; the O(rows² × columns) form), ``gains[row][column]`` in any
    integer unit.
    """
    table = [[max(0, gain) for gain in row] for row in gains]
    if not table or not table[0]:
        return 0
    if len(table) > len(table[0]):
        table = [list(column) for column in zip(*table, strict=True)]
    rows, columns = len(table), len(table[0])
    of_row, of_column = [0] * (rows + 1), [0] * (columns + 1)
    matched, way = [0] * (columns + 1), [0] * (columns + 1)
    for row in range(1, rows + 1):
        matched[0] = row
        column = 0
        least = [10**30] * (columns + 1)
        used = [False] * (columns + 1)
        while matched[column]:
            used[column] = True
            here, delta, following = matched[column], 10**30, 0
            line = table[here - 1]
            for other in range(1, columns + 1):
                if used[other]:
                    continue
                reduced = -line[other - 1] - of_row[here] - of_column[other]
                if reduced < least[other]:
                    least[other], way[other] = reduced, column
                if least[other] < delta:
                    delta, following = least[other], other
            for other in range(columns + 1):
                if used[other]:
                    of_row[matched[other]] += delta
                    of_column[other] -= delta
                else:
                    least[other] -= delta
            column = following
        while column:
            before = way[column]
            matched[column] = matched[before]
            column = before
    return sum(table[matched[column] - 1][column - 1] for column in range(1, columns + 1) if matched[column])
