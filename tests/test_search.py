"""Where to cut and which rate, by the real commands on small networks."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from surgeon.catalogue.backbones import BACKBONES
from surgeon.catalogue.building import load_table
from surgeon.catalogue.schedules import for_part
from surgeon.planning.cuts import all_cuts, block_ends

Surgeon = Callable[..., Any]
UNEVEN = {"nasnetmobile", "nasnetlarge"}  # all their cells look at the two before them
WITH_SUMS = {name for name in BACKBONES.own if name.startswith("convnext")}  # that are no layers


def rows_of(name: str) -> tuple[Any, ...]:
    spec = BACKBONES[name]
    table = load_table(spec, (spec.image_size, spec.image_size))
    return table.rows[: table.top]


@pytest.mark.parametrize("name", BACKBONES.own)
def test_blocks_end_where_one_tensor_leads_on(name: str) -> None:
    rows = rows_of(name)
    ends = block_ends(rows)
    assert ends[-1] is rows[-1]
    assert len(ends) >= 5
    assert set(ends) <= set(all_cuts(rows))
    for end in ends:
        if name not in UNEVEN | WITH_SUMS:
            assert all(index >= end.index for row in rows if row.index > end.index for index in row.inputs)


def test_blocks_end_as_their_names_say() -> None:
    assert [row.name for row in block_ends(rows_of("vgg16"))] == [f"block{number}_pool" for number in range(1, 6)]
    assert all(row.name.endswith("_out") for row in block_ends(rows_of("resnet50")))
    assert [row.name for row in block_ends(rows_of("inceptionv3"))] == [f"mixed{number}" for number in range(11)]
    assert len(block_ends(rows_of("convnexttiny"))) == 22  # 18 blocks, the stem and what lies between the stages


@pytest.fixture
def with_test_folder(tmp_path: Path, tiny: Path, tiny_and_small: None, photos: Path) -> Path:
    """The tiny recipe with folders for its splits; whoever decodes an image of the test split fails."""
    for split, numbers in (("train", range(8)), ("validation", range(8, 12)), ("test", range(2))):
        for label in ("across", "along"):
            folder = tmp_path / "photos" / split / label
            folder.mkdir(parents=True)
            for number in numbers:
                if split == "test":
                    (folder / f"{number}.png").write_bytes(b"no image %d" % number + label.encode())
                else:
                    shutil.copy(photos / label / f"{number}.png", folder)
    recipe = yaml.safe_load(tiny.read_text(encoding="utf-8"))
    recipe["data"] |= {"source": {"folder": {"path": "photos"}}, "split": {"test": 0, "validation": 0}}
    tiny.write_text(yaml.safe_dump(recipe, sort_keys=False), encoding="utf-8")
    return tiny


def test_probe_measures_every_block_and_no_test_image(surgeon: Surgeon, with_test_folder: Path, tmp_path: Path) -> None:
    chart = tmp_path / "cuts.png"
    outcome = surgeon("probe", with_test_folder, "--format", "json", "--chart", chart)
    assert outcome.code == 0, outcome.err
    found = json.loads(outcome.out)
    assert found["images"] == 24
    assert [cut["cut"] for cut in found["cuts"]] == ["block1a_activation", "block2a_project_bn"]
    first, last = found["cuts"]
    assert first["parameters"] < last["parameters"]
    assert first["multiply_adds"] < last["multiply_adds"]
    assert (first["features"], last["features"]) == (8, 24)
    best, suggested = found["best"], found["suggested"]
    assert best["accuracy"] == max(cut["accuracy"] for cut in found["cuts"])
    assert suggested["accuracy"] >= best["accuracy"] - best["standard_error"]
    assert chart.read_bytes().startswith(b"\x89PNG")


def test_features_are_those_of_the_network_cut_there_and_kept(tiny: Path, tiny_and_small: None) -> None:
    import keras

    import surgeon
    from surgeon.features.frozen import FrozenFeatures
    from surgeon.model.surgery import open_backbone, output_of
    from surgeon.search import images, probe

    plan = probe.plan_to_probe(surgeon.load_recipe(tiny), None)

    def gathered() -> tuple[Any, Any, Any, float]:
        with ExitStack() as stack:
            dataset = to_the_end(images.open_images(plan, stack)).dataset
            probed = probe.compose(plan, dataset, every_layer=True)
            features = FrozenFeatures(probed.setup, stack)
            to_the_end(features.keep([probed.frontier]))
            pixels = probed.setup.pipeline.prepare(dataset.pixels(np.arange(18)))
            return probed, pixels, to_the_end(probe.gather(probed, features)), features.result().computed

    probed, pixels, features, computed = gathered()
    assert computed == len(features) == 18
    assert gathered()[-1] == 0
    network = open_backbone(plan.backbone, plan.data.image_size)
    start = 0
    for cut in probed.cuts:
        maps = keras.Model(network.input, output_of(network, cut.name))(pixels, training=False)
        expected = np.mean(maps, axis=(1, 2))
        np.testing.assert_allclose(features[:, start : start + cut.shape[-1]], expected, rtol=1e-4, atol=1e-5)
        start += cut.shape[-1]
    assert start == features.shape[1]


def to_the_end(work: Any) -> Any:
    from surgeon.results.subscribers import drive

    return drive(work, lambda event: None)


@pytest.fixture
def head_only(tiny: Path) -> Path:
    """The tiny recipe without the phase that names layers."""
    recipe = yaml.safe_load(tiny.read_text(encoding="utf-8"))
    path = tiny.with_name("head.yaml")
    path.write_text(yaml.safe_dump({**recipe, "phases": recipe["phases"][:1]}), encoding="utf-8")
    return path


@pytest.mark.slow
def test_several_networks_stand_side_by_side(surgeon: Surgeon, head_only: Path, tmp_path: Path) -> None:
    better = tmp_path / "better.yaml"
    outcome = surgeon("probe", head_only, "--backbones", "mobilenet,vgg16", "--write", better)
    assert outcome.code == 0, outcome.err
    for name in ("mobilenet", "vgg16", "conv_pw_1_relu", "block5_pool", "best: "):
        assert name in outcome.out
    backbone = yaml.safe_load(better.read_text(encoding="utf-8"))["backbone"]
    assert f"{backbone['cut']} of {backbone['name']}" in outcome.out
    assert surgeon("validate", better).code == 0


def test_a_cut_is_written_with_its_reasons(
    surgeon: Surgeon, tiny_and_small: None, head_only: Path, tmp_path: Path
) -> None:
    better = tmp_path / "found" / "better.yaml"
    better.parent.mkdir()
    outcome = surgeon("probe", head_only, "--write", better)
    assert outcome.code == 0, outcome.err
    text = better.read_text(encoding="utf-8")
    assert "# best: " in text
    assert "extends: ../head.yaml" in text
    cut = yaml.safe_load(text)["backbone"]["cut"]
    assert surgeon("validate", better).code == 0
    assert f"is cut after {cut!r}" in surgeon("layers", better).out or cut in surgeon("layers", better).out
    again = surgeon("probe", head_only, "--write", better)
    assert again.code == 2
    assert "exists" in again.err
    assert surgeon("probe", head_only, "--write", tmp_path / "b.yaml", "--set", "seed=1").code == 2


def test_a_cut_that_a_phase_does_not_fit_is_said(tiny: Path, tmp_path: Path) -> None:
    from surgeon.errors import SurgeonError
    from surgeon.recipe.derived import write_derived

    better = tmp_path / "better.yaml"
    with pytest.raises(SurgeonError, match=r"better\.yaml was not written.*\n.*block2a_dwconv"):
        write_derived(tiny, {"backbone": {"cut": "block1a_activation"}}, ["too early"], better)
    assert not better.exists()


def test_copies_of_an_image_are_never_on_both_sides() -> None:
    from sklearn.model_selection import StratifiedGroupKFold

    from surgeon.features.regression import predict_held_out

    random = np.random.default_rng(0)
    noise = random.normal(size=(40, 60)).astype(np.float32)
    labels = random.integers(0, 2, 40).astype(np.int32)
    digests = np.arange(40).astype(str)

    def accuracy(names: Any) -> float:
        copies = np.repeat(noise, 5, axis=0), np.repeat(labels, 5)
        folds = StratifiedGroupKFold(5, shuffle=True, random_state=0)
        return float(np.mean(predict_held_out(*copies, folds, groups=names) == copies[1]))

    assert accuracy(np.repeat(digests, 5)) < 0.75  # nothing is to be learned
    assert accuracy(np.arange(200).astype(str)) > 0.95  # as if copies were images of their own


def test_too_few_images_are_said(surgeon: Surgeon, tiny: Path, tiny_and_small: None) -> None:
    outcome = surgeon("probe", tiny, "--set", "data.split.test=0.8", "--set", "data.split.validation=0")
    assert outcome.code == 1
    assert "cross-validation needs two classes, each with 5 different images or more" in outcome.err


def test_lr_finds_the_rate_of_a_phase(surgeon: Surgeon, with_test_folder: Path, tmp_path: Path) -> None:
    recipe = yaml.safe_load(with_test_folder.read_text(encoding="utf-8"))
    # The loss can fall a long way, and rises with weights that are too large.
    recipe["head"] = ["flatten", {"dense": {"units": "classes", "activation": "softmax", "l2": 0.01}}]
    with_test_folder.write_text(yaml.safe_dump(recipe), encoding="utf-8")
    chart, better = tmp_path / "lr.png", tmp_path / "better.yaml"
    outcome = surgeon("lr", with_test_folder, "--chart", chart, "--write", better, "--format", "json")
    assert outcome.code == 0, outcome.err
    found = json.loads(outcome.out)
    assert (found["phase"], found["number"]) == ("warm-up", 1)
    assert found["rates"] == sorted(found["rates"])
    assert len(found["rates"]) == len(found["losses"]) == len(found["smoothed"]) >= 10
    assert found["lowest"] == found["rates"][int(np.argmin(found["smoothed"]))]
    assert found["suggested"] == found["lowest"] / 10
    assert chart.read_bytes().startswith(b"\x89PNG")
    phases = yaml.safe_load(better.read_text(encoding="utf-8"))["phases"]
    assert [phase["lr"] for phase in phases] == [pytest.approx(found["suggested"]), 0.01]
    assert surgeon("validate", better).code == 0


@pytest.mark.slow
def test_the_first_step_of_the_test_is_that_of_the_phase(tiny: Path, tiny_and_small: None) -> None:
    """At the lowest rate nothing has changed yet: the first loss is that of training the same phase."""
    import surgeon

    heard: list[Any] = []
    found = surgeon.lr_range(tiny, "fine-tune", on_event=heard.append)
    trained: list[Any] = []
    surgeon.train(tiny, tiny.with_name("run"), on_event=trained.append)
    first = next(e for e in trained if isinstance(e, surgeon.BatchEnded) and e.phase == "fine-tune")
    assert found.losses[0] == pytest.approx(first.loss, rel=1e-5)
    assert [e.name for e in heard if isinstance(e, surgeon.PhaseResult)] == ["warm-up"]


@pytest.mark.parametrize(
    ("lr", "expected"),
    [
        (0.1, 0.5),
        ({"cosine": {"peak": 0.1, "warmup_epochs": 1}}, {"cosine": {"peak": 0.5, "warmup_epochs": 1}}),
        ({"one_cycle": 0.1}, {"one_cycle": 0.5}),
        (
            {"piecewise": {"values": [0.1, 0.01], "epochs": [1]}},
            {"piecewise": {"values": [0.5, pytest.approx(0.05)], "epochs": [1]}},
        ),
    ],
)
def test_a_rate_goes_where_the_schedule_has_its_highest(tiny: Path, lr: Any, expected: Any) -> None:
    from surgeon.recipe.derived import with_rate

    recipe = yaml.safe_load(tiny.read_text(encoding="utf-8"))
    recipe["phases"][0]["lr"] = lr
    tiny.write_text(yaml.safe_dump(recipe), encoding="utf-8")
    first, second = with_rate(tiny, 1, 0.5)
    assert first["lr"] == expected
    assert second == recipe["phases"][1]


@pytest.mark.slow
def test_depth_trains_from_each_block_and_chooses_by_validation(
    surgeon: Surgeon, with_test_folder: Path, tmp_path: Path
) -> None:
    chart, better = tmp_path / "depth.png", tmp_path / "better.yaml"
    options = ("--epochs", 1, "--seeds", 2, "--chart", chart, "--write", better, "--format", "json")
    outcome = surgeon("depth", with_test_folder, *options)
    assert outcome.code == 0, outcome.err
    found = json.loads(outcome.out)
    assert (found["phase"], found["epochs"], found["images"]) == ("fine-tune", 1, 8)
    depths = found["depths"]
    assert [depth["start"] for depth in depths] == ["head", "block2a_dwconv..", "stem_conv.."]
    assert [depth["gradient"] is None for depth in depths] == [True, False, False]
    assert all(depth["gradient"] > 0 for depth in depths[1:])
    assert depths[0]["parameters"] < depths[1]["parameters"] < depths[2]["parameters"]
    for depth in depths:
        assert [float(rate) for rate in depth["accuracies"]] == [0.003, 0.01, 0.03]
        assert all(len(values) == 2 for values in depth["accuracies"].values())
    assert chart.read_bytes().startswith(b"\x89PNG")
    first, last = yaml.safe_load(better.read_text(encoding="utf-8"))["phases"]
    assert last["trainable"] == found["suggested"]
    rates = next(depth["accuracies"] for depth in depths if depth["start"] == found["suggested"])
    assert sum(rates[f"{last['lr']}"]) == max(map(sum, rates.values()))
    assert first == yaml.safe_load(with_test_folder.read_text(encoding="utf-8"))["phases"][0]
    assert surgeon("validate", better).code == 0


RANDOM = {
    "augment": {"flip": "horizontal"},
    "head": ["global_average_pooling", {"dropout": 0.3}, {"dense": {"units": "classes", "activation": "softmax"}}],
}


@pytest.mark.slow
@pytest.mark.parametrize("more", [{}, RANDOM], ids=["plain", "random"])
def test_a_depth_tried_is_that_depth_trained_alone(tiny: Path, tiny_and_small: None, more: dict[str, Any]) -> None:
    """What others trained before leaves no trace: the loss is that of a run of the same recipe, with each seed."""
    import surgeon

    heard: list[Any] = []
    surgeon.depth(surgeon.load_recipe(tiny, more), epochs=2, seeds=2, on_event=heard.append)
    told = [e.text for e in heard if isinstance(e, surgeon.Note) and e.text.startswith("trials")]
    assert [text.partition(",")[0] for text in told] == [f"trials {n} to {n + 5} of 18" for n in (1, 7, 13)]
    assert told[-1].endswith("about 1 min of training left")
    tried = [e for e in heard if isinstance(e, surgeon.PhaseResult) and e.name == "from stem_conv at 0.03"]
    changed = {"phases[1].epochs": 2, "phases[1].trainable": "stem_conv..", "phases[1].lr": 0.03, "seed": 8}
    run = surgeon.train(surgeon.load_recipe(tiny, more | changed), tiny.with_name("alone"))
    assert len(tried) == 2
    alone = run.result.phases[1].history
    assert tried[1].history["loss"] == pytest.approx(alone["loss"], rel=1e-4)
    assert tried[1].history["val_loss"] == pytest.approx(alone["val_loss"], rel=1e-4)
    assert tried[0].history["loss"] != pytest.approx(alone["loss"], rel=1e-4)


def test_a_shorter_trial_has_a_shorter_warm_up(surgeon: Surgeon, tiny: Path, tiny_and_small: None) -> None:
    assert for_part({"peak": 1.0, "warmup_epochs": 2.0}, 0.25) == {"peak": 1.0, "warmup_epochs": 0.5}
    assert for_part({"values": [1, 2], "epochs": [4]}, 0.5) == {"values": [1, 2], "epochs": [2.0]}
    warm = "phases[1]={trainable: all, lr: {cosine: {peak: 0.01, warmup_epochs: 2}}, epochs: 8}"
    done = surgeon("depth", tiny, "--epochs", 1, "--set", warm)
    assert done.code == 0, done.err
    assert sum(line.startswith("  from ") for line in done.err.splitlines()) == 9  # a line for each trial
    assert "val_loss" not in done.err


def test_depth_wants_a_warm_up_of_the_head(surgeon: Surgeon, tiny: Path, tiny_and_small: None, head_only: Path) -> None:
    assert "has only one phase" in surgeon("depth", head_only).err
    outcome = surgeon("depth", tiny, "--set", "phases[0].trainable=all")
    assert outcome.code == 2
    assert "phase 'warm-up' trains more than the head" in outcome.err


TUTORIAL = [("Conv2D", 8, 4), ("MaxPooling2D", 4, 0), ("Dropout", 4, 0), ("Conv2D", 4, 4), ("Dropout", 4, 0)]


def test_a_block_that_ends_with_dropout_ends_before_it() -> None:
    from surgeon.catalogue.layer_table import LayerRow

    rows = [LayerRow(0, "image", "InputLayer", (), (8, 8, 3), 0, 0)]
    for at, (kind, side, weights) in enumerate(TUTORIAL, start=1):
        rows.append(LayerRow(at, f"{kind}_{at}", kind, (at - 1,), (side, side, 2), weights, 0))
    assert [row.name for row in block_ends(rows)] == ["MaxPooling2D_2", "Conv2D_4"]


def test_outputs_are_checked_before_the_long_work(surgeon: Surgeon, tiny: Path, tmp_path: Path) -> None:
    for option in ("--chart", "--write"):
        outcome = surgeon("probe", tiny, option, tmp_path / "missing" / "x.png")
        assert outcome.code == 2
        assert "there is no folder" in outcome.err
    assert "is a folder" in surgeon("lr", tiny, "--chart", tmp_path).err


def test_another_network_is_written_as_it_was_measured(tiny: Path, tiny_and_small: None, tmp_path: Path) -> None:
    """The recipe's own model file and the author's figures are not taken over."""
    import surgeon
    from surgeon.cli.probe import _backbone
    from surgeon.recipe.derived import write_derived

    recipe = yaml.safe_load(tiny.read_text(encoding="utf-8"))
    recipe |= {"phases": recipe["phases"][:1], "expected": {"accuracy": 0.9}}
    tiny.write_text(yaml.safe_dump(recipe), encoding="utf-8")
    plan = surgeon.load_recipe(tiny)
    cut = surgeon.CutResult("vgg16", "block4_pool", 14, 512, 0.9, 0.01, 1, 1, 1.0)
    better = tmp_path / "better.yaml"
    write_derived(tiny, {"backbone": _backbone(cut, plan)}, [], better)
    found = surgeon.load_recipe(better)
    assert (found.backbone.name, found.backbone.model, found.backbone.cut) == ("vgg16", None, "block4_pool")
    assert found.expected == {}


def test_no_rate_is_suggested_where_the_loss_says_nothing() -> None:
    from surgeon.results.lr_range import LrRangeResult

    def suggested(*losses: float, first: float = 0.1) -> float | None:
        return LrRangeResult("fine-tune", 1, (first, 1.0, 10.0), losses, losses).suggested

    assert suggested(1.0, 2.0, 3.0) is None
    assert suggested(3.0, 2.0, 1.0) is None
    assert suggested(2.0, 1.99, 2.0) is None
    assert suggested(2.0, 1.0, 2.0) == 0.1
    assert suggested(2.0, 1.0, 2.0, first=0.5) is None  # nobody tried a rate as low as that


@pytest.mark.slow
def test_a_depth_that_diverges_is_recorded_and_the_others_go_on(tiny: Path, tiny_and_small: None) -> None:
    import surgeon

    heard: list[Any] = []
    found = surgeon.depth(surgeon.load_recipe(tiny, {"phases[1].lr": 1e15}), epochs=1, on_event=heard.append)
    assert [depth.seconds == 0 for depth in found.depths] == [False, True, True]
    assert found.suggested.start == "head"
    assert any("is not a finite number" in e.text or "the loss is" in e.text for e in heard if hasattr(e, "text"))


def test_relative_gradients_are_those_that_keras_finds(tiny: Path, tiny_and_small: None) -> None:
    """One batch of all images: the norm of the gradient over that of the weights, for each block."""
    import keras
    import tensorflow as tf

    import surgeon
    from surgeon.features.frozen import FrozenFeatures, Setup
    from surgeon.model.pipeline import build_pipeline
    from surgeon.model.surgery import build_network
    from surgeon.planning.frontier import image_frontier
    from surgeon.search import images
    from surgeon.training.gradients import relative_gradients

    plan = surgeon.load_recipe(tiny, {"phases": [{"trainable": "all", "lr": 0.1, "epochs": 1}], "data.batch_size": 100})
    groups = [["stem_conv", "stem_bn"], ["head_dense"]]
    with ExitStack() as stack:
        dataset = to_the_end(images.open_images(plan, stack)).dataset
        setup = Setup(plan, build_network(plan), build_pipeline(plan), dataset)
        feed = FrozenFeatures(setup, stack).feed("train", image_frontier(plan.network, ()))
        found = to_the_end(relative_gradients(setup, feed, groups))
        pixels = setup.pipeline.prepare(dataset.pixels(feed.examples.positions))
    with tf.GradientTape() as tape:
        loss = keras.losses.SparseCategoricalCrossentropy()(feed.examples.labels, setup.network(pixels, training=False))
    variables = [setup.network.get_layer(name).trainable_variables for name in ("stem_conv", "stem_bn", "head_dense")]
    gradients = tape.gradient(loss, variables)

    def norm(values: Any) -> float:
        return float(tf.linalg.global_norm(keras.tree.flatten(values)))

    expected = [norm(gradients[:2]) / norm(variables[:2]), norm(gradients[2]) / norm(variables[2])]
    assert found == pytest.approx(expected, rel=1e-3)
