"""``surgeon serve``."""

from __future__ import annotations

from contextlib import suppress
from typing import Annotated

import typer

from surgeon.cli.output import BundleArgument, TrustOption, print_text
from surgeon.errors import SurgeonError, require_modules
from surgeon.report.terminal import styled


def command(
    bundle_folder: BundleArgument,
    host: Annotated[str, typer.Option(help="Address to listen on; `0.0.0.0` is open to other machines.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="`0` picks a free port.")] = 8000,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="A host name that clients may use, such as that of a proxy; `*` allows any. Repeatable.",
            show_default=False,
        ),
    ] = None,
    max_images: Annotated[int, typer.Option(min=1, help="Maximum number of images per request.")] = 32,
    max_megabytes: Annotated[float, typer.Option(min=0.001, help="Maximum size of one encoded image.")] = 10.0,
    max_megapixels: Annotated[float, typer.Option(min=0.001, help="Maximum size of one decoded image.")] = 50.0,
    timeout: Annotated[
        float, typer.Option(min=0.1, help="Seconds that a request may take to arrive, and again to be answered.")
    ] = 30.0,
    batch: Annotated[int, typer.Option(min=1, help="Maximum number of images per batch.")] = 32,
    trust: TrustOption = False,
) -> None:
    """Serve over HTTP: `POST /predict`, `/explain`, `/health`, `/ready`, `/docs`, and a page to drop an image on."""
    from surgeon.recipe.bundle import read_bundle

    read_bundle(bundle_folder)
    require_modules("serving", ("fastapi", "uvicorn", "python_multipart"), "serve")
    from surgeon.serve.server import listen, serve, url_of

    with listen(host, port) as listener:
        from surgeon.inference.classify import open_classifier
        from surgeon.inference.explaining import build_explainer
        from surgeon.runs.pictures import training_samples
        from surgeon.serve.app import build_app
        from surgeon.serve.batching import one_at_a_time
        from surgeon.serve.edge import hosts_of
        from surgeon.serve.limits import Limits
        from surgeon.serve.work import warm_up

        bundle, unguarded = open_classifier(bundle_folder, trust=trust)
        classifier = one_at_a_time(unguarded)  # answers and explanations are computed in threads
        warm_up(bundle, classifier)
        limits = Limits(max_images, round(max_megabytes * 1e6), batch, max_megapixels, timeout)
        explain = build_explainer(bundle_folder, bundle, "grad-cam", classifier)
        samples: dict[str, bytes] = {}
        with suppress(SurgeonError):  # the page does without them
            samples = training_samples(bundle_folder)
        app = build_app(bundle, classifier, explain, limits, hosts_of(host, allow_host or ()), samples)
        answers = styled((bundle.name, "bold"), f" is served at {url_of(listener)}; press Ctrl-C to stop")
        serve(app, listener, timeout, on_ready=lambda: print_text(answers))
