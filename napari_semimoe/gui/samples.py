"""File > Open Sample > Semi-MoE: tissue that comes with the package or is drawn."""

from __future__ import annotations

from napari.types import LayerData

from napari_semimoe.session.demo import IMMUNOHISTOCHEMISTRY_UM_PER_PX


def drawn_glands() -> list[LayerData]:
    """Return a drawn H&E-like tile and its exact glands."""
    from napari_semimoe.data.synthetic import make_tissue

    tissue = make_tissue(522, 775, seed=2)
    place = _place(tissue.um_per_px)
    return [
        (tissue.image, {"name": "H&E-like tissue (drawn)", "rgb": True, **place}, "image"),
        (tissue.labels, {"name": "glands", "opacity": 0.35, **place}, "labels"),
    ]


def immunohistochemistry() -> list[LayerData]:
    """Return colon glands stained for FHL1, from the scikit-image package; no download."""
    from skimage.data import immunohistochemistry as picture

    place = _place(IMMUNOHISTOCHEMISTRY_UM_PER_PX)
    return [(picture(), {"name": "colon glands (FHL1)", "rgb": True, **place}, "image")]


def _place(um_per_px: float) -> dict[str, object]:
    return {"scale": (um_per_px, um_per_px), "units": ("um", "um")}
