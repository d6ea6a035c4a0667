"""The library in a notebook: the one of the documentation, and Ctrl-C in a kernel."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import write_tiny

ROOT = Path(__file__).parent.parent
NOTEBOOK = ROOT / "docs" / "surgeon.ipynb"
LONGEST = 300  # seconds that anything may take on a machine that does other things besides

pytestmark = [
    pytest.mark.slow,
    # The clients of kernels leave sockets to the garbage collector.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning"),
]


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A kernel of this Python in a folder of its own, with a client; ``ipykernel`` brings both."""
    pytest.importorskip("ipykernel", reason="ipykernel is not installed: there is no kernel to try the library in")
    from jupyter_client.kernelspec import KernelSpec
    from jupyter_client.manager import KernelManager

    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    manager = KernelManager()
    # Whatever kernels are installed, the one of the notebook is that of this Python.
    manager._kernel_spec = KernelSpec(
        argv=[sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"],
    )
    manager.start_kernel(cwd=str(tmp_path))
    client = manager.client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=LONGEST)
        yield manager, client
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def outputs(client: Any, until: str = "") -> str:
    """What the kernel says until it says ``until`` or, without one, is idle: text, tracebacks without their colours."""
    said = ""
    while True:
        message = client.get_iopub_msg(timeout=LONGEST)
        kind, content = message["msg_type"], message["content"]
        if kind == "stream":
            said += content["text"]
        elif kind == "error":
            said += re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(content["traceback"]))
        elif kind == "execute_result":
            said += content["data"]["text/plain"]
        elif kind == "status" and content["execution_state"] == "idle":
            return said
        if until and until in said:
            return said


def test_the_notebook_of_the_documentation_runs(tmp_path: Path, kernel: Any) -> None:
    nbformat = pytest.importorskip("nbformat", reason="nbformat is not installed: there is nothing to read it with")
    nbclient = pytest.importorskip("nbclient", reason="nbclient is not installed: there is nothing to execute it with")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in notebook.cells)
    manager, _ = kernel
    executor = nbclient.NotebookClient(notebook, km=manager, timeout=LONGEST)
    executor.execute()
    executor.kc.stop_channels()  # it closes the sockets of a kernel of its own only
    by_source = {cell.source: cell.outputs for cell in notebook.cells if cell.cell_type == "code"}
    (shown,) = by_source["run"]
    assert shown.data["text/html"].count("data:image/png;base64,") == 2
    (training,) = (found for source, found in by_source.items() if "surgeon.train" in source)
    progress = "".join(output.text for output in training if output.output_type == "stream")
    assert "\rphase 1/2: warm-up" in progress
    assert "step 1/" in progress
    assert not [output for found in by_source.values() for output in found if output.get("name") == "stderr"]
    (heat,) = (found for source, found in by_source.items() if "explain" in source)
    assert "image/png" in heat[0].data
    assert (tmp_path / "runs" / "digits" / "export" / "keras").is_dir()


def test_the_stop_button_stops_and_the_cell_goes_on(
    tmp_path: Path, photos: Path, small_network: Path, kernel: Any
) -> None:
    recipe = write_tiny(tmp_path / "photos.yaml", photos, small_network)
    recipe.write_text(recipe.read_text(encoding="utf-8").replace("epochs: 2", "epochs: 4000"), encoding="utf-8")
    manager, client = kernel
    client.execute("import surgeon\nsurgeon.train('photos.yaml', 'run', on_event=surgeon.show_progress)")
    outputs(client, until="  epoch  3 ")
    manager.interrupt_kernel()
    said = outputs(client)
    assert "stopping after this step" in said
    assert re.search(r"RunInterruptedError: interrupted; continue with .*`surgeon\.train\(recipe, 'run'\)`", said)
    assert (tmp_path / "run" / "checkpoint.npz").exists()
    # The same cell goes on, by what the run was to do when it began; it is stopped once more, for it would take hours.
    client.execute("surgeon.train('photos.yaml', 'run', on_event=surgeon.show_progress)")
    said = outputs(client, until="  epoch ")
    manager.interrupt_kernel()
    said += outputs(client)
    first = int(re.findall(r"  epoch +(\d+)  ", said)[0])
    assert first > 3
    assert "RunInterruptedError" in said
