"""What visitors leave behind is deleted when it is old, and nothing else."""

import gc
import os
import time
import weakref

import numpy as np
import pytest
from isotropy_space.forgetting import download_folder, forget, upload_folder
from isotropy_space.page_errors import in_sentences


def test_only_what_is_old_and_nobody_else_deletes_goes(tmp_path, monkeypatch):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    assert upload_folder() == tmp_path and not download_folder().exists()
    forget(60)
    places = ["tmpbroken", "tmpcoming", "0a1b/rows.npy", "isotropy-downloads/tmpold", "isotropy-downloads/tmpnew"]
    broken, coming, whole, old, new = (tmp_path / place for place in places)
    for folder in (whole.parent, old, new):
        folder.mkdir(parents=True)
    for path in (broken, coming, whole, old / "enhanced.npy", new / "enhanced.npy"):
        path.write_bytes(b"rows")
    for path in (broken, whole, old):
        os.utime(path, (time.time() - 61,) * 2)
    forget(60)
    assert sorted(path for path in tmp_path.rglob("*") if path.is_file()) == sorted(
        [coming, whole, new / "enhanced.npy"]
    )
    assert not old.exists()


def test_a_refusal_holds_nothing_of_what_was_read():
    held = []

    def read():
        rows = np.ones(1000)
        held.append(weakref.ref(rows))
        raise ValueError("no rows: upload others")

    def handler():
        try:
            read()
        except ValueError as error:
            raise OSError("rows.npy: no rows") from error

    gc.disable()
    try:
        with pytest.raises(Exception, match="rows.npy: no rows") as caught:
            in_sentences(handler)()
        assert held[0]() is None
        assert type(caught.value).__name__ == "Error"
    finally:
        gc.enable()
