"""Pretrained weights: from the mirror, from Keras, from a package, from a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from surgeon.data.fetch import mirror_path
from surgeon.errors import SurgeonError
from surgeon.networks.unpacking import check_weights_file

if TYPE_CHECKING:
    from surgeon.catalogue.backbones import BackboneSpec


def load_weights(model: Any, spec: BackboneSpec, weights: str, include_top: bool) -> None:
    """Loads ``weights`` into a backbone: ``imagenet``, ``none`` or the path of a weights file.

    A mirror holds ImageNet weights as ``weights/NAME.weights.h5``, without the top as
    ``weights/NAME_notop.weights.h5``.

    Raises:
        SurgeonError: If they cannot be had, or do not fit; the first layer that does not fit is named.
    """
    if weights == "none":
        return
    mirrored = mirror_path(f"weights/{spec.name}{'' if include_top else '_notop'}.weights.h5")
    try:
        if weights == "imagenet" and spec.imagenet is not None:
            spec.imagenet(model, include_top, mirrored)
        else:
            check_weights_file(Path(weights))
            model.load_weights(weights)
    except SurgeonError:
        raise
    except Exception as error:  # Keras raises whatever a file or the network provokes
        where = mirrored if weights == "imagenet" and mirrored is not None else weights
        reason = " ".join(str(error).replace("None -- ", "").split())[:400]  # the status, where there is no answer
        hint = (
            "they are downloaded once; without internet, set SURGEON_MIRROR to a folder with them"
            if weights == "imagenet" and mirrored is None
            else f"they have to be those of {spec.name}, {'with' if include_top else 'without'} its top"
        )
        raise SurgeonError(f"cannot load the weights {where} into {spec.name}: {reason}", hint) from error
