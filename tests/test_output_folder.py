"""A study's folder: complete or unfinished, never broken, and never in the place of other things."""

import os

import pytest

from isotropy_metrics.study.output_folder import output_folder
from isotropy_metrics.study.study_results import RESULTS_FILE, StudyResults


def fill(folder, run):
    StudyResults({"run": run}).save(folder / RESULTS_FILE)


def run_of(folder):
    return StudyResults.load(folder / RESULTS_FILE).protocol["run"]


@pytest.fixture
def finished(tmp_path):
    with output_folder(tmp_path / "out") as folder:
        fill(folder, 1)
    return tmp_path / "out"


def test_a_finished_study_is_kept_unless_told_and_foreign_folders_always(finished, tmp_path, monkeypatch):
    with pytest.raises(FileExistsError, match="--overwrite it, or --resume it"), output_folder(finished):
        pass
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    fill(foreign, 1)
    (foreign / "thesis.txt").write_text("keep")
    for place, message in {foreign: "holds other things", foreign / "thesis.txt": "is a file"}.items():
        with pytest.raises(FileExistsError, match=message), output_folder(place, overwrite=True):
            pass
    assert (foreign / "thesis.txt").read_text() == "keep"
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with pytest.raises(FileExistsError, match="in use"), output_folder("."):
        pass
    (tmp_path / "new.unfinished").mkdir()
    (tmp_path / "new.unfinished" / "thesis.txt").write_text("keep")
    with pytest.raises(FileExistsError, match="move it away"), output_folder(tmp_path / "new", overwrite=True):
        pass


def test_overwriting_replaces_an_earlier_study_and_a_failed_move_loses_neither(finished, monkeypatch):
    with output_folder(finished, overwrite=True) as folder:
        assert [path.name for path in folder.iterdir()] == [".lock"]
        fill(folder, 2)
    assert run_of(finished) == 2
    assert [path.name for path in finished.iterdir()] == [RESULTS_FILE]

    moves = []

    def fail_at_the_second_move(source, target):
        moves.append(target)
        if len(moves) == 3:  # after that of the results file
            raise OSError("device busy")
        os.rename(source, target)

    monkeypatch.setattr("os.replace", fail_at_the_second_move)
    with pytest.raises(OSError, match="complete but could not be moved") as caught:
        with output_folder(finished, overwrite=True) as folder:
            fill(folder, 3)
    assert run_of(finished) == 2
    assert str(folder) in str(caught.value)
    assert run_of(folder) == 3


def test_what_stopped_early_vanishes_and_what_has_results_stays(tmp_path):
    with pytest.raises(KeyboardInterrupt), output_folder(tmp_path / "out") as folder:
        (folder / "figures").mkdir()
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(KeyboardInterrupt), output_folder(tmp_path / "out") as folder:
        fill(folder, 1)
        raise KeyboardInterrupt
    assert [path.name for path in tmp_path.iterdir()] == ["out.unfinished"]
    (folder / ".finetuned.123").mkdir()  # as SIGKILL leaves it
    with output_folder(tmp_path / "out", resume=True) as again:
        assert again == folder
        assert run_of(again) == 1
    assert [path.name for path in (tmp_path / "out").iterdir()] == [RESULTS_FILE]


def test_resuming_a_finished_study_works_on_a_copy(finished):
    with pytest.raises(KeyboardInterrupt), output_folder(finished, resume=True) as folder:
        assert run_of(folder) == 1
        fill(folder, 2)
        raise KeyboardInterrupt
    assert run_of(finished) == 1
    with output_folder(finished, resume=True) as folder:
        assert run_of(folder) == 2
    assert run_of(finished) == 2


def test_two_studies_do_not_work_in_one_folder(tmp_path):
    with output_folder(tmp_path / "out") as folder:
        fill(folder, 1)
        for how in ({"overwrite": True}, {"resume": True}):
            with pytest.raises(FileExistsError, match="another study is at work"):
                with output_folder(tmp_path / "out", **how):
                    pass
    assert run_of(tmp_path / "out") == 1


def test_a_resumed_study_that_finds_nothing_new_leaves_no_copy(finished):
    with pytest.raises(ValueError, match="wrong"), output_folder(finished, resume=True):
        raise ValueError("wrong argument")
    assert [path.name for path in finished.parent.iterdir()] == ["out"]
    assert run_of(finished) == 1


def test_a_copy_that_was_stopped_half_way_is_not_taken_for_a_study(finished, monkeypatch):
    (finished / "finetuned").mkdir()
    (finished / "finetuned" / "weights").write_text("all of them")

    def killed(source, target):
        raise SystemExit

    with monkeypatch.context() as patch:
        patch.setattr("isotropy_metrics.study.output_folder.shutil.copy2", killed)
        patch.setattr("isotropy_metrics.study.output_folder.shutil.rmtree", lambda *_, **__: None)
        with pytest.raises(SystemExit), output_folder(finished, resume=True):
            pass
    unfinished = finished.with_name("out.unfinished")
    assert not (unfinished / RESULTS_FILE).exists()
    with output_folder(finished, resume=True) as folder:
        assert run_of(folder) == 1
        assert (folder / "finetuned" / "weights").read_text() == "all of them"
