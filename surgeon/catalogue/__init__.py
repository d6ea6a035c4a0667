"""What may stand in a recipe: one file a kind, one entry in one place.

What is imported here stays importable from here: it is what the author of another package needs to add entries.
"""

from surgeon.catalogue.backbones import BackboneSpec
from surgeon.catalogue.entry import Parameters, boolean, choice, integer, number, path
from surgeon.catalogue.exporters import Classifier, Export, ExporterSpec
from surgeon.catalogue.sources.listing import Download, LabelledImage, Listing, SourceSpec, complete_listing

__all__ = [
    "BackboneSpec",
    "Classifier",
    "Download",
    "Export",
    "ExporterSpec",
    "LabelledImage",
    "Listing",
    "Parameters",
    "SourceSpec",
    "boolean",
    "choice",
    "complete_listing",
    "integer",
    "number",
    "path",
]
