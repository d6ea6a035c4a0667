"""What must not stop surgeon: names that are taken, and something that is not an entry."""

from surgeon.catalogue import BackboneSpec


def backbone(name):
    return BackboneSpec(name=name, summary="", preprocessing="tf", image_size=32, build=lambda *_: None)


BACKBONES = [backbone("vgg16"), backbone("tulip"), backbone("thistle")]
EXPORTER = "not a spec"
