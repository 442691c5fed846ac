"""The classes and functions of a generated file, as encoded lines."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from archspec.backends.filling import Rule, described, rules
from archspec.backends.plan import Attribute, Held, Plan, chain, plan
from archspec.backends.source.encode import Src, class_name, ident, lit, parameter, prose, size, value
from archspec.backends.source.forward import forward_lines, stored_sizes
from archspec.backends.source.layout import INDENT, WIDTH, Code, Invocation, lay_out
from archspec.backends.spelling import Module
from archspec.ir.graph import Call, Graph, Node, Repeat
from archspec.ir.ops import Add
from archspec.sizes import Size, substitute

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from archspec.architecture import Architecture

_SUFFIX = {"block": "Block", "shortcut": "Shortcut", "gate": "Gate", "stage": "Stage", "network": ""}


class Printer:
    """Prints the definitions of one architecture. A chain that is called once is written where it is called."""

    def __init__(self, architecture: Architecture, reserved: Iterable[str] = ()) -> None:
        self.architecture = architecture
        self.graph = architecture.graph
        self.support: set[str] = set()
        self._calls = Counter(id(call.graph) for call in _calls_in(self.graph))
        self._names: dict[int, Src] = {}
        self._taken: set[str] = {"Tensor", "F", "nn", "torch", *reserved}

    def definitions(self) -> list[list[Src]]:
        """Functions and classes, each before its first use, the network last."""
        own = self._name(self.graph)
        result = []
        for graph in _distinct(self.graph):
            if not graph.chain:
                result.append(self._class(graph))
            elif self._calls[id(graph)] > 1:
                result.append(self._function(graph))
        return [*result, self._network(own)]

    def _name(self, graph: Graph) -> Src:
        if id(graph) not in self._names:
            wanted = ident(graph.name) if graph.chain else class_name(graph.name, _SUFFIX[graph.role])
            if wanted in self._taken:
                wanted = Src(f"{'Residual' if _adds(graph) else 'Plain'}{wanted}")
            while wanted in self._taken:
                wanted = Src(f"{wanted}2")
            self._taken.add(wanted)
            self._names[id(graph)] = wanted
        return self._names[id(graph)]

    def _function(self, graph: Graph) -> list[Src]:
        """A chain that several places need: a function that returns an `nn.Sequential`."""
        head = _signature(self._name(graph), _parameters(graph), "nn.Sequential", 0)
        body = lay_out(self._chain(graph, {}), "return ", 1)
        return [*head, *_docstring(graph.about, 1), *body]

    def _class(self, graph: Graph) -> list[Src]:
        plan_ = plan(graph)
        head = [Src(f"class {self._name(graph)}(nn.Module):"), *_docstring(graph.about, 1), Src("")]
        arguments = [Src("self"), *_parameters(graph)]
        arguments += [Src(f"{ident(name)}: nn.Module | None = None") for name in graph.slots]
        init = _signature(Src("__init__"), arguments, "None", 1)
        init.append(Src(f"{INDENT * 2}super().__init__()"))
        init += [
            Src(f"{INDENT * 2}self.{ident(name)} = {size(kept)}")
            for name, kept in stored_sizes(plan_).items()
        ]
        init += self._attributes(plan_)
        return [*head, *init, Src(""), *forward_lines(plan_)]

    def _network(self, name: Src) -> list[Src]:
        plan_ = plan(self.graph)
        lines = [Src(f"class {name}(nn.Module):"), *self._network_docstring(), Src("")]
        lines += [Src(f"{INDENT}def __init__(self) -> None:"), Src(f"{INDENT * 2}super().__init__()")]
        lines.append(Src(f"{INDENT * 2}state = torch.get_rng_state()"))
        lines += self._attributes(plan_)
        # layers draw weights when they are made; without this the seed would not fix the network's own
        lines.append(Src(f"{INDENT * 2}torch.set_rng_state(state)  # layers drew weights of their own"))
        lines += [Src(f"{INDENT * 2}self.init_weights()"), Src("")]
        return [*lines, *self._init_weights(), Src(""), *forward_lines(plan_)]

    def _network_docstring(self) -> list[Src]:
        measured = self.architecture.measure
        incoming = ", ".join(str(each) for each in self.architecture.input_shape)
        outgoing = ", ".join(str(each) for each in measured.output)
        return _docstring(f"Takes (N, {incoming}) and gives (N, {outgoing}).", 1)

    def _attributes(self, plan_: Plan) -> list[Src]:
        return [line for each in plan_.attributes for line in self._attribute(each)]

    def _attribute(self, attribute: Attribute) -> list[Src]:
        name = ident(attribute.name)
        code: Code = name if attribute.held is None else self._held(attribute.held, {})
        return lay_out(code, f"self.{name} = ", 2)

    def _held(self, held: Held, values: Mapping[str, Size]) -> Code:
        if isinstance(held, Module):
            return self._module(held, values)
        if isinstance(held, Call):
            return self._call(held, values)
        element = self._call(held.call, values)
        return Invocation(Src(""), (element,), Src("*"), Src(f" for _ in range({lit(held.times)})"))

    def _module(self, module: Module, values: Mapping[str, Size]) -> Code:
        if not module.path.startswith("nn."):
            self.support.add(module.path)
        arguments = [_argument(each, values) for each in module.arguments]
        arguments += [Src(f"{ident(name)}={_argument(each, values)}") for name, each in module.keywords]
        return Invocation(Src(".".join(ident(part) for part in module.path.split("."))), tuple(arguments))

    def _call(self, call: Call, values: Mapping[str, Size]) -> Invocation:
        graph = call.graph
        given = {name: substitute(each, values) for name, each in call.arguments}
        if graph.chain and self._calls[id(graph)] == 1:
            usual: dict[str, Size] = {
                each.name: each.default for each in graph.parameters if each.default is not None
            }
            return self._chain(graph, {**usual, **given})
        arguments: list[Code] = []
        for each in graph.parameters:
            if each.name in given and each.default is None:
                arguments.append(size(given[each.name]))
            elif each.name in given and given[each.name] != each.default:
                arguments.append(Src(f"{parameter(each.name)}={size(given[each.name])}"))
        for name, filled in call.fills:
            inner = self._call(filled, values)
            arguments.append(Invocation(inner.head, inner.arguments, Src(f"{ident(name)}="), inner.suffix))
        return Invocation(self._name(graph), tuple(arguments))

    def _chain(self, graph: Graph, given: Mapping[str, Size]) -> Invocation:
        return Invocation(Src("nn.Sequential"), tuple(self._held(held, given) for _, held in chain(graph)))

    def _init_weights(self) -> list[Src]:
        init = self.architecture.declared.spec.init
        lines = [Src(f"{INDENT}def init_weights(self) -> None:"), *_docstring(described(init), 2)]
        lines.append(Src(f"{INDENT * 2}for module in self.modules():"))
        word = "if"
        for kinds, rule in _merged(rules(init)):
            lines.append(Src(f"{INDENT * 3}{word} isinstance(module, {kinds}):"))
            lines += _rule_lines(rule)
            word = "elif"
        lines.append(Src(f'{INDENT * 3}{word} hasattr(module, "reset_parameters"):'))
        lines.append(Src(f"{INDENT * 4}module.reset_parameters()"))
        return lines + (self._zero_lines() if init.zero_last_norm else [])

    def _zero_lines(self) -> list[Src]:
        """Residual branches that start at zero."""
        lines = []
        for graph in _distinct(self.graph):
            if graph.last_norm is not None:
                lines.append(Src(f"{INDENT * 3}if isinstance(module, {self._name(graph)}):"))
                lines.append(Src(f"{INDENT * 4}nn.init.zeros_(module.{ident(graph.last_norm)}.weight)"))
        return [Src(f"{INDENT * 2}for module in self.modules():"), *lines] if lines else []


def _adds(graph: Graph) -> bool:
    return any(isinstance(node.body, Add) for node in graph.nodes)


def _merged(given: tuple[Rule, ...]) -> list[tuple[Src, Rule]]:
    """The rules with their modules; one branch where all are treated alike."""
    if len(given) > 1 and len({(rule.reset, rule.fills) for rule in given}) == 1:
        return [(Src(f"({', '.join(rule.module for rule in given)})"), given[0])]
    return [(Src(rule.module), rule) for rule in given]


def _argument(given: object, values: Mapping[str, Size]) -> Src:
    if isinstance(given, (bool, float)):
        return lit(given)
    return value(substitute(given, values))  # type: ignore[arg-type]


def _rule_lines(rule: Rule) -> list[Src]:
    lines = []
    if rule.bias_only:
        lines.append(Src(f"{INDENT * 4}if module.bias is not None:"))
        lines.append(Src(f"{INDENT * 5}module.reset_parameters()"))
    elif rule.reset:
        lines.append(Src(f"{INDENT * 4}module.reset_parameters()"))
    for fill in rule.fills:
        keywords = tuple(Src(f"{ident(name)}={lit(each)}") for name, each in fill.keywords)
        call = Invocation(
            Src(f"nn.init.{ident(fill.function)}"), (Src(f"module.{ident(fill.tensor)}"), *keywords)
        )
        if fill.tensor == "weight":
            lines += lay_out(call, "", 4)
            continue
        lines.append(Src(f"{INDENT * 4}if module.{ident(fill.tensor)} is not None:"))
        lines += lay_out(call, "", 5)
    return lines


def _parameters(graph: Graph) -> list[Src]:
    return [
        Src(f"{parameter(each.name)}: int" + ("" if each.default is None else f" = {lit(each.default)}"))
        for each in graph.parameters
    ]


def _signature(name: Src, arguments: list[Src], returns: str, level: int) -> list[Src]:
    margin = INDENT * level
    line = f"{margin}def {name}({', '.join(arguments)}) -> {returns}:"
    if len(line) <= WIDTH:
        return [Src(line)]
    inner = [Src(f"{margin}{INDENT}{argument},") for argument in arguments]
    return [Src(f"{margin}def {name}("), *inner, Src(f"{margin}) -> {returns}:")]


def _docstring(about: str, level: int) -> list[Src]:
    margin = INDENT * level
    lines = prose(about, WIDTH - len(margin) - 3)
    if not lines:
        return []
    first, *rest = lines
    if not rest and len(first) + len(margin) + 6 <= WIDTH:
        return [Src(f'{margin}"""{first}"""')]
    return [Src(f'{margin}"""{first}'), *(Src(f"{margin}{line}") for line in rest), Src(f'{margin}"""')]


def _calls_in(graph: Graph) -> Iterator[Call]:
    """Every call that is written down in a graph and, once each, in the graphs it calls."""
    seen: set[int] = set()
    waiting = [graph]
    while waiting:
        current = waiting.pop()
        for node in current.nodes:
            for call in _calls_of(node):
                yield call
                if id(call.graph) not in seen:
                    seen.add(id(call.graph))
                    waiting.append(call.graph)


def _calls_of(node: Node) -> Iterator[Call]:
    body = node.body.call if isinstance(node.body, Repeat) else node.body
    if isinstance(body, Call):
        yield body
        yield from (filled for _, filled in body.fills)


def _distinct(graph: Graph) -> list[Graph]:
    """The graphs that a network calls, each once, callees before callers, without the network's own."""
    found: dict[int, Graph] = {}

    def collect(current: Graph) -> None:
        for node in current.nodes:
            for call in _calls_of(node):
                if id(call.graph) not in found:
                    collect(call.graph)
                    found.setdefault(id(call.graph), call.graph)

    collect(graph)
    return list(found.values())
