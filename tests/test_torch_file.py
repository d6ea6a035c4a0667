"""The files are written here opcode by opcode, since PyTorch itself is no dependency."""

from __future__ import annotations

import hashlib
import itertools
import pickle
import struct
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pytest

from surgeon.errors import SurgeonError
from surgeon.networks.torch_file import MAGIC_NUMBER, PROTOCOL_VERSION, STORAGE_DTYPES, read_tensors

if TYPE_CHECKING:
    from pathlib import Path

SYSTEM = {"protocol_version": PROTOCOL_VERSION, "little_endian": True, "type_sizes": {"long": 4}}


class Global(NamedTuple):
    module: str
    name: str


class Call(NamedTuple):
    function: Global
    arguments: tuple[Any, ...]


class Persistent(NamedTuple):
    pid: tuple[Any, ...]


def opcodes(value: Any) -> bytes:
    match value:
        case Global():
            return f"c{value.module}\n{value.name}\n".encode()
        case Call():
            return opcodes(value.function) + opcodes(value.arguments) + b"R"
        case Persistent():
            return opcodes(value.pid) + b"Q"
        case tuple():
            return b"(" + b"".join(map(opcodes, value)) + b"t"
        case dict():
            return b"}(" + b"".join(map(opcodes, itertools.chain(*value.items()))) + b"u"
        case _:
            return pickle.dumps(value, 2)[2:-1]  # without the protocol before it and the stop after it


def storage(key: str, elements: np.ndarray) -> Persistent:
    kind = next(kind for kind, dtype in STORAGE_DTYPES.items() if np.dtype(dtype) == elements.dtype)
    return Persistent(("storage", Global("torch", kind), key, "cpu", elements.size, None))


def tensor(storage: Persistent, offset: Any, shape: Any, strides: Any) -> Call:
    no_hooks = Call(Global("collections", "OrderedDict"), ())
    arguments = (storage, offset, shape, strides, False, no_hooks)
    return Call(Global("torch._utils", "_rebuild_tensor_v2"), arguments)


def file_content(value: Any, storages: dict[str, np.ndarray], system: dict[str, Any] = SYSTEM) -> bytes:
    header = [pickle.dumps(part, 2) for part in (MAGIC_NUMBER, PROTOCOL_VERSION, system)]
    body = b"\x80\x02" + opcodes(value) + b"."
    elements = [struct.pack("<q", array.size) + array.tobytes() for array in storages.values()]
    return b"".join([*header, body, pickle.dumps(list(storages), 2), *elements])


def read(folder: Path, content: bytes) -> dict[str, np.ndarray]:
    path = folder / "weights.pth"
    path.write_bytes(content)
    return read_tensors(path, hashlib.sha256(content).hexdigest())


SIX = np.arange(6, dtype="<f4")


def small_file() -> bytes:
    """A state dict with a transposed tensor and an integer without dimensions."""
    steps = np.array([7], "<i8")
    weights = {
        "conv.weight": tensor(storage("0", SIX), 0, (3, 2), (1, 3)),
        "bn.num_batches_tracked": tensor(storage("1", steps), 0, (), ()),
    }
    return file_content(weights, {"0": SIX, "1": steps})


def test_tensors_come_by_name_in_the_order_of_the_file(tmp_path: Path) -> None:
    tensors = read(tmp_path, small_file())
    assert list(tensors) == ["conv.weight", "bn.num_batches_tracked"]
    np.testing.assert_array_equal(tensors["conv.weight"], [[0, 3], [1, 4], [2, 5]])
    assert tensors["bn.num_batches_tracked"] == np.array(7)
    assert tensors["bn.num_batches_tracked"].shape == ()


@pytest.mark.parametrize("dtype", STORAGE_DTYPES.values())
def test_each_type_of_storage_keeps_its_dtype_and_bits(dtype: str, tmp_path: Path) -> None:
    elements = np.random.default_rng(0).integers(0, 2, 12).astype(dtype)
    found = read(tmp_path, file_content({"x": tensor(storage("s", elements), 0, (12,), (1,))}, {"s": elements}))
    assert found["x"].dtype == elements.dtype
    assert found["x"].tobytes() == elements.tobytes()


@pytest.mark.parametrize("order", list(itertools.permutations(range(4))))
def test_strides_and_offset_are_honoured(order: tuple[int, ...], tmp_path: Path) -> None:
    elements = np.arange(5 + 2 * 3 * 4 * 5, dtype="<f4")
    expected = elements[5:].reshape(2, 3, 4, 5).transpose(order)
    strides = tuple(stride // 4 for stride in expected.strides)
    stored = tensor(storage("s", elements), 5, expected.shape, strides)
    found = read(tmp_path, file_content({"x": stored}, {"s": elements}))["x"]
    np.testing.assert_array_equal(found, expected)
    assert found.flags.c_contiguous


def test_tensors_that_share_a_storage_are_arrays_of_their_own(tmp_path: Path) -> None:
    shared = storage("s", SIX)
    halves = {"first": tensor(shared, 0, (4,), (1,)), "last": tensor(shared, 2, (4,), (1,))}
    found = read(tmp_path, file_content(halves, {"s": SIX}))
    found["first"][:] = -1
    np.testing.assert_array_equal(found["last"], [2, 3, 4, 5])


def test_an_empty_tensor_is_empty(tmp_path: Path) -> None:
    empty = np.array([], "<f4")
    found = read(tmp_path, file_content({"x": tensor(storage("s", empty), 0, (0, 3), (3, 1))}, {"s": empty}))
    assert found["x"].shape == (0, 3)


@pytest.mark.parametrize(
    ("offset", "shape", "strides"),
    [
        pytest.param(1, (6,), (1,), id="offset"),
        pytest.param(0, (7,), (1,), id="shape"),
        pytest.param(0, (3, 2), (2, 2), id="stride"),
        pytest.param(6, (), (), id="a scalar behind the end"),
        pytest.param(5, (2,), (-1,), id="negative stride"),
        pytest.param(-1, (2,), (1,), id="negative offset"),
        pytest.param(0, (-2,), (1,), id="negative shape"),
        pytest.param(0, (-2, 0), (1, 1), id="negative shape of an empty tensor"),
        pytest.param(0, (2, 3), (3,), id="a stride too few"),
        pytest.param(0, (2**62, 4), (2**62, 1), id="overflow"),
        pytest.param(0, (2.0, 3), (3, 1), id="not an integer"),
        pytest.param(0, (float("nan"),), (1,), id="not a number"),
        pytest.param("0", (6,), (1,), id="text"),
    ],
)
def test_views_that_do_not_lie_inside_their_storage_are_refused(
    offset: Any, shape: Any, strides: Any, tmp_path: Path
) -> None:
    content = file_content({"x": tensor(storage("s", SIX), offset, shape, strides)}, {"s": SIX})
    with pytest.raises(SurgeonError):
        read(tmp_path, content)


def test_nothing_is_unpickled_before_the_sha256_agrees(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    path.write_bytes(file_content(Call(Global("os", "system"), ("true",)), {}))
    with pytest.raises(SurgeonError, match=f"expected {'0' * 64}") as caught:
        read_tensors(path, "0" * 64)
    assert hashlib.sha256(path.read_bytes()).hexdigest() in caught.value.message
    assert "system" not in caught.value.message


@pytest.mark.parametrize("module", ["os", "posix", "subprocess"])
def test_a_file_that_runs_a_command_is_refused_unrun(module: str, tmp_path: Path) -> None:
    witness = tmp_path / "ran"
    command = Call(Global(module, "system"), (f"touch '{witness}'",))
    with pytest.raises(SurgeonError, match=f"found {module}.system"):
        read(tmp_path, file_content({"x": command}, {}))
    assert not witness.exists()


@pytest.mark.parametrize(
    "foreign",
    [
        Global("builtins", "eval"),
        Global("builtins", "getattr"),
        Global("collections", "Counter"),
        Global("numpy", "ndarray"),
        Global("torch", "Tensor"),
        Global("torch", "BFloat16Storage"),
        Global("torch._utils", "_rebuild_parameter"),
        Global("surgeon.networks.torch_file", "OrderedDict"),
    ],
    ids=".".join,
)
def test_any_other_class_or_function_is_refused_by_name(foreign: Global, tmp_path: Path) -> None:
    with pytest.raises(SurgeonError, match=f"found {foreign.module}.{foreign.name}$"):
        read(tmp_path, file_content({"x": foreign}, {}))


@pytest.mark.parametrize(
    ("value", "storages", "found"),
    [
        (3, {}, "found int"),
        ({"epoch": 3}, {}, "found 'epoch': int"),
        ({"state": {"x": 1}}, {}, "found 'state': dict"),
        ({3: tensor(storage("s", SIX), 0, (6,), (1,))}, {"s": SIX}, "found 3"),
        ({"x": storage("s", SIX)}, {"s": SIX}, "found 'x'"),
    ],
)
def test_anything_but_a_mapping_to_tensors_is_refused(
    value: Any, storages: dict[str, np.ndarray], found: str, tmp_path: Path
) -> None:
    with pytest.raises(SurgeonError, match=found):
        read(tmp_path, file_content(value, storages))


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"PK\x03\x04" + bytes(60), id="zip"),
        pytest.param(pickle.dumps({"x": 1}, 2), id="another pickle"),
        pytest.param(file_content({}, {}, SYSTEM | {"little_endian": False}), id="big-endian"),
        pytest.param(file_content({"x": tensor(storage("s", SIX), 0, (6,), (1,))}, {}), id="no storage"),
        pytest.param(file_content({"x": tensor(storage("s", SIX), 0, (6,), (1,))}, {"s": SIX[:3]}), id="short storage"),
        pytest.param(
            file_content(
                {
                    "x": tensor(storage("s", SIX), 0, (3,), (1,)),
                    "y": tensor(storage("s", SIX[:3]), 0, (3,), (1,)),
                },
                {"s": SIX},
            ),
            id="a storage of two sizes",
        ),
    ],
)
def test_what_is_not_such_a_file_is_refused(content: bytes, tmp_path: Path) -> None:
    with pytest.raises(SurgeonError, match="cannot be read as a PyTorch file"):
        read(tmp_path, content)


def test_a_file_cut_off_anywhere_is_refused(tmp_path: Path) -> None:
    content = small_file()
    for size in range(len(content)):
        with pytest.raises(SurgeonError):
            read(tmp_path, content[:size])


@pytest.mark.parametrize("mask", [0x01, 0x80, 0xFF])
def test_a_damaged_byte_gives_tensors_or_a_surgeon_error(mask: int, tmp_path: Path) -> None:
    content = small_file()
    refused = 0
    for index in range(len(content)):
        damaged = bytearray(content)
        damaged[index] ^= mask
        try:
            assert all(isinstance(found, np.ndarray) for found in read(tmp_path, bytes(damaged)).values())
        except SurgeonError:
            refused += 1
    assert refused > len(content) / 2


def test_a_file_that_is_not_there_is_an_error_of_the_user(tmp_path: Path) -> None:
    with pytest.raises(SurgeonError, match=r"cannot read .*weights\.pth"):
        read_tensors(tmp_path / "weights.pth", "0" * 64)
