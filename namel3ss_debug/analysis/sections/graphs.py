"""Graph algorithms that know nothing of traces: critical paths, common ancestors, nearest open ancestor.

All are linear or nearly so, iterative, and work on whole numbers.
"""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


class Arrow(NamedTuple):
    """A piece of work between two moments.

    Attributes:
        tail: the moment it begins at.
        length: how long it takes, not below 0; 0 for a mere "not before".
        owner: whose work it is; a number that only the caller understands.
    """

    tail: int
    length: int
    owner: int


class WorkNetwork:
    """Moments and the work between them, with the two passes of the critical path method.

    The critical path method is that of Kelley and Walker, "Critical-Path Planning and Scheduling" (1959), with
    activities on arrows: a moment is reached when all arrows into it are done, which is its `earliest` time;
    it may be as late as `latest` says without the whole taking longer; the difference is its slack (total float).

    Moments are numbered from 0 as they are added, and arrows come from moments that are there already, so that
    the order of adding is a topological order and there can be no cycle.
    """

    def __init__(self) -> None:
        self.earliest: list[int] = []
        self._first = array("q", [0])
        self._tails = array("q")
        self._lengths = array("q")
        self._owners = array("q")

    def add(self, arrows: Iterable[Arrow] = ()) -> int:
        """Add a moment that is reached when these arrows are done, and return its number."""
        reached = 0
        for tail, length, owner in arrows:
            reached = max(reached, self.earliest[tail] + length)
            self._tails.append(tail)
            self._lengths.append(length)
            self._owners.append(owner)
        self._first.append(len(self._tails))
        self.earliest.append(reached)
        return len(self.earliest) - 1

    @property
    def length(self) -> int:
        """Return how long the whole takes: the length of the critical path."""
        return max(self.earliest, default=0)

    def latest(self) -> list[int]:
        """Return for each moment the latest time at which it may be reached without the whole taking longer."""
        latest = [self.length] * len(self.earliest)
        for head in range(len(latest) - 1, -1, -1):
            allowed = latest[head]
            for index in range(self._first[head], self._first[head + 1]):
                tail = self._tails[index]
                latest[tail] = min(latest[tail], allowed - self._lengths[index])
        return latest

    def critical_path(self) -> list[tuple[int, Arrow]]:
        """Return the arrows of one longest path, from the beginning, each with the time it begins at.

        It ends at the last of the moments that are reached last. Where several arrows hold a moment up, the
        one that was named first is taken.
        """
        if not self.earliest:
            return []
        length = self.length
        head = max(moment for moment, reached in enumerate(self.earliest) if reached == length)
        path: list[tuple[int, Arrow]] = []
        while True:
            for index in range(self._first[head], self._first[head + 1]):
                tail = self._tails[index]
                if self.earliest[tail] + self._lengths[index] == self.earliest[head]:
                    path.append((self.earliest[tail], Arrow(tail, self._lengths[index], self._owners[index])))
                    head = tail
                    break
            else:
                return path[::-1]


class JumpTree:
    """A tree of whole numbers in which two branches are found in logarithmic time, however deep it is.

    Every node has one jump pointer besides its parent, as in Myers, "An applicative random-access stack" (1983).

    Args:
        parents: the parent of each node, which has a lower number; 0 is the root, and its own parent.
    """

    def __init__(self, parents: Sequence[int]) -> None:
        self._parents = parents
        self._depth = depth = [0] * len(parents)
        self._jump = jump = [0] * len(parents)
        for node in range(1, len(parents)):
            parent = parents[node]
            far = jump[parent]
            depth[node] = depth[parent] + 1
            even = depth[parent] - depth[far] == depth[far] - depth[jump[far]]
            jump[node] = jump[far] if even else parent

    def depth(self, node: int) -> int:
        """Return how many steps it is to the root."""
        return self._depth[node]

    def branches(self, one: int, other: int) -> tuple[int, int] | None:
        """Return the children of the lowest common ancestor that hold the two nodes; None where one holds the other."""
        parents, jump, depth = self._parents, self._jump, self._depth
        level = min(depth[one], depth[other])
        one, other = self._at(one, level), self._at(other, level)
        if one == other:
            return None
        while parents[one] != parents[other]:
            above = jump if jump[one] != jump[other] else parents
            one, other = above[one], above[other]
        return one, other

    def _at(self, node: int, level: int) -> int:
        """Return the ancestor of a node at a level."""
        parents, jump, depth = self._parents, self._jump, self._depth
        while depth[node] > level:
            node = jump[node] if depth[jump[node]] >= level else parents[node]
        return node


class OpenAncestors:
    """Finds the nearest ancestor that is still open with a disjoint-set forest (Tarjan 1975), in nearly constant time.

    Args:
        parents: as in `JumpTree`; the root never closes.
    """

    def __init__(self, parents: Sequence[int]) -> None:
        self._up = list(range(len(parents)))
        self._parents = parents

    def close(self, node: int) -> None:
        """Close a node."""
        self._up[node] = self._parents[node]

    def find(self, node: int) -> int:
        """Return the node itself while it is open, else its nearest ancestor that is."""
        up = self._up
        while up[node] != node:
            up[node] = up[up[node]]
            node = up[node]
        return node
