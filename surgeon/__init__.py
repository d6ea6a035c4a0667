"""Network surgery as a file: fine-tune an image classifier from a YAML recipe.

    import surgeon

    run = surgeon.train("photos.yaml", "runs/night", on_event=surgeon.show_progress)
    run.predict("rose.jpg")

Importing this takes milliseconds; what trains is loaded when it is called.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from surgeon.api import check, layers, load_recipe, reproduce, train
    from surgeon.errors import BadImageError, RecipeError, RunInterruptedError, SurgeonError, UsageError
    from surgeon.recipe.plan import Plan
    from surgeon.report.progress import show_progress
    from surgeon.results.depth import DepthResult, DepthSearchResult
    from surgeon.results.events import (
        BatchEnded,
        EpochEnded,
        Event,
        FeaturesKept,
        Note,
        PhaseResult,
        PhaseStarted,
        Progress,
        TrialEnded,
    )
    from surgeon.results.lr_range import LrRangeResult
    from surgeon.results.probe import CutResult, ProbeResult
    from surgeon.results.sweep import FinalResult, SweepResult, Trial, TrialPhase
    from surgeon.run import Run, open_run
    from surgeon.searches import depth, lr_range, probe, sweep
    from surgeon.series import Series, cross_validate, repeat

__version__ = "0.1.0"  # pyproject.toml reads it from here, so it is the same in a checkout that nobody installed

_HOMES = {
    "surgeon.api": ("check", "layers", "load_recipe", "reproduce", "train"),
    "surgeon.errors": ("BadImageError", "RecipeError", "RunInterruptedError", "SurgeonError", "UsageError"),
    "surgeon.recipe.plan": ("Plan",),
    "surgeon.results.depth": ("DepthResult", "DepthSearchResult"),
    "surgeon.results.events": (
        "BatchEnded",
        "EpochEnded",
        "Event",
        "FeaturesKept",
        "Note",
        "PhaseResult",
        "PhaseStarted",
        "Progress",
        "TrialEnded",
    ),
    "surgeon.report.progress": ("show_progress",),
    "surgeon.results.lr_range": ("LrRangeResult",),
    "surgeon.results.probe": ("CutResult", "ProbeResult"),
    "surgeon.results.sweep": ("FinalResult", "SweepResult", "Trial", "TrialPhase"),
    "surgeon.run": ("Run", "open_run"),
    "surgeon.searches": ("depth", "lr_range", "probe", "sweep"),
    "surgeon.series": ("Series", "cross_validate", "repeat"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [  # what TYPE_CHECKING imports above
    "BadImageError",
    "BatchEnded",
    "CutResult",
    "DepthResult",
    "DepthSearchResult",
    "EpochEnded",
    "Event",
    "FeaturesKept",
    "FinalResult",
    "LrRangeResult",
    "Note",
    "PhaseResult",
    "PhaseStarted",
    "Plan",
    "ProbeResult",
    "Progress",
    "RecipeError",
    "Run",
    "RunInterruptedError",
    "Series",
    "SurgeonError",
    "SweepResult",
    "Trial",
    "TrialEnded",
    "TrialPhase",
    "UsageError",
    "check",
    "cross_validate",
    "depth",
    "layers",
    "load_recipe",
    "lr_range",
    "open_run",
    "probe",
    "repeat",
    "reproduce",
    "show_progress",
    "sweep",
    "train",
]


def __getattr__(name: str) -> object:
    """Loads what is asked for the first time."""
    if name not in _HOME_OF:
        raise AttributeError(f"module 'surgeon' has no attribute {name!r}")
    return getattr(import_module(_HOME_OF[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
