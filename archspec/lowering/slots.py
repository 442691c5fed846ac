"""Removes holes that no block of a network fills, so that nothing prints or runs a choice that is none."""

from __future__ import annotations

from dataclasses import replace

from archspec.ir.graph import Call, Graph, Node, Repeat, Slot


def without_empty_slots(graph: Graph) -> Graph:
    """The network with a slot left out of every block type that never gets a shortcut but the identity."""
    filled = {id(call.graph) for call in _block_calls(graph) if call.fills}
    done: dict[int, Graph] = {}

    def rebuilt(current: Graph) -> Graph:
        if id(current) not in done:
            nodes = tuple(_mapped(node, rebuilt) for node in current.nodes)
            changed = current if nodes == current.nodes else replace(current, nodes=nodes)
            done[id(current)] = changed if id(current) in filled else _closed(changed)
        return done[id(current)]

    return rebuilt(graph)


def _block_calls(graph: Graph) -> list[Call]:
    calls = []
    for node in graph.nodes:
        body = node.body.call if isinstance(node.body, Repeat) else node.body
        if isinstance(body, Call):
            calls += [body, *_block_calls(body.graph)]
    return calls


def _mapped(node: Node, rebuilt: object) -> Node:
    assert callable(rebuilt)
    match node.body:
        case Call():
            return replace(node, body=replace(node.body, graph=rebuilt(node.body.graph)))
        case Repeat():
            return replace(
                node,
                body=replace(node.body, call=replace(node.body.call, graph=rebuilt(node.body.call.graph))),
            )
    return node


def _closed(graph: Graph) -> Graph:
    """The graph with its slots short-circuited to what they pass on when empty."""
    passed = {node.name: node.inputs[1] for node in graph.nodes if isinstance(node.body, Slot)}
    if not passed:
        return graph
    kept = (node for node in graph.nodes if node.name not in passed)
    nodes = tuple(
        replace(node, inputs=tuple(passed.get(name, name) for name in node.inputs)) for node in kept
    )
    return replace(graph, nodes=nodes)
