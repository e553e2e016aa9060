"""Small real job functions with which every engine must cope."""

import faulthandler
import os
import time

import psutil

from napari_semimoe.core.errors import ImageReadError


def count(payload, observer):
    for step in range(1, payload["to"] + 1):
        observer.report("step", {"step": step, "steps": payload["to"]})
    return {"counted": payload["to"]}


def echo(payload, observer):
    return {"tag": payload.get("tag"), "pid": os.getpid()}


def until_stopped(payload, observer):
    observer.report("progress", {"fraction": 0.5, "text": "waiting to be stopped"})
    while not observer.should_stop():
        time.sleep(0.01)
    return {"stopped": True}


def stubborn(payload, observer):
    observer.report("progress", {"text": "deaf"})
    time.sleep(600)
    return {}


def refuse(payload, observer):
    raise ImageReadError("slide.png is truncated. Copy the file again.")


def blunder(payload, observer):
    return {"value": {}["missing"]}


def misname(payload, observer):
    raise FileNotFoundError(2, "No such file or directory", "scan\udcff.png")


def exhaust(payload, observer):
    raise MemoryError


def die(payload, observer):
    if "diary" in payload:
        with open(payload["diary"], "a", encoding="utf-8") as diary:
            diary.write("died\n")
    psutil.Process().kill()
    time.sleep(600)
    return {}


def segfault(payload, observer):
    observer.report("progress", {"text": "about to crash"})
    faulthandler._sigsegv()
    return {}


def leave(payload, observer):
    os._exit(7)


def chatter(payload, observer):
    print('{"job": "x", "name": "finished", "data": {}}')
    os.write(1, b"a C library that prints\n")
    return {"quiet": True}


def unsendable(payload, observer):
    return {"value": object()}


def priority(payload, observer):
    return {"nice": os.nice(0)}


_ALL = {
    function.__name__: function
    for function in (
        count,
        echo,
        until_stopped,
        stubborn,
        refuse,
        blunder,
        misname,
        exhaust,
        die,
        segfault,
        leave,
        chatter,
        unsendable,
        priority,
    )
}


def do(payload, observer):
    return _ALL[payload["do"]](payload, observer)


TASKS = {"predict": do, "files": do, "train": do}
