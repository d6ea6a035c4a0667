"""Cut and sew: from a plan to one flat functional Keras model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras

from surgeon.catalogue.backbones import BACKBONES
from surgeon.catalogue.building import build, load_table
from surgeon.catalogue.entry import find
from surgeon.catalogue.head_layers import HEAD_LAYERS
from surgeon.catalogue.layer_table import LayerTable, graph_nodes, nodes_before, open_model, tabulate
from surgeon.catalogue.model_file import on_images
from surgeon.errors import SurgeonError
from surgeon.model.weights import load_weights
from surgeon.tensorflow import load_tensorflow

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from surgeon.catalogue.layer_table import LayerRow
    from surgeon.recipe.network import HeadLayer
    from surgeon.recipe.plan import BackbonePlan, Plan


def build_network(plan: Plan) -> Any:
    """Builds the network that a plan asks for: the backbone with its weights, cut, and a fresh head.

    Returns:
        A ``keras.Model`` that maps preprocessed images, float32 of shape (batch, height, width, 3), to one
        output per class; its layers have the names of the plan's rows.

    Raises:
        SurgeonError: If the network differs from its table or the weights do not fit.
    """
    start_afresh(plan.seed)
    backbone = open_backbone(plan.backbone, plan.data.image_size)
    features = output_of(backbone, plan.backbone.cut)
    keras.utils.set_random_seed(plan.seed)  # how a head begins depends on the seed and on nothing before it
    return keras.Model(backbone.input, sew(features, plan.head), name="network")


def build_head(plan: Plan) -> Any:
    """Builds the head alone, a ``keras.Model`` on the output of the cut, with the weights that it begins with."""
    start_afresh(plan.seed)
    features = keras.Input(plan.network.cut_row.shape)
    return keras.Model(features, sew(features, plan.head), name="head")


def start_afresh(seed: int) -> None:
    """Lets automatic layer names start from the beginning, as in the tables, and every random draw follow a seed."""
    load_tensorflow()  # again: a notebook may have changed Keras' settings since
    keras.utils.clear_session(free_memory=False)
    keras.utils.set_random_seed(seed)


def open_backbone(plan: BackbonePlan, image_size: tuple[int, int]) -> Any:
    """Builds or loads the backbone as far as its cut needs it, with its weights.

    Raises:
        SurgeonError: If the network differs from its table or the weights do not fit.
    """
    if plan.model is not None:
        return on_images(open_model(plan.model), image_size)
    spec = find("backbone", BACKBONES, str(plan.name))
    if spec.layer_table is None:
        backbone = build(spec, image_size, include_top=False)
        load_weights(backbone, spec, str(plan.weights), include_top=False)
        return on_images(backbone, image_size)
    table = load_table(spec, image_size)
    names = [row.name for row in table.rows]
    include_top = plan.cut in names[table.top :]
    backbone = build(spec, image_size, include_top=include_top)
    check_against_table(backbone, table, until=names.index(plan.cut))
    load_weights(backbone, spec, str(plan.weights), include_top)
    return backbone


def check_against_table(model: Any, table: LayerTable, until: int) -> None:
    """Compares a network with its table, layer by layer up to the index ``until``.

    Raises:
        SurgeonError: If a layer differs: another release of Keras, or of a package, may build another network.
    """
    package = BACKBONES[table.network].package
    built = tabulate(model).rows
    for index, row in enumerate(table.rows[: until + 1]):
        found = built[index] if index < len(built) else None
        if found != row:
            raise SurgeonError(
                f"layer {index} of {table.network} is {_describe(found)}, but its table says {_describe(row)}",
                f"if Keras {keras.__version__} builds another network than the one that this release of "
                f"{package or 'surgeon'} was made with, install that; after a change to the network, make its table "
                f"anew, `python -m surgeon.generate {table.network}.json`",
            )


def _describe(row: LayerRow | None) -> str:
    if row is None:
        return "not there"
    weights = f"{row.trainable:,} trainable and {row.fixed:,} other weights"
    return f"{row.name!r}, {row.kind} of {row.inputs} with output {row.shape}, {weights}"


def layer_variables(model: Any, names: Iterable[str]) -> dict[str, Any]:
    """Returns the variables of some layers, the states of their random generators among them.

    They go by the layer's name and their place in it, which is the same in every model that has the layer; the path of
    a generator holds a number that depends on what was built before.
    """
    return {f"{name}/{at}": variable for name in names for at, variable in enumerate(model.get_layer(name).variables)}


def layer_output(model: Any, name: str) -> Any:
    """Returns the tensor that a layer puts out in a model; elsewhere the layer may put out others."""
    layer = model.get_layer(name)
    return next(node for node in graph_nodes(model) if node.operation is layer).outputs[0]


def output_of(model: Any, name: str) -> Any:
    """Returns the output of a layer, with the operations after it that change neither its shape nor what it depends on.

    A residual sum that is written as ``+`` is not a layer; it belongs to the layer that it alone follows. A mean or a
    slice is part of what follows the layer.
    """
    nodes, layers = graph_nodes(model), {id(layer) for layer in model.layers}
    node = next(node for node in nodes if node.operation.name == name)
    before = nodes_before(node)
    while True:
        tensor = node.outputs[0]
        users = [user for user in nodes if any(used is tensor for used in user.input_tensors)]
        if len(users) != 1 or id(users[0].operation) in layers:
            return tensor
        (node,) = users
        keeps_shape = [output.shape for output in node.outputs] == [tensor.shape]
        if not keeps_shape or any(id(parent) not in before for parent in node.parent_nodes):
            return tensor
        before.add(id(node))


def part_of(model: Any, start: Sequence[str], end: Sequence[str]) -> Any:
    """Returns the part of a model between the outputs of some layers and those of others, on the same weights.

    Args:
        model: The whole.
        start: Layers whose outputs are the part's inputs; none for the model's own.
        end: Layers whose outputs are the part's, as a list; none for the model's own, as it is.
    """
    inputs = [layer_output(model, name) for name in start] or model.input
    return keras.Model(inputs, [layer_output(model, name) for name in end] or model.output)


def sew(features: Any, head: Sequence[HeadLayer]) -> Any:
    """Returns the output of a fresh head on ``features``."""
    for layer in head:
        features = HEAD_LAYERS[layer.kind].build(layer.parameters, layer.name)(features)
    return features
