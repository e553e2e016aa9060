"""The lane of jobs, with children that the test speaks for."""

import io
import threading

from napari_semimoe.core.states import JobState
from napari_semimoe.jobs.book import JobBook
from napari_semimoe.jobs.lane import Job, Lane
from napari_semimoe.jobs.wire import Writer, read_messages


class Child:
    """A child that only listens; the test says what it does."""

    pid, output, spoke = 1, None, True

    def __init__(self):
        self.sent = []
        self.send = self.sent.append

    def kill(self):
        pass

    def close(self, timeout):
        pass

    def last_words(self, code):
        return "It died."


def lane_of(start, *, jobs):
    book = JobBook()
    lane = Lane("train", book, start, lambda *_: None, 5.0)
    ids = [book.add("train") for _ in range(jobs)]
    for job_id in ids:
        lane.put(Job(job_id, "train", {}, 0))
    return lane, book, ids


def done(job_id):
    return {"job": job_id, "name": "finished", "data": {"state": "done", "result": {}}}


def test_what_is_said_of_an_earlier_job_does_not_end_the_present_one():
    child = Child()
    lane, book, (first, second) = lane_of(lambda _: child, jobs=2)
    lane.on_child_message(child, done(first))
    lane.on_child_message(child, done(first))
    assert book.status(second).state is not JobState.DONE


def test_the_death_of_a_child_that_was_ended_does_not_touch_its_successor():
    children = []
    lane, book, (first, second) = lane_of(
        lambda _: children.append(Child()) or children[-1], jobs=2
    )
    lane.cancel(first, force=True)
    lane.on_child_death(children[0], -9)
    assert len(children) == 2
    lane.on_child_message(children[1], done(second))
    assert book.status(second).state is JobState.DONE


def test_a_job_of_which_two_children_die_is_not_given_to_a_third():
    children = []
    lane, book, (job,) = lane_of(lambda _: children.append(Child()) or children[-1], jobs=1)
    for number in (0, 1):
        lane.on_child_death(children[number], -9)
    assert len(children) == 2
    assert book.status(job).state is JobState.INTERRUPTED


def test_what_waits_ends_where_one_child_after_another_dies():
    children = []
    lane, book, ids = lane_of(lambda _: children.append(Child()) or children[-1], jobs=6)

    def begin_and_die():
        child = children[-1]
        lane.on_child_message(child, {"job": child.sent[-1]["job"], "name": "begun", "data": {}})
        lane.on_child_death(child, -9)

    begin_and_die()
    lane.on_child_message(children[-1], done(ids[1]))  # an answer in between
    begin_and_die()
    begin_and_die()
    assert len(children) == 3
    assert [book.status(each).state for each in ids] == [
        JobState.INTERRUPTED,
        JobState.DONE,
        *[JobState.INTERRUPTED] * 4,
    ]
    ends = [report.data["error"] for report in book.poll() if report.name == "finished"]
    assert ends == ["It died.", None, *["It died."] * 4]
    lane.put(Job(book.add("train"), "train", {}, 0))  # somebody tries again
    assert len(children) == 4


def test_a_cancelled_job_whose_child_died_is_cancelled():
    child = Child()
    lane, book, (job,) = lane_of(lambda _: child, jobs=1)
    lane.cancel(job, force=False)
    lane.on_child_death(child, -9)
    assert book.status(job).state is JobState.CANCELLED


def test_half_a_line_is_dropped_and_the_rest_is_heard():
    stream = io.BytesIO(b'{"job": 1, "na\n[1]\n{"job": 2}\n')
    assert list(read_messages(stream)) == [{"job": 2}]


def test_a_child_that_cannot_start_does_not_keep_back_the_jobs_behind():
    child = Child()
    starts = [Child, OSError, lambda: child]

    def start(_):
        made = starts.pop(0)()
        if isinstance(made, OSError):
            raise made
        return made

    lane, book, (first, second, third) = lane_of(start, jobs=3)
    lane.cancel(first, force=True)
    assert book.status(second).state is JobState.FAILED
    lane.on_child_message(child, done(third))
    assert book.status(third).state is JobState.DONE


def test_messages_of_two_threads_do_not_mix():
    class HalfByHalf(io.BytesIO):
        def write(self, line):
            super().write(line[:5])
            if not other.ident:
                other.start()
                other.join(0.1)  # it has to wait for the other half
            return super().write(line[5:])

    stream = HalfByHalf()
    writer = Writer(stream)
    other = threading.Thread(target=writer.send, args=({"job": 2},))
    writer.send({"job": 1})
    other.join()
    assert stream.getvalue() == b'{"job": 1}\n{"job": 2}\n'
