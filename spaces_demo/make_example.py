"""Make `example/`: common English words as one model embeds them before and after fine-tuning, and the log of it.

isotropy-metrics study --experiments E2 --output study
python spaces_demo/make_example.py study/finetuned
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from wordfreq import top_n_list, zipf_frequency

from isotropy_metrics.hidden_states import embed
from isotropy_metrics.study import StudyResults
from isotropy_metrics.study.data.bundled import minilm_path
from isotropy_metrics.whole_file import whole_file

EXAMPLE = Path(__file__).parent / "example"

N_WORDS = 4000
NOT_SHOWN = re.compile(
    "ass$|asses|bitch|cock|cunt|damn|dick|fuck|kill|nazi|nigg|porn|puss|rap(e|ing|ist)|sex|shit|slut|tits|whor"
)
"""A shop window has no use for these."""


def common_words(n: int) -> list[str]:
    """The n commonest English words of at least three plain letters."""
    words = [
        word for word in top_n_list("en", 3 * n) if re.fullmatch("[a-z]{3,}", word) and not NOT_SHOWN.search(word)
    ]
    return words[:n]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("study", type=Path, help="the output of the study")
    study = parser.parse_args().study
    EXAMPLE.mkdir(exist_ok=True)
    with whole_file(EXAMPLE / "trainer_state.json") as path:
        path.write_text(json.dumps({"log_history": StudyResults.load(study / "results.json").training}) + "\n")
    words = common_words(N_WORDS)
    table = {"word": words, "log frequency": np.array([zipf_frequency(word, "en") for word in words])}
    for name, model in {"before": minilm_path(), "after": study / "finetuned"}.items():
        rows = embed(str(model), words, progress=False).astype(np.float16)
        table[name] = pa.FixedSizeListArray.from_arrays(pa.array(rows.ravel()), rows.shape[1])
    with whole_file(EXAMPLE / "words.parquet") as path:
        pq.write_table(pa.table(table), path, compression="zstd")
    for path in EXAMPLE.iterdir():
        print(f"{path}: {path.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
