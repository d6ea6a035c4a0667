"""What a stranger's graph may do: compute, and nothing else.

A SavedModel is a program. Beside sums and products, TensorFlow has operations that read and write files, call Python or
open connections, and a graph with them is computed without a question. So the operations that may be there are listed.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from surgeon.errors import SurgeonError
from surgeon.files import read_regular
from surgeon.records import damage_told
from surgeon.text import first_few

_MOST_BYTES = (2 << 30) - 1  # of one message, by protobuf's own bound
_REMEDY = "if you trust its source, give --trust"

_VARIABLES = "AssignVariableOp DisableCopyOnRead ReadVariableOp ResourceGather VarHandleOp VarIsInitializedOp"
_FLOW = """Assert Case EnsureShape Identity IdentityN If LoopCond Merge NextIteration NoOp Enter Exit PartitionedCall
Placeholder PlaceholderWithDefault PreventGradient StatefulPartitionedCall StatelessCase StatelessIf StatelessWhile
StopGradient Switch While"""
_ARRAYS = """BatchToSpaceND BroadcastArgs BroadcastTo ConcatV2 Const DepthToSpace Diag DiagPart DynamicPartition
DynamicStitch ExpandDims Fill Gather GatherNd GatherV2 InvertPermutation LinSpace MatrixBandPart MatrixDiagV3
MatrixDiagPartV3 MatrixSetDiagV3 MirrorPad OneHot OnesLike Pack Pad PadV2 ParallelDynamicStitch Range Rank Reshape
ResourceStridedSliceAssign Reverse ReverseV2 Roll ScatterNd Select SelectV2 Shape ShapeN Size Slice SpaceToBatchND
SpaceToDepth Split SplitV Squeeze StridedSlice TensorListConcatV2 TensorListElementShape TensorListFromTensor
TensorListGather TensorListGetItem TensorListLength TensorListPopBack TensorListPushBack TensorListReserve
TensorListSetItem TensorListStack TensorScatterAdd TensorScatterUpdate Tile TopKV2 Transpose Unique UniqueV2 Unpack
Where ZerosLike"""
_MATHEMATICS = """Abs Acos Acosh Add AddN AddV2 All Any ArgMax ArgMin Asin Asinh Atan Atan2 Atanh BatchMatMul
BatchMatMulV2 BatchMatMulV3 Betainc Bincount Bitcast BitwiseAnd BitwiseOr BitwiseXor Bucketize Cast Ceil ClipByValue
Complex ComplexAbs Conj Cos Cosh Cross Cumprod Cumsum DenseBincount Digamma Div DivNoNan Einsum Equal Erf Erfc Erfinv
Exp Expm1 FFT FFT2D Floor FloorDiv FloorMod Greater GreaterEqual IFFT IFFT2D IRFFT IRFFT2D Imag Inv Invert IsFinite
IsInf IsNan LeftShift Less LessEqual Lgamma Log Log1p LogicalAnd LogicalNot LogicalOr MatMul Max Maximum Mean Min
Minimum Mod Mul MulNoNan Ndtri Neg NextAfter NotEqual Pow Prod RFFT RFFT2D Real RealDiv Reciprocal RightShift Rint
Round Rsqrt SegmentMax SegmentMean SegmentMin SegmentSum Sigmoid Sign Sin Sinh Sqrt Square SquaredDifference Sub Sum
Tan Tanh TruncateDiv TruncateMod UnsortedSegmentMax UnsortedSegmentSum Xdivy Xlog1py Xlogy"""
_NETWORKS = """AvgPool AvgPool3D BiasAdd BiasAddV1 Conv2D Conv2DBackpropInput Conv3D Conv3DBackpropInputV2
DepthwiseConv2dNative Dilation2D Elu FakeQuantWithMinMaxArgs FakeQuantWithMinMaxVars FakeQuantWithMinMaxVarsPerChannel
FusedBatchNorm FusedBatchNormV2 FusedBatchNormV3 InTopKV2 L2Loss LRN LeakyRelu LogSoftmax MaxPool MaxPool3D MaxPoolV2
QuantizeAndDequantizeV2 QuantizeAndDequantizeV4 Relu Relu6 Selu Softmax Softplus Softsign"""
_IMAGES = """AdjustContrastv2 AdjustHue AdjustSaturation CropAndResize DecodeBmp DecodeGif DecodeImage DecodeJpeg
DecodePng DecodeRaw DecodeWebP ExtractImagePatches HSVToRGB ImageProjectiveTransformV2 ImageProjectiveTransformV3
RGBToHSV ResizeArea ResizeBicubic ResizeBilinear ResizeNearestNeighbor ScaleAndTranslate"""
_TEXT = """AsString DecodeBase64 EncodeBase64 ReduceJoin RegexFullMatch RegexReplace StaticRegexFullMatch
StaticRegexReplace StringJoin StringLength StringLower StringStrip StringToNumber StringUpper Substr"""
_CHANCE = """RandomStandardNormal RandomUniform RandomUniformInt StatelessRandomGetAlg StatelessRandomGetKeyCounter
StatelessRandomNormalV2 StatelessRandomUniformV2 StatelessRandomUniformIntV2 TruncatedNormal"""

ALLOWED = frozenset(" ".join((_VARIABLES, _FLOW, _ARRAYS, _MATHEMATICS, _NETWORKS, _IMAGES, _TEXT, _CHANCE)).split())
# What the graph saves and restores its own variables by. TensorFlow restores them without it, so nothing may call it.
SAVING = frozenset(("MergeV2Checkpoints", "RestoreV2", "SaveV2", "ShardedFilename"))


def check_saved_model(folder: Path) -> None:
    """Makes sure that a SavedModel computes only, before it is loaded.

    Raises:
        SurgeonError: If it has operations that are not known to, files besides its own, or is damaged.
    """
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

    _check_files(folder)
    path = folder / "saved_model.pb"
    with damage_told(path, "export it again"):
        (graph,) = SavedModel.FromString(read_regular(path, _MOST_BYTES)).meta_graphs
    if not graph.HasField("object_graph_def"):
        raise SurgeonError(f"{folder} was written by TensorFlow 1, which surgeon cannot look into", _REMEDY)
    if graph.asset_file_def or any(node.HasField("asset") for node in graph.object_graph_def.nodes):
        raise SurgeonError(f"{folder} reads files other than its weights, as assets", _REMEDY)
    functions = {function.signature.name: function for function in graph.graph_def.library.function}
    called = _called(_entries(graph), functions)
    operations = {node.op for node in graph.graph_def.node} - SAVING
    for name, function in functions.items():
        operations |= {node.op for node in function.node_def} - (frozenset() if name in called else SAVING)
    if unknown := sorted(operations - ALLOWED):
        names = ", ".join(first_few(unknown, 5))
        raise SurgeonError(
            f"{folder} may do more than compute: its graph has operations that surgeon does not allow: {names}",
            _REMEDY,
        )


def _check_files(folder: Path) -> None:
    for path in (folder, *folder.rglob("*")):
        if path.is_symlink():
            raise SurgeonError(f"{path} is a link, which may lead out of the network's folder", _REMEDY)
    if other := [name for name in ("saved_model.pbtxt", "saved_model.cpb") if (folder / name).exists()]:
        raise SurgeonError(f"{folder} holds a second network, {other[0]}", _REMEDY)


def _entries(graph: Any) -> list[str]:
    """Returns the functions that can be called from outside, and those that may stand in for another."""
    objects = graph.object_graph_def
    entries = list(objects.concrete_functions)
    for node in objects.nodes:
        entries += [*node.function.concrete_functions, node.bare_concrete_function.concrete_function_name]
    return entries + [own.signature.name for own in graph.graph_def.library.function if "api_implements" in own.attr]


def _called(entries: list[str], functions: dict[str, Any]) -> set[str]:
    """Returns the functions that entries call, directly or through others, as TensorFlow does: by an attribute."""
    called, waiting = set[str](), list(entries)
    while waiting:
        name = waiting.pop()
        if name in called or name not in functions:
            continue
        called.add(name)
        for node in functions[name].node_def:
            for value in node.attr.values():
                waiting += [value.func.name, *(function.name for function in value.list.func)]
    return called


def check_onnx(path: Path) -> None:
    """Makes sure that an ONNX file takes no weights from other files, which it could name anywhere on the disk.

    Raises:
        SurgeonError: If it does, or is damaged.
    """
    import onnx

    with damage_told(path, "export it again"):
        model = onnx.ModelProto.FromString(read_regular(path, _MOST_BYTES))
    if any(tensor.data_location == onnx.TensorProto.EXTERNAL for tensor in _tensors(model, onnx.TensorProto)):
        raise SurgeonError(f"{path} takes weights from other files", _REMEDY)


def _tensors(message: Any, kind: type) -> Iterator[Any]:
    """Yields the tensors in a message of protobuf, wherever they are in it."""
    if isinstance(message, kind):
        yield message
        return
    for field, value in message.ListFields():
        if field.message_type is not None:
            for inner in value if hasattr(value, "add") else (value,):
                yield from _tensors(inner, kind)
