"""The tutorial's commands, one after the other, as a reader would type them."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

TUTORIAL = Path(__file__).parent.parent / "docs" / "tutorial.md"
TOOLS = ("bash", "curl", "find", "head")
MODULES = ("onnxruntime", "tf2onnx", "ai_edge_litert", "fastapi", "uvicorn")


@pytest.mark.slow
@pytest.mark.skipif(any(shutil.which(tool) is None for tool in TOOLS), reason="needs bash and curl")
def test_every_command_of_the_tutorial(tmp_path: Path, photos: Path) -> None:
    for module in MODULES:
        pytest.importorskip(module)
    shutil.copytree(photos, tmp_path / "photos")
    blocks = re.findall(r"```console\n(.*?)```", TUTORIAL.read_text(encoding="utf-8"), re.DOTALL)
    commands = [line.removeprefix("$ ") for block in blocks for line in block.splitlines()]
    assert len(commands) >= 16
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    script = "\n".join(["set -eum", *commands]).replace("8000", port)
    scripts = Path(sys.executable).parent
    environment = {**os.environ, "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=1200
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
    assert '"predictions": [{"file": ' in done.stdout
    assert (tmp_path / "night" / "report.html").exists()
    assert (tmp_path / "night" / "README.md").exists()
    assert len([path for path in (tmp_path / "sorted").rglob("*") if path.is_symlink()]) == 24
    assert list((tmp_path / "why").glob("*.png"))
