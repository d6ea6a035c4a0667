"""How long a network will take on a processor, estimated without TensorFlow.

A layer takes as long as its arithmetic or as moving its numbers through memory, whichever is longer: the roofline of
Williams, Waterman and Patterson, "Roofline: an insightful visual performance model for multicore architectures",
Communications of the ACM 52(4), 2009, https://doi.org/10.1145/1498765.1498785.

The constants were fitted to TensorFlow 2.21 and OpenVINO 2026.4 on two cores of a Xeon with AVX-512 and AMX. There the
estimate for VGG16, ResNet50, MobileNetV2, EfficientNet-B0 and -Lite0 and DenseNet121 at 224 pixels in float32 is within
a factor of 1.5 of the processor time that was measured, forward and in training. In bfloat16 it may be off by 2, for
ConvNeXt by more; and so it may on other processors, for small batches, and while others use the cores. A GPU is faster.
"""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from typing import TYPE_CHECKING

from surgeon.planning.frontier import VALUE_BYTES, frozen_prefix, multiply_adds
from surgeon.planning.modes import layers_in_training_mode
from surgeon.planning.processor import cpu_flags

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from surgeon.catalogue.layer_table import LayerRow
    from surgeon.planning.frontier import Frontier
    from surgeon.planning.machine import Machine
    from surgeon.recipe.network import Network
    from surgeon.recipe.plan import PhasePlan

# How often a layer moves its inputs and outputs; once if it is not listed. TensorFlow makes several passes for some
# kinds; OpenVINO computes more of what follows a convolution together with it.
_MOVES: Mapping[str, Mapping[str, float]] = {
    "tensorflow": {
        "Activation": 2,
        "BatchNormalization": 2,
        "DepthwiseConv2D": 3,
        "LayerNormalization": 10,
    },
    "openvino": {
        "Activation": 0.5,
        "Add": 0.5,
        "BatchNormalization": 0.5,
        "DepthwiseConv2D": 2.5,
        "ReLU": 0.5,
        "ZeroPadding2D": 0,
    },
}
_IN_TRAINING_MODE = 5  # times as often for a BatchNormalization that takes the statistics of the batch
_FOLDING = frozenset({"Conv2D", "Dense", "DepthwiseConv2D"})  # with the BatchNormalization that alone uses their output
_FREE = frozenset({"Dropout", "Flatten", "InputLayer", "Reshape"})

# Arithmetic as a part of what a matrix product does in a second. A convolution whose channels are apart is far
# below it, the gradient of its kernel still more, and TensorFlow has no quick one for groups of channels.
_CHANNELS_APART = 0.3
_KERNEL_GRADIENT_APART = 0.08
_GROUPED = {"tensorflow": 1 / 400, "openvino": _CHANNELS_APART}

_UPDATE_MOVES = 25  # of each weight a step by Adam or RMSprop; plain SGD needs a fifth of that
_CALL_SECONDS = 5e-5  # to start a layer
_TRAINING_CALLS = 5  # as many starts as a trained layer takes: forward, two gradients, the update

# How much faster arithmetic and moving get in bfloat16. TensorFlow's layers that only move numbers get slower.
_BFLOAT16_ARITHMETIC = {"amx_bf16": 6.5, "avx512_bf16": 2.0, "bf16": 2.0}
_BFLOAT16_MOVING = {"tensorflow": 0.8, "openvino": 2.0}


def forward_seconds(
    network: Network, layers: Collection[str], machine: Machine, batch_size: int, engine: str, precision: str
) -> float:
    """Returns the seconds that an image takes through some layers in inference mode.

    Args:
        network: The composed network.
        layers: Their names: those of a frontier's prefix for what is computed once, those behind it for measuring.
        machine: What they are computed on.
        batch_size: Images a call.
        engine: ``tensorflow`` or ``openvino``.
        precision: ``float32``, ``bfloat16``, which gains nothing if the processor does not have it, or ``auto``, the
            faster one.
    """
    return min(
        sum(max(costs[name]) + _CALL_SECONDS / batch_size for name in layers)
        for costs in (_costs(network, (), one, engine) for one in _in_precision(machine, engine, precision))
    )


def epoch_seconds(
    network: Network, phase: PhasePlan, frontier: Frontier, machine: Machine, batch_size: int, precision: str
) -> float:
    """Returns the seconds that an epoch of a phase takes for each image, with its share of the weights' updates.

    Frozen layers between the frontier and the first trained ones are computed forward. Those behind a trained
    one pass gradients on; trained ones have two gradients, that of their weights and, if anything before them is
    trained, that of their inputs. On its way back a layer moves its numbers twice.

    Args:
        network: The composed network.
        phase: What is trained.
        frontier: Where the kept tensors lie that the epoch starts from.
        machine: What it is computed on.
        batch_size: Images per step.
        precision: ``float32``, ``bfloat16``, or ``auto``, the faster one; weights are float32 anyway.
    """
    return min(
        _epoch_seconds(network, phase, frontier, one, batch_size)
        for one in _in_precision(machine, "tensorflow", precision)
    )


def _epoch_seconds(network: Network, phase: PhasePlan, frontier: Frontier, machine: Machine, batch_size: int) -> float:
    costs = _costs(network, layers_in_training_mode(network, phase), machine, "tensorflow")
    frozen = frozen_prefix(network, phase.trainable)
    call, seconds = _CALL_SECONDS / batch_size, 0.0
    for row in network.rows:
        if row.name not in frontier.prefix:
            seconds += max(costs[row.name]) + call
        if row.name not in frozen:
            arithmetic, moving = costs[row.name]
            gradients = _gradients(row, network, phase, frozen)
            seconds += max(gradients * arithmetic, 2 * moving) + (_TRAINING_CALLS - 1) * call
    updated = sum(row.trainable for row in network.rows if row.name in phase.trainable)
    return seconds + updated * VALUE_BYTES * _UPDATE_MOVES / machine.bytes_per_second / batch_size


def _in_precision(machine: Machine, engine: str, precision: str) -> list[Machine]:
    """Returns a machine as layers find it that compute in a precision, or in each that may be chosen."""
    factors = [factor for flag, factor in _BFLOAT16_ARITHMETIC.items() if flag in (cpu_flags() or ())]
    if precision == "float32" or not factors:
        return [machine]
    narrow = dataclasses.replace(
        machine,
        multiply_adds_per_second=machine.multiply_adds_per_second * factors[0],
        bytes_per_second=machine.bytes_per_second * _BFLOAT16_MOVING[engine],
    )
    return [machine, narrow] if precision == "auto" else [narrow]


def _gradients(row: LayerRow, network: Network, phase: PhasePlan, frozen: Collection[str]) -> float:
    """Returns the arithmetic of a layer's gradients as a multiple of its own."""
    of_inputs = any(before.index in row.inputs and before.name not in frozen for before in network.rows)
    apart = _CHANNELS_APART / _KERNEL_GRADIENT_APART if row.kind == "DepthwiseConv2D" else 1
    return of_inputs + (apart if row.name in phase.trainable else 0)


def _costs(network: Network, active: Collection[str], machine: Machine, engine: str) -> dict[str, tuple[float, float]]:
    """Returns for each layer the seconds of its arithmetic and of moving its inputs and its output, for an image.

    Args:
        network: The composed network.
        active: Names of the layers in training mode.
        machine: What they are computed on.
        engine: ``tensorflow`` or ``openvino``.
    """
    rows = {row.index: row for row in network.rows}
    users = Counter(index for row in network.rows for index in row.inputs)

    def cost(row: LayerRow) -> tuple[float, float]:
        before = [rows[index] for index in row.inputs]
        moves = _MOVES[engine].get(row.kind, 1)
        if row.kind == "BatchNormalization" and row.name in active:
            moves *= _IN_TRAINING_MODE
        elif row.kind == "BatchNormalization" and all(
            maker.kind in _FOLDING and users[maker.index] == 1 for maker in before
        ):
            return 0.0, 0.0
        moved = VALUE_BYTES * (sum(math.prod(maker.shape) for maker in before) + math.prod(row.shape))
        speed = machine.multiply_adds_per_second * _efficiency(row, before, engine)
        return multiply_adds(row) / speed, moves * moved / machine.bytes_per_second

    return {row.name: (0.0, 0.0) if row.kind in _FREE else cost(row) for row in network.rows}


def _efficiency(row: LayerRow, before: Sequence[LayerRow], engine: str) -> float:
    """Returns a layer's arithmetic speed as a part of a matrix product's."""
    if row.kind == "DepthwiseConv2D":
        return _CHANNELS_APART
    # A convolution that uses fewer weights for a channel than there are channels before it is grouped.
    if row.kind == "Conv2D" and row.trainable < row.shape[-1] * before[0].shape[-1]:
        return _GROUPED[engine]
    return 1.0
