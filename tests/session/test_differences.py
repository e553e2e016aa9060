import numpy as np

from napari_semimoe.core.values import IGNORE
from napari_semimoe.session.differences import BETTER, SAME, WORSE, difference


def test_every_pixel_says_which_of_the_two_models_is_right():
    truth = np.array([[1, 1, 1, 0, 0, 7, IGNORE]], np.uint16)
    before = np.array([[0, 1, 1, 1, 0, 1, 1]], bool)
    after = np.array([[1, 1, 0, 0, 1, 1, 0]], bool)
    expected = [[BETTER, SAME, WORSE, BETTER, WORSE, SAME, SAME]]
    assert difference(before, after, truth).tolist() == expected
    swapped = {BETTER: WORSE, WORSE: BETTER, SAME: SAME}
    back = difference(after, before, truth)[0].tolist()
    assert back == [swapped[value] for value in expected[0]]
