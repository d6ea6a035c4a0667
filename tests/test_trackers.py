"""What a run logs besides its folder."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from surgeon import api
from surgeon.results.events import BatchEnded

Surgeon = Callable[..., Any]

pytestmark = pytest.mark.usefixtures("tiny_and_small")


@pytest.mark.usefixtures("without_pictures")
def test_tensorboard_reads_every_epoch(surgeon: Surgeon, tiny: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorflow.python.framework.tensor_util import MakeNdarray
    from tensorflow.python.summary.summary_iterator import summary_iterator

    run = tmp_path / "run"
    assert surgeon("run", tiny, "--out", run, "--log", "tensorboard").code == 0
    (events,) = (run / "tensorboard").iterdir()
    logged = {
        (value.tag, event.step): float(MakeNdarray(value.tensor))
        for event in summary_iterator(str(events))
        for value in event.summary.value
    }
    for phase in json.loads((run / "result.json").read_text(encoding="utf-8"))["phases"]:
        for name in ("loss", "accuracy", "val_loss", "val_accuracy", "lr"):
            for epoch, value in enumerate(phase["history"][name], start=1):
                assert logged[f"{phase['name']}/{name}", epoch] == pytest.approx(value, rel=1e-6)


@pytest.fixture
def tracked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "tracked").as_uri())
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")  # a server's database needs more than the extra brings
    return mlflow


def test_mlflow_has_recipe_epochs_figures_and_files(surgeon: Surgeon, tiny: Path, tmp_path: Path, tracked: Any) -> None:
    run = tmp_path / "run"
    done = surgeon("run", tiny, "--out", run, "--log", "mlflow", "--format", "json")
    assert done.code == 0, done.err
    result = json.loads(done.out)
    (found,) = tracked.search_runs(output_format="list")
    assert (found.info.status, found.info.run_name) == ("FINISHED", "run")
    assert found.data.params["phases.0.optimizer.adam.beta_1"] == "0.9"
    assert found.data.metrics["network accuracy"] == result["evaluation"]["accuracy"]
    client = tracked.MlflowClient()
    logged = [metric.value for metric in client.get_metric_history(found.info.run_id, "warm-up/loss")]
    assert logged == result["phases"][0]["history"]["loss"]
    files = {file.path for file in client.list_artifacts(found.info.run_id)}
    assert {"report.html", "recipe.yaml", "model.keras", "bundle.json", "result.json"} <= files


@pytest.mark.usefixtures("without_pictures")
def test_a_tracker_that_fails_later_does_not_stop_the_run(
    surgeon: Surgeon, tiny: Path, tmp_path: Path, tracked: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*_: object, **__: object) -> None:
        raise ConnectionError("the server is gone")

    monkeypatch.setattr(tracked, "log_metrics", gone)
    done = surgeon("run", tiny, "--out", tmp_path / "run", "--log", "mlflow")
    assert done.code == 0
    assert done.err.count("mlflow is not used any more, since it failed: the server is gone") == 1
    assert (tmp_path / "run" / "result.json").exists()


@pytest.mark.usefixtures("without_pictures")
def test_a_tracker_that_cannot_be_reached_is_told_before_training(
    surgeon: Surgeon, tiny: Path, tmp_path: Path, tracked: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "nowhere://at-all")
    done = surgeon("run", tiny, "--out", tmp_path / "run", "--log", "mlflow")
    assert done.code == 1
    assert "mlflow cannot be used" in done.err
    assert "Traceback" not in done.err
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "tracked").as_uri())
    assert surgeon("run", tiny, "--out", tmp_path / "run", "--log", "mlflow").code == 0
    assert len(tracked.search_runs(output_format="list")) == 1


def test_a_tracker_that_is_not_installed_is_told_before_anything_is_written(
    surgeon: Surgeon, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("surgeon.errors.find_spec", lambda _: None)
    done = surgeon("run", tiny, "--out", tmp_path / "runs" / "new", "--log", "mlflow")
    assert (done.code, "mlflow needs packages that are not installed: mlflow" in done.err) == (1, True)
    assert not (tmp_path / "runs").exists()


@pytest.mark.usefixtures("without_pictures")
def test_a_resumed_run_is_the_same_run(
    surgeon: Surgeon, tiny: Path, tmp_path: Path, tracked: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    record = api.record_event

    def record_and_stop(folder: Path, event: Any) -> None:
        record(folder, event)
        if isinstance(event, BatchEnded) and event.epoch == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(api, "record_event", record_and_stop)
        assert surgeon("run", tiny, "--out", run, "--log", "mlflow").code == 130
    (found,) = tracked.search_runs(output_format="list")
    assert found.info.status == "FAILED"
    assert surgeon("resume", run, "--log", "mlflow").code == 0
    (found,) = tracked.search_runs(output_format="list")
    assert found.info.status == "FINISHED"
    steps = [metric.step for metric in tracked.MlflowClient().get_metric_history(found.info.run_id, "warm-up/loss")]
    assert steps == [1, 2]
