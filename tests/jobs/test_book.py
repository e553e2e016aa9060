"""The book of jobs, without any process."""

import pytest

from napari_semimoe.core.errors import JobError
from napari_semimoe.core.states import JobState
from napari_semimoe.jobs.book import KEPT_STATUSES, JobBook


def test_only_the_oldest_of_the_ended_jobs_are_forgotten():
    book = JobBook()
    waiting = book.add("predict")
    ended = [book.add("predict") for _ in range(KEPT_STATUSES + 5)]
    for job in ended:
        book.finish(job, JobState.DONE)
    book.add("predict")
    assert book.status(waiting).state is JobState.QUEUED
    assert book.status(ended[5]).state is JobState.DONE
    with pytest.raises(JobError, match="long over"):
        book.status(ended[4])


def test_a_job_that_starts_although_it_was_cancelled_is_still_being_cancelled():
    book = JobBook()
    job = book.add("predict")
    book.mark(job, JobState.CANCELLING)
    book.report(job, "started", {})
    assert book.status(job).state is JobState.CANCELLING
