"""The pages of the service. They are whole in themselves, and their browser is told so."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping
from typing import Any

from fastapi.responses import HTMLResponse

from surgeon.report.markup import embed, render


def render_page(samples: Mapping[str, bytes]) -> HTMLResponse:
    """Returns the page that takes a photograph and shows the answer.

    Args:
        samples: A small JPEG of a training image of each class that has one.
    """
    shown = {label: embed("jpeg", picture) for label, picture in samples.items()}
    return _respond(render("service.html.j2", title="surgeon", samples=shown))


def render_docs(description: Mapping[str, Any]) -> HTMLResponse:
    """Returns what can be asked, for a reader.

    Args:
        description: The same as OpenAPI says it.
    """
    about = description["info"]
    return _respond(
        render("service_docs.html.j2", title=about["title"], version=about["version"], paths=description["paths"])
    )


def _respond(page: str) -> HTMLResponse:
    """Returns a page that may run and show what is written in it, and ask this service, but nothing else."""
    allowed: dict[str, list[str]] = {"script": [], "style": []}
    for kind, content in re.findall(r"<(script|style)>(.*?)</\1>", page, re.DOTALL):
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        allowed[kind].append(f"'sha256-{digest}'")
    policy = {
        "default-src": "'none'",
        **{f"{kind}-src": " ".join(hashes) or "'none'" for kind, hashes in allowed.items()},
        "img-src": "blob: data:",
        "connect-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }
    header = "; ".join(f"{name} {value}" for name, value in policy.items())
    return HTMLResponse(page, headers={"Content-Security-Policy": header})
