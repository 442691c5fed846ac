"""What an ONNX graph is collected in: nodes, and the tensors they hold."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from onnx import helper

from archspec.errors import file_error

if TYPE_CHECKING:
    from onnx import GraphProto

    from archspec.ir.operation import Shape


@dataclass(slots=True)
class Nodes:
    """Writes nodes and initialisers into a graph, in order. Real numbers take the type `real`."""

    graph: GraphProto
    opset: int
    real: np.dtype[Any]
    dynamic_size: bool = False
    held: set[str] = field(default_factory=set)

    def add(self, kind: str, inputs: list[str], name: str, output: str = "", **attributes: Any) -> str:
        """One node; its value is named as the node where no other name is given."""
        output = output or name
        self.graph.node.append(helper.make_node(kind, inputs, [output], name, **attributes))
        return output

    def add_several(
        self, kind: str, inputs: list[str], name: str, outputs: list[str], **attributes: Any
    ) -> None:
        """One node with several values, each under its name."""
        self.graph.node.append(helper.make_node(kind, inputs, outputs, name, **attributes))

    def hold(self, name: str, values: np.ndarray[Any, Any]) -> str:
        """A tensor by name. Real numbers are stored in the file's precision."""
        if name in self.held:
            return name
        if values.dtype.kind == "f" and values.dtype != self.real:
            if float(np.abs(values).max(initial=0)) > float(np.finfo(self.real).max):
                raise file_error(name, "AS514", f"{name} holds values that {self.real} cannot")
            values = values.astype(self.real, copy=False)
        return self.hold_exactly(name, values)

    def hold_exactly(self, name: str, values: np.ndarray[Any, Any]) -> str:
        """A tensor by name, in the type that it has."""
        if name in self.held:
            return name
        self.held.add(name)
        # written where it stays: tensors are most of the file, and every copy of them takes its time
        tensor = self.graph.initializer.add(name=name, dims=values.shape)
        tensor.data_type = helper.np_dtype_to_tensor_dtype(values.dtype)
        tensor.raw_data = values.astype(values.dtype.newbyteorder("<"), copy=False).tobytes()
        return name

    def number(self, name: str, value: float) -> str:
        """A real scalar."""
        return self.hold(name, np.array(value, np.float64))

    def integers(self, name: str, *values: int) -> str:
        """A list of integers, as shapes and pads are given."""
        return self.hold(name, np.array(values, np.int64))


@dataclass(frozen=True, slots=True)
class Site:
    """Where an operation is written: its path, the values it takes and their shapes, its tensors, its value's name."""

    path: str
    inputs: tuple[str, ...]
    shapes: tuple[Shape, ...]
    tensors: dict[str, np.ndarray[Any, Any]]
    output: str

    @property
    def source(self) -> str:
        """The first value it takes."""
        return self.inputs[0]

    def part(self, name: str) -> str:
        """The name of an inner step, where one operation takes several nodes."""
        return f"{self.path}.{name}"
