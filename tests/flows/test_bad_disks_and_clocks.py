"""Full disks, damaged archive files, a clock that jumps: nothing acknowledged is lost."""

from lab.faults.disks import archive_truncated, clock_back, no_room_for_archive, no_room_for_model


def test_an_archive_without_room_loses_nothing(tmp_path):
    outcome = no_room_for_archive(tmp_path, events=300)
    assert outcome.failures == []
    assert outcome.acknowledged == 600


def test_a_model_without_room_leaves_the_live_one(tmp_path):
    assert no_room_for_model(tmp_path).failures == []


def test_a_truncated_archive_file_is_made_good_from_the_stream_or_set_aside(tmp_path):
    outcome = archive_truncated(tmp_path, events=300)
    assert outcome.failures == []
    assert outcome.acknowledged == 600


def test_a_clock_set_back_an_hour_loses_and_doubles_nothing(tmp_path):
    outcome = clock_back(tmp_path, events=200)
    assert outcome.failures == []
    assert outcome.acknowledged == 600
