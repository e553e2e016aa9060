from __future__ import annotations

import pytest
from npe2 import PluginManifest
from psygnal import Signal

from napari_semimoe.core.settings import PredictSettings, RoundSettings
from napari_semimoe.gui import preferences


class Group:
    """Preferences as napari hands them out: attributes, and events on a change."""

    def __init__(self, **values):
        self.__dict__.update(values)
        self.events = Events()

    def change(self, **values):
        self.__dict__.update(values)
        self.events.emit("changed")


class Events:
    signal = Signal(object)

    def connect(self, callback):
        self.signal.connect(callback)

    def disconnect(self, callback):
        self.signal.disconnect(callback)

    def emit(self, value):
        self.signal.emit(value)


@pytest.fixture
def groups(monkeypatch):
    groups = {
        "prediction": Group(threshold=0.5, flips=False),
        "annotation": Group(author="", order="disagreement"),
    }
    monkeypatch.setattr(preferences, "_group", groups.get)
    return groups


@pytest.fixture(scope="module")
def declared():
    manifest = PluginManifest.from_distribution("napari-semimoe")
    return manifest.contributions.configurations


def test_defaults_in_the_preferences_are_the_defaults_of_the_settings(declared):
    for group, settings in (("prediction", PredictSettings()), ("training", RoundSettings())):
        for key, declaration in declared[group].properties.items():
            assert declaration.default == getattr(settings, key), key


def test_without_declared_preferences_the_usual_values_hold(monkeypatch):
    monkeypatch.setattr(preferences, "_group", lambda name: None)
    assert preferences.preferred_prediction() == PredictSettings()
    assert RoundSettings().changed(**preferences.preferred_round_values()) == RoundSettings()
    assert preferences.preferred_author() is None


def test_changed_preferences_reach_the_session(opened, groups, settled, qtbot):
    session = opened.bench.session
    opened.bench.heed_preferences()
    groups["prediction"].change(threshold=0.7)
    groups["annotation"].change(author="Dr Someone")
    qtbot.waitUntil(lambda: session.predict_settings.threshold == 0.7, timeout=5000)
    assert session.author == "Dr Someone"


def test_dragging_a_value_costs_one_new_prediction_not_many(opened, groups, settled, qtbot):
    opened.bench.heed_preferences()
    heard = []
    session = opened.bench.session
    change = session.set_predict_settings
    session.set_predict_settings = lambda settings: (heard.append(settings), change(settings))
    for step in range(20):
        groups["prediction"].change(threshold=0.5 + step / 100)
    qtbot.waitUntil(lambda: bool(heard), timeout=5000)
    settled(opened)
    assert [settings.threshold for settings in heard] == [0.69]
