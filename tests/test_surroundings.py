"""What stands around a run, such as settings for other work, does not change it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import pytest

from surgeon.model.surgery import build_network
from surgeon.recipe.compiler import compile_recipe

SETTINGS: dict[str, tuple[Callable[[Any], None], Any]] = {
    "floatx": (keras.config.set_floatx, "float16"),
    "epsilon": (keras.config.set_epsilon, 0.1),
    "image data format": (keras.config.set_image_data_format, "channels_first"),
    "dtype policy": (keras.config.set_dtype_policy, "mixed_bfloat16"),
}


def found() -> list[Any]:
    policy = keras.config.dtype_policy().name
    return [keras.config.floatx(), keras.config.epsilon(), keras.config.image_data_format(), policy]


@pytest.fixture
def settings() -> Iterator[list[Any]]:
    before = [keras.config.floatx(), keras.config.epsilon(), keras.config.image_data_format()]
    yield [*before, keras.config.dtype_policy().name]
    keras.config.set_floatx(before[0])
    keras.config.set_epsilon(before[1])
    keras.config.set_image_data_format(before[2])
    keras.config.set_dtype_policy("float32")


@pytest.mark.parametrize("setting", SETTINGS)
def test_what_a_notebook_set_for_keras_changes_no_network(setting: str, tiny: Path, settings: list[Any]) -> None:
    change, value = SETTINGS[setting]
    change(value)
    network = build_network(compile_recipe(tiny))
    assert found() == settings == ["float32", 1e-7, "channels_last", "float32"]
    assert {weight.dtype for weight in network.weights} == {"float32"}
    assert network.input_shape == (None, 32, 32, 3)


def load(home: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Loads Keras as the commands do; prints its settings."""
    script = (
        "import surgeon.model\nfrom keras import config\n"
        "print(config.backend(), config.floatx(), config.epsilon(), config.image_data_format())\n"
        "print(config.dtype_policy().name)"
    )
    environment = {**os.environ, "KERAS_HOME": str(home), **variables}
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment, check=False)


@pytest.mark.slow
def test_what_a_person_set_for_other_work_is_not_taken(tmp_path: Path) -> None:
    hostile = {"floatx": "float16", "epsilon": 0.1, "backend": "jax", "image_data_format": "channels_first"}
    (tmp_path / "keras.json").write_text(json.dumps(hostile), encoding="utf-8")
    done = load(tmp_path, KERAS_BACKEND="torch", KERAS_NNX_ENABLED="true", KERAS_MAX_EPOCHS="1")
    assert done.stdout.split() == ["tensorflow", "float32", "1e-07", "channels_last", "float32"], done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("content", ['{"floatx": "int7"}', "[]"])
def test_settings_that_keras_cannot_take_are_said(tmp_path: Path, content: str) -> None:
    (tmp_path / "keras.json").write_text(content, encoding="utf-8")
    assert "SurgeonError: Keras cannot be loaded" in load(tmp_path).stderr
