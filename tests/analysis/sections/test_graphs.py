from itertools import pairwise

import networkx as nx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from namel3ss_debug.analysis.sections.graphs import Arrow, JumpTree, OpenAncestors, WorkNetwork


@st.composite
def arrows(draw):
    """For each moment the arrows into it, from moments before it."""
    size = draw(st.integers(1, 25))
    return [
        [
            Arrow(draw(st.integers(0, head - 1)), draw(st.integers(0, 50)), draw(st.integers(0, 5)))
            for _ in range(draw(st.integers(0, 4)) if head else 0)
        ]
        for head in range(size)
    ]


def built(moments):
    """The network, and the same as a graph of networkx with the longest of parallel arrows."""
    network, graph = WorkNetwork(), nx.DiGraph()
    for head, into in enumerate(moments):
        assert network.add(into) == head
        graph.add_node(head)
        for tail, length, _ in into:
            longest = max(length, graph.get_edge_data(tail, head, {"weight": -1})["weight"])
            graph.add_edge(tail, head, weight=longest)
    return network, graph


@given(arrows())
def test_the_critical_path_is_as_long_as_the_longest_path_of_networkx(moments):
    """The path is one of the graph, without gaps, and its length is that of the longest path there is."""
    network, graph = built(moments)
    assert network.length == nx.dag_longest_path_length(graph)
    path = network.critical_path()
    assert sum(arrow.length for _, arrow in path) == network.length
    at = 0
    for begin, arrow in path:
        assert begin == at
        at += arrow.length
    for (_, before), (_, after) in pairwise(path):
        assert graph.has_edge(before.tail, after.tail)


@given(arrows())
def test_slack_is_what_the_longest_path_through_a_moment_lacks(moments):
    """Earliest and latest times agree with longest paths from all beginnings and to all ends, found by nx."""
    network, graph = built(moments)
    before = longest_into(graph)
    after = longest_into(graph.reverse())
    length = nx.dag_longest_path_length(graph)
    latest = network.latest()
    for moment in graph:
        assert network.earliest[moment] == before[moment]
        assert latest[moment] - network.earliest[moment] == length - before[moment] - after[moment]


def longest_into(graph):
    """The length of the longest path into each node."""
    lengths = {}
    for node in nx.topological_sort(graph):
        into = (lengths[tail] + data["weight"] for tail, _, data in graph.in_edges(node, data=True))
        lengths[node] = max(into, default=0)
    return lengths


@given(st.lists(st.integers(0, 1 << 30), max_size=60), st.data())
def test_branches_are_the_children_of_the_lowest_common_ancestor(choices, data):
    """The two branches are those that paths to the root show, however the tree is shaped."""
    parents = [0, *(choice % (place + 1) for place, choice in enumerate(choices))]
    tree = JumpTree(parents)
    one, other = data.draw(st.tuples(*[st.integers(0, len(parents) - 1)] * 2))
    up, down = (path_from_root(parents, node) for node in (one, other))
    shared = sum(a == b for a, b in zip(up, down, strict=False))
    inside = shared in {len(up), len(down)}
    assert tree.branches(one, other) == (None if inside else (up[shared], down[shared]))
    assert tree.depth(one) == len(up) - 1


def path_from_root(parents, node):
    """The nodes from the root to a node."""
    path = [node]
    while node:
        node = parents[node]
        path.append(node)
    return path[::-1]


def test_a_very_deep_tree_is_no_trouble():
    """A chain of a hundred thousand neither recurses nor takes long to climb."""
    tree = JumpTree([0, *range(100_000), 0])
    assert tree.branches(100_000, 100_001) == (1, 100_001)


@given(st.lists(st.integers(0, 1 << 30), min_size=1, max_size=40), st.data())
def test_the_nearest_open_ancestor_is_found(choices, data):
    """After any closings it is what walking up finds."""
    parents = [0, *(choice % (place + 1) for place, choice in enumerate(choices))]
    ancestors = OpenAncestors(parents)
    closed = set()
    for node in data.draw(st.permutations(range(1, len(parents)))):
        ancestors.close(node)
        closed.add(node)
        asked = data.draw(st.integers(0, len(parents) - 1))
        expected = next(up for up in path_from_root(parents, asked)[::-1] if up not in closed)
        assert ancestors.find(asked) == expected


@pytest.mark.parametrize("size", [0, 1])
def test_next_to_nothing(size):
    """No moments, or one, have no path and no length."""
    network = WorkNetwork()
    for _ in range(size):
        network.add()
    assert (network.length, network.latest(), network.critical_path()) == (0, [0] * size, [])
