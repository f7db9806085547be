"""Fit the network of the demo and write it as ONNX: NumPy only, about five minutes on two cores.

    python -m super_resolution.train.fit

The network is a small ESPCN: it looks at low-resolution luma, and its four output channels are the 2x2 pixels
of the *residual*, the difference between the photograph and its bicubically enlarged half. All convolutions
are "valid": an input of n + 8 pixels gives n, so the caller supplies the halo and nothing is made up at the
edges.

Convolutions are matrix products over gathered neighbourhoods, with the gradients written out by hand. The
random numbers are seeded: on one machine a fit repeats itself, on another the sums differ in their last bits.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from ..photo import (
    HOLD_OUT,
    SCALE,
    TRAINING,
    VALIDATION,
    FloatPlane,
    Photo,
    Plane,
    crop_to_even,
    double,
    halve,
    load,
    to_levels,
)
from ..quality import psnr
from ..tiles import HALO

Floats: TypeAlias = npt.NDArray[np.float32]

MODEL = Path(__file__).parent.parent / "model" / "espcn2x.onnx"

KERNELS = (5, 3, 3, 1)
CHANNELS = (1, 32, 32, 32, SCALE * SCALE)
SEED = 20

PATCH = 20
"""Side of the patches shown to the network, in low-resolution pixels without the halo."""
BATCH = 16
RATE = 2e-3
"""Step size of Adam at the start; it falls to zero along a cosine."""
AVERAGE = 0.998
"""Decay of the running mean of the weights, which is what is written: it is less noisy than a step."""

BRIGHTNESS_UNIT = 64.0
"""Luma levels per unit inside the network, which keeps inputs and targets near one."""
MIDDLE_GREY = 128.0

SIZES = (1.0, 0.7)
"""Each photograph is also shown smaller: more detail for each pixel than a camera's full resolution has."""


@dataclass(slots=True)
class Convolution:
    """A valid convolution over (batch, height, width, channels), optionally followed by a rectifier."""

    kernel: int
    weights: Floats
    bias: Floats
    rectify: bool
    _columns: Floats = field(init=False, repr=False)
    _output: Floats = field(init=False, repr=False)
    _input_shape: tuple[int, ...] = field(init=False, repr=False)

    def forward(self, x: Floats) -> Floats:
        """Apply the layer, and remember what the gradients need."""
        k = self.kernel
        n, height, width, channels = x.shape
        height, width = height - k + 1, width - k + 1
        columns = np.empty((n, height, width, k, k, channels), np.float32)
        for dy in range(k):
            for dx in range(k):
                columns[:, :, :, dy, dx] = x[:, dy : dy + height, dx : dx + width]
        self._columns = columns.reshape(-1, k * k * channels)
        self._input_shape = x.shape
        output = self._columns @ self.weights
        output += self.bias
        if self.rectify:
            np.maximum(output, 0, out=output)
        self._output = output
        return output.reshape(n, height, width, -1)

    def parameter_gradients(self, gradient: Floats) -> tuple[Floats, Floats]:
        """From the gradient of the output to those of the weights and the bias."""
        flat = self._before_rectifier(gradient)
        return self._columns.T @ flat, flat.sum(axis=0)

    def input_gradient(self, gradient: Floats) -> Floats:
        """From the gradient of the output to that of the input."""
        n, height, width, _ = gradient.shape
        k = self.kernel
        flat = self._before_rectifier(gradient)
        columns = (flat @ self.weights.T).reshape(n, height, width, k, k, -1)
        of_input = np.zeros(self._input_shape, np.float32)
        for dy in range(k):
            for dx in range(k):
                of_input[:, dy : dy + height, dx : dx + width] += columns[:, :, :, dy, dx]
        return of_input

    def _before_rectifier(self, gradient: Floats) -> Floats:
        flat = gradient.reshape(-1, gradient.shape[-1])
        return flat * (self._output > 0) if self.rectify else flat


class Network:
    """The layers in order, and their parameters as one flat list."""

    def __init__(self, random: np.random.Generator) -> None:
        """Start from random weights, but the last layer from zero: the first answer is plain bicubic."""
        self.layers: list[Convolution] = []
        for index, kernel in enumerate(KERNELS):
            inputs, outputs = kernel * kernel * CHANNELS[index], CHANNELS[index + 1]
            last = index == len(KERNELS) - 1
            spread = 0.0 if last else np.sqrt(2 / inputs)
            weights = (random.standard_normal((inputs, outputs)) * spread).astype(np.float32)
            self.layers.append(Convolution(kernel, weights, np.zeros(outputs, np.float32), rectify=not last))

    @property
    def parameters(self) -> list[Floats]:
        """Weights and bias of each layer; the arrays themselves, to be changed in place."""
        return [array for layer in self.layers for array in (layer.weights, layer.bias)]

    def forward(self, x: Floats) -> Floats:
        """From (n, h + 8, w + 8, 1) to (n, h, w, 4), in units of `BRIGHTNESS_UNIT`."""
        for layer in self.layers:
            x = layer.forward(x)
        return x

    def gradients(self, gradient: Floats) -> list[Floats]:
        """The gradients of all parameters, in their order."""
        found: list[Floats] = []
        for index, layer in reversed(list(enumerate(self.layers))):
            of_weights, of_bias = layer.parameter_gradients(gradient)
            found[:0] = [of_weights, of_bias]
            if index > 0:
                gradient = layer.input_gradient(gradient)
        return found


class Adam:
    """The Adam rule, with a running mean of the parameters beside it."""

    def __init__(self, parameters: list[Floats]) -> None:
        """Changes `parameters` in place."""
        self.parameters = parameters
        self.mean = [np.copy(p) for p in parameters]
        self._first = [np.zeros_like(p) for p in parameters]
        self._second = [np.zeros_like(p) for p in parameters]
        self._steps = 0

    def step(self, gradients: list[Floats], rate: float) -> None:
        """Move every parameter once."""
        self._steps += 1
        scale = rate * np.sqrt(1 - 0.999**self._steps) / (1 - 0.9**self._steps)
        decay = min(AVERAGE, self._steps / (self._steps + 10))
        for p, mean, m, v, g in zip(
            self.parameters, self.mean, self._first, self._second, gradients, strict=True
        ):
            m[...] += 0.1 * (g - m)
            v[...] += 0.001 * (g * g - v)
            p[...] -= (scale * m / (np.sqrt(v) + 1e-8)).astype(np.float32)
            mean[...] += (1 - decay) * (p - mean)


@dataclass(frozen=True, slots=True)
class Example:
    """A low-resolution plane and the residual its enlargement lacks, in levels."""

    low: Plane
    residual: FloatPlane


def examples(name: str) -> list[Example]:
    """All views of one photograph: each size, each colour channel and the luma, in all eight orientations."""
    found = []
    for size in SIZES:
        full = crop_to_even(load(name))
        width, height = (int(side * size) // SCALE * SCALE for side in full.size)
        image = full.resize((width, height), Image.Resampling.LANCZOS) if size != 1 else full
        low = halve(image)
        planes = [(Photo.from_image(image).y, Photo.from_image(low).y)]
        planes += [(np.asarray(a), np.asarray(b)) for a, b in zip(image.split(), low.split(), strict=True)]
        for truth, small in planes:
            residual = truth - double(small)
            for turns in range(4):
                turned = Example(np.rot90(small, turns), np.rot90(residual, turns))
                found += [turned, Example(turned.low[:, ::-1], turned.residual[:, ::-1])]
    return found


def draw(
    pool: list[Example], chances: npt.NDArray[np.float64], random: np.random.Generator
) -> tuple[Floats, Floats]:
    """A batch of random patches: network inputs and wanted outputs."""
    side = PATCH + 2 * HALO
    inputs = np.empty((BATCH, side, side, 1), np.float32)
    targets = np.empty((BATCH, PATCH, PATCH, SCALE * SCALE), np.float32)
    for index, choice in enumerate(random.choice(len(pool), BATCH, p=chances)):
        example = pool[choice]
        y, x = (int(random.integers(0, length - side + 1)) for length in example.low.shape)
        inputs[index, :, :, 0] = example.low[y : y + side, x : x + side]
        top, left, span = SCALE * (y + HALO), SCALE * (x + HALO), SCALE * PATCH
        patch = example.residual[top : top + span, left : left + span]
        grouped = patch.reshape(PATCH, SCALE, PATCH, SCALE).transpose(0, 2, 1, 3)
        targets[index] = grouped.reshape(PATCH, PATCH, SCALE * SCALE)
    return (inputs - MIDDLE_GREY) / BRIGHTNESS_UNIT, targets / BRIGHTNESS_UNIT


def judge(network: Network, name: str) -> tuple[float, float]:
    """PSNR of the luma of one photograph in dB: by bicubic interpolation, and with the network's residual."""
    photo = crop_to_even(load(name))
    truth, low = Photo.from_image(photo).y, Photo.from_image(halve(photo)).y
    padded = np.pad(low, HALO, mode="edge").astype(np.float32)
    output = network.forward(((padded - MIDDLE_GREY) / BRIGHTNESS_UNIT)[None, :, :, None])[0]
    height, width = low.shape
    residual = output.reshape(height, width, SCALE, SCALE).transpose(0, 2, 1, 3).reshape(truth.shape)
    enlarged = double(low)
    return psnr(truth, to_levels(enlarged)), psnr(truth, to_levels(enlarged + residual * BRIGHTNESS_UNIT))


def fit(steps: int) -> Network:
    """Fit on the training photographs, reporting on the validation photograph as it goes."""
    random = np.random.default_rng(SEED)
    pool = [example for name in TRAINING for example in examples(name)]
    area = np.array([example.low.size for example in pool], np.float64)
    chances = area / area.sum()
    network = Network(random)
    adam = Adam(network.parameters)
    average = Network(random)
    loss, begun = 0.0, time.monotonic()
    for step in range(1, steps + 1):
        inputs, targets = draw(pool, chances, random)
        difference = network.forward(inputs) - targets
        loss += 0.01 * (float(np.mean(difference**2)) - loss)
        gradients = network.gradients(difference * np.float32(2 / difference.size))
        adam.step(gradients, RATE * 0.5 * (1 + np.cos(np.pi * step / steps)))
        if step % 500 == 0 or step == steps:
            for parameter, mean in zip(average.parameters, adam.mean, strict=True):
                parameter[...] = mean
            bicubic, model = judge(average, VALIDATION)
            print(
                f"step {step:6d}  {time.monotonic() - begun:5.0f} s  loss {loss:.6f}  "
                f"{VALIDATION}: bicubic {bicubic:.3f} dB, model {model:.3f} dB",
                flush=True,
            )
    return average


def export(network: Network) -> onnx.ModelProto:
    """The network as an ONNX graph that takes bytes and gives half floats, exactly what travels on the wire.

    `luma` UINT8 (n, 1, h + 8, w + 8) becomes `residual` FP16 (n, 1, 2h, 2w), in levels.
    """
    constants = {"grey": np.float32(MIDDLE_GREY), "unit": np.float32(BRIGHTNESS_UNIT)}
    weights = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    nodes = [
        helper.make_node("Cast", ["luma"], ["levels"], to=TensorProto.FLOAT),
        helper.make_node("Sub", ["levels", "grey"], ["centred"]),
        helper.make_node("Div", ["centred", "unit"], ["x0"]),
    ]
    for index, layer in enumerate(network.layers):
        k = layer.kernel
        kernels = layer.weights.reshape(k, k, CHANNELS[index], CHANNELS[index + 1]).transpose(3, 2, 0, 1)
        weights.append(numpy_helper.from_array(np.ascontiguousarray(kernels), f"w{index}"))
        weights.append(numpy_helper.from_array(layer.bias, f"b{index}"))
        convolved = f"c{index}" if layer.rectify else f"x{index + 1}"
        nodes.append(helper.make_node("Conv", [f"x{index}", f"w{index}", f"b{index}"], [convolved]))
        if layer.rectify:
            nodes.append(helper.make_node("Relu", [convolved], [f"x{index + 1}"]))
    nodes += [
        helper.make_node("DepthToSpace", [f"x{len(network.layers)}"], ["shuffled"], blocksize=SCALE),
        helper.make_node("Mul", ["shuffled", "unit"], ["scaled"]),
        helper.make_node("Cast", ["scaled"], ["residual"], to=TensorProto.FLOAT16),
    ]
    graph = helper.make_graph(
        nodes,
        "espcn2x",
        [helper.make_tensor_value_info("luma", TensorProto.UINT8, ["tiles", 1, "height_in", "width_in"])],
        [
            helper.make_tensor_value_info(
                "residual", TensorProto.FLOAT16, ["tiles", 1, "height_out", "width_out"]
            )
        ],
        weights,
    )
    # Opset 13 and IR version 8 are old enough for every ONNX Runtime that supports this Python.
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8, producer_name="fit.py"
    )
    onnx.checker.check_model(model, full_check=True)
    return model


def main() -> None:
    """Fit, write the model, and say what it is worth."""
    parser = argparse.ArgumentParser(description="Fit the super-resolution network of the demo.")
    parser.add_argument("--steps", type=int, default=20_000, help="optimiser steps (default: %(default)s)")
    parser.add_argument("--output", type=Path, default=MODEL, help="where to write the ONNX file")
    arguments = parser.parse_args()
    network = fit(arguments.steps)
    onnx.save(export(network), arguments.output)
    print(f"{arguments.output}: {arguments.output.stat().st_size / 1000:.0f} kB")
    for label, name in (("validation", VALIDATION), ("held out", HOLD_OUT)):
        bicubic, model = judge(network, name)
        print(
            f"{label} {name}: bicubic {bicubic:.2f} dB, model {model:.2f} dB, gain {model - bicubic:+.2f} dB"
        )


if __name__ == "__main__":
    main()
