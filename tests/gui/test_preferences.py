from __future__ import annotations

import threading

import pytest
from npe2 import PluginManifest
from psygnal import Signal

from napari_semimoe.core.errors import SettingsError
from napari_semimoe.core.settings import ClusterSettings, PredictSettings, RoundSettings
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
    usual = {"prediction": PredictSettings(), "training": RoundSettings()}
    for group, settings in (usual | {"cluster": ClusterSettings()}).items():
        for key, declaration in declared[group].properties.items():
            expected = False if key == "automatic" else getattr(settings, key)  # no setting
            assert declaration.default == expected, key


def test_without_declared_preferences_the_usual_values_hold(monkeypatch):
    monkeypatch.setattr(preferences, "_group", lambda name: None)
    assert preferences.preferred_prediction() == PredictSettings()
    assert RoundSettings().changed(**preferences.preferred_round_values()) == RoundSettings()
    assert preferences.preferred_author() is None
    assert preferences.preferred_cluster() == ClusterSettings()


def test_another_machine_is_chosen_in_the_preferences(groups, tmp_path):
    files = {name: tmp_path / name for name in ("tls_ca", "tls_cert", "tls_key")}
    for path in files.values():
        path.write_text("")
    given = {name: f" {path} " for name, path in files.items()}  # as pasted
    groups["cluster"] = Group(scheduler="tls://gpu:8786", **given)
    assert preferences.preferred_cluster().scheduler == "tls://gpu:8786"
    assert preferences.preferred_cluster().tls_key == str(files["tls_key"])
    groups["cluster"].tls_key = ""
    with pytest.raises(SettingsError, match="tls_key must name a file"):
        preferences.preferred_cluster()


def test_changed_preferences_reach_the_session(opened, groups, settled, qtbot):
    session = opened.bench.session
    opened.bench.heed_preferences()
    groups["prediction"].change(threshold=0.7, min_confidence=0.25)
    groups["annotation"].change(author="Dr Someone")
    qtbot.waitUntil(lambda: session.predict_settings.threshold == 0.7)
    assert session.author == "Dr Someone"
    assert opened.retrain_page.settings.min_confidence == 0.25


def test_dragging_a_value_costs_one_new_prediction_not_many(opened, groups, settled, qtbot):
    opened.bench.heed_preferences()
    heard = []
    session = opened.bench.session
    change = session.set_predict_settings
    session.set_predict_settings = lambda settings: (heard.append(settings), change(settings))
    for step in range(20):
        groups["prediction"].change(threshold=0.5 + step / 100)
    qtbot.waitUntil(lambda: bool(heard))
    settled(opened)
    assert [settings.threshold for settings in heard] == [0.69]


def test_a_preference_that_is_taken_back_at_once_is_as_before(opened, groups, settled):
    bench, gate = opened.bench, threading.Event()
    bench.background.run(gate.wait)
    for threshold in (0.7, 0.5):
        groups["prediction"].threshold = threshold
        bench.heed_preferences()
    gate.set()
    settled(opened)
    assert bench.session.predict_settings.threshold == 0.5
