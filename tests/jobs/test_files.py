import numpy as np
import pytest
from PIL import Image

from napari_semimoe.jobs.files import predict_each
from tests.project.making import prediction


class Quiet:
    """Hears nothing and never stops."""

    def report(self, kind, data):
        pass

    def should_stop(self):
        return False


class FakePredictor:
    """Marks the same on every image, and keeps the scales that it was given."""

    def __init__(self):
        self.scales = []

    def predict(self, pixels, um_per_px):
        self.scales.append(um_per_px)
        return prediction(pixels.shape[:2])


@pytest.mark.parametrize(
    ("given", "used", "told"), [(None, 1.0, False), (0.25, 0.25, True), (1.02, 1.02, False)]
)
def test_a_scale_that_is_given_wins_over_the_file_s_with_a_note(tmp_path, given, used, told):
    file = tmp_path / "a.png"
    Image.fromarray(np.zeros((8, 9, 3), np.uint8)).save(file, dpi=(25400, 25400))
    payload = {"files": [str(file)], "out_dir": str(tmp_path / "out"), "um_per_px": given}
    predictor = FakePredictor()
    report = predict_each(payload, Quiet(), predictor)
    assert predictor.scales == pytest.approx([used])
    assert report["notes"] == [f"a.png says 1 um per pixel; the given {used} was used."] * told
