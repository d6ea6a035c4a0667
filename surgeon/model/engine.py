"""What computes the frozen part of a network: TensorFlow, or OpenVINO where that is faster."""

from __future__ import annotations

import importlib.metadata
import math
import platform
import sys
from collections.abc import Iterator, Set
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf

from surgeon.catalogue.backbones import BACKBONES
from surgeon.catalogue.building import load_table
from surgeon.errors import SurgeonError
from surgeon.model.folding import folded_view
from surgeon.model.precision import computing_in, precisions_for
from surgeon.model.prediction import compile_predictor, signature
from surgeon.planning.processor import cpu_flags
from surgeon.store.shelf import numpy_dtype

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from surgeon.model.prediction import Predictor, Prepare
    from surgeon.recipe.plan import Plan

_SMALL = 5000  # numbers; a bias or the statistics of a BatchNormalization, not a kernel
_TITLES = {"tensorflow": "TensorFlow", "openvino": "OpenVINO"}


@dataclass(frozen=True)
class Engine:
    """What computes frozen layers.

    Attributes:
        name: ``tensorflow`` or ``openvino``.
        precision: ``float32`` or ``bfloat16``.
        version: Its release.
        reason: All that in words, and why if that is not self-evident.
    """

    name: str
    precision: str
    version: str
    reason: str


def engines_for(plan: Plan) -> tuple[Engine, ...]:
    """Returns the engines that a plan leaves to choose from, that which is taken unmeasured first; loads TensorFlow."""
    is_known = plan.backbone.name in BACKBONES.own
    names = _names(plan.engine, set() if is_known else {row.kind for row in plan.network.backbone})
    found = tuple(_engine(*name, precision) for precision in precisions_for(plan) for name in names)
    return found[:1] if plan.deterministic else found


def usual_engine(kinds: Set[str]) -> Engine:
    """Returns the engine that is taken unmeasured, in float32, for layers of some classes."""
    return _engine(*_names("auto", kinds)[0], "float32")


def _engine(name: str, why: str, precision: str) -> Engine:
    version = importlib.metadata.version(name)
    reason = f"the frozen layers are computed in {precision} by {_TITLES[name]} {version}{why}"
    return Engine(name, precision, version, reason)


def _names(asked: str, kinds: Set[str]) -> list[tuple[str, str]]:
    """Returns the names of engines that may be taken, the likeliest first, and why, if that is not self-evident."""
    if asked != "auto":
        return [(asked, ", as the recipe asks")]
    obstacle = _obstacle_to_openvino(kinds)
    return [("tensorflow", f", since {obstacle}")] if obstacle else [("openvino", ""), ("tensorflow", "")]


def _obstacle_to_openvino(kinds: Set[str]) -> str | None:
    """Returns why OpenVINO is not taken unasked, or None if nothing speaks against it."""
    if find_spec("openvino") is None:
        return "OpenVINO is not installed"
    flags = cpu_flags()
    # Where the flags are unknown the processor is taken for one of the last ten years.
    if platform.machine().lower() not in {"x86_64", "amd64"} or (flags is not None and "avx2" not in flags):
        return "OpenVINO is only faster on x86 processors with AVX2"
    if tf.config.list_physical_devices("GPU"):
        return "there is a GPU"
    untried = kinds - _tried() if kinds else set()
    return f"OpenVINO is untested with {min(untried)} layers" if untried else None


def _tried() -> set[str]:
    """Returns the classes of all layers that surgeon's own backbones have."""
    tables = (load_table(spec, (spec.image_size, spec.image_size)) for spec in BACKBONES.own.values())
    return {row.kind for table in tables for row in table.rows}


def build_engine(part: Any, prepare: Prepare, engine: Engine) -> Predictor:
    """Returns a function to the outputs of a part of a network in inference mode.

    Args:
        part: Layers from the image on, one input and one output or several.
        prepare: What pixels go through before them.
        engine: What computes.

    Returns:
        A function from a tuple of pixels, RGB from 0 to 255, uint8 of shape (batch, height, width, 3) with a batch
        of any size, to the part's outputs in their order: a list of float32 arrays with a row per image.

    Raises:
        SurgeonError: If OpenVINO cannot compute the part.
    """
    if engine.name == "openvino":
        return _compile_openvino(_convert(_trace(part, prepare)), engine.precision)
    with computing_in(part, engine.precision, whole=True):
        # OpenVINO folds by itself.
        folded = folded_view(part, (), lambda layer, *args, **kwargs: layer(*args, **kwargs))
        compute = compile_predictor(folded, prepare)
    # Keras returns one output of a list of one bare.
    return lambda tensors: [np.asarray(output) for output in keras.tree.flatten(compute(tensors))]


def build_engines(part: Any, prepare: Prepare, engine: Engine) -> Iterator[Predictor]:
    """Yields for each output of a part of a network a function that computes nothing else; see ``build_engine``."""
    if engine.name == "openvino":
        openvino = _import_openvino()
        model = _convert(_trace(part, prepare))
        for result in model.get_results():
            yield _compile_openvino(openvino.Model([result], model.get_parameters()), engine.precision)
    else:
        for output in part.outputs:
            yield build_engine(keras.Model(part.input, output), prepare, engine)


def _trace(part: Any, prepare: Prepare) -> Any:
    """Traces a part of a network for OpenVINO, preprocessing included.

    OpenVINO looks for each variable among all of them, which takes it 18 seconds for NASNetMobile. So the many small
    ones become constants of the graph; large ones would be copied several times.
    """
    small = [(variable, variable.numpy()) for variable in part.variables if math.prod(variable.shape) < _SMALL]

    @tf.function(input_signature=[signature(part, is_image=True)])  # type: ignore[untyped-decorator]
    def compute(tensors: Any) -> list[Any]:
        with keras.StatelessScope(state_mapping=small):
            outputs = part(prepare(tensors[0]), training=False)
        return [keras.ops.cast(output, "float32") for output in keras.tree.flatten(outputs)]

    return compute.get_concrete_function()


def _convert(traced: Any) -> Any:
    """Converts a traced function of pixels for OpenVINO, its outputs in their order."""
    openvino = _import_openvino()
    try:
        # Without their names it would compute every loose end of the graph as well.
        # With weights of its own it computes the same even when these are trained.
        return openvino.convert_model(traced, output=[output.name for output in traced.outputs], share_weights=False)
    except Exception as error:  # OpenVINO raises whatever the network provokes
        raise _refusal(error) from error


def _refusal(error: Exception) -> SurgeonError:
    reason = " ".join(str(error).split())[:300]
    return SurgeonError(f"OpenVINO cannot compute the frozen layers: {reason}", "set engine: tensorflow")


def _compile_openvino(model: Any, precision: str) -> Predictor:
    """Compiles a converted function of pixels for this processor.

    A batch is divided among as many requests as OpenVINO finds best, one for each core or a few of them: that
    keeps the feature maps of each in its cache. Threads are not tied to cores, where others may run.
    """
    openvino = _import_openvino()
    hint = openvino.properties.hint
    settings = {
        hint.inference_precision: openvino.Type.bf16 if precision == "bfloat16" else openvino.Type.f32,
        hint.performance_mode: hint.PerformanceMode.THROUGHPUT,
        hint.enable_cpu_pinning: False,
    }
    try:
        compiled = openvino.Core().compile_model(model, "CPU", settings)
    except Exception as error:  # as above
        raise _refusal(error) from error
    count = compiled.get_property(openvino.properties.optimal_number_of_infer_requests)
    requests = [compiled.create_infer_request() for _ in range(count)]

    def compute(tensors: tuple[NDArray[np.uint8]]) -> list[NDArray[np.float32]]:
        (pixels,) = tensors
        running = requests[: len(pixels)]
        for request, share in zip(running, np.array_split(pixels, len(running)), strict=True):
            request.start_async([share])
        for request in running:
            request.wait()
        return [np.concatenate([request.get_tensor(output).data for request in running]) for output in compiled.outputs]

    return compute


def _import_openvino() -> Any:
    """Returns OpenVINO; without the package for telemetry it does not report its use to its makers."""
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino  # noqa: PLC0415  an extra

    return openvino


def narrow(array: NDArray[np.float32], dtype: str) -> NDArray[Any]:
    """Returns features in the dtype that they are kept in.

    Args:
        array: Features, of any shape.
        dtype: ``float32``, ``bfloat16`` or ``float16``.

    Raises:
        SurgeonError: If a finite number lies outside the range of ``dtype``.
    """
    with np.errstate(over="ignore"):
        narrowed = array.astype(numpy_dtype(dtype), copy=False)
    lost = array[np.isinf(narrowed) & np.isfinite(array)]
    if lost.size:
        raise SurgeonError(
            f"{lost[0]:,.0f}, an output of the frozen layers, is out of the range of {dtype}",
            "set features_dtype: bfloat16, which has almost the range of float32, or float32",
        )
    return narrowed
