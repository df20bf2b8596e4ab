"""The real pair of a pre-trained model and its fine-tuned siblings, on reactions of our own."""

from __future__ import annotations

import csv
import re
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from transformers import AutoModel, AutoTokenizer

from isotropy_metrics.study import run_study

sys.path.insert(0, str(Path(__file__).parents[1] / "examples"))
import study_reactions as reactions

pytestmark = pytest.mark.filterwarnings("ignore:.* it wants .* rows:RuntimeWarning")


def test_reactions_are_of_four_classes_half_held_out_and_closed(tmp_path):
    with open(reactions.write_reactions(tmp_path / "r.csv"), encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert Counter((row["label"], row["split"]) for row in rows) == {
        (label, split): 36 for label in reactions.REACTIONS for split in ("train", "test")
    }
    assert len({row["reaction"] for row in rows}) == len(rows)
    for row in rows:
        for molecule in re.split(r"\.|>>", row["reaction"]):
            assert molecule.count("(") == molecule.count(")") and molecule.count("[") == molecule.count("]")
            digits = Counter(re.findall(r"\d", re.sub(r"\[.*?]", "", molecule)))
            assert all(count % 2 == 0 for count in digits.values()), molecule


def test_a_product_has_the_atoms_that_its_class_says():
    assert "O=C" not in reactions.amide_couplings()[0]
    (amide,) = [each for each in reactions.amide_couplings() if each.startswith("c1ccc(C(=O)O)cc1.NC1CC1.CCN(")]
    assert amide.endswith(">>c1ccc(C(=O)NC2CC2)cc1")
    assert any(each.endswith(">>Fc1ccc(-c2ccc(OC)cc2)cc1") for each in reactions.suzuki_couplings())
    assert any(each.endswith(">>Cc1ccccc1C(=O)OCC") for each in reactions.esterifications())
    assert "COc1cccc([N+](=O)[O-])c1.[Fe].CC(=O)O>>COc1cccc(N)c1" in reactions.nitro_reductions()


def test_the_prepared_checkpoint_loads_and_splits_as_the_published_expression(reaction_models, tmp_path):
    folder = reactions.prepare_checkpoint(reactions.PRETRAINED, tmp_path)
    assert AutoModel.from_pretrained(folder).config.num_hidden_layers == 12
    tokenizer = AutoTokenizer.from_pretrained(folder)
    words = (reaction_models / reactions.PRETRAINED / "vocab.txt").read_text(encoding="utf-8").split()
    texts = [each for make in reactions.REACTIONS.values() for each in make()[::20]] + ["C[C@@H](N)C(=O)O~Zz"]
    for text in texts:
        expected = re.findall(reactions.SMILES, text)
        assert tokenizer.tokenize(text) == expected
        ids = tokenizer(text)["input_ids"]
        assert ids == [words.index(each) for each in ["[CLS]", *expected, "[SEP]"]]
    assert tokenizer.unk_token_id not in tokenizer(texts[:-1])["input_ids"][0]
    assert set(tokenizer.all_special_tokens) == set(reactions.SPECIAL.values())


@pytest.mark.slow
def test_fine_tuning_changed_the_last_layers_and_pulled_the_classes_apart(reaction_models, tmp_path):
    """Of other reactions: 0.155 -> 0.291 and 0.359 for the cosine, 0.558 -> 0.989 and 0.984 for the silhouette."""
    table = reactions.write_reactions(tmp_path / "r.csv")
    before = reactions.prepare_checkpoint(reactions.PRETRAINED, tmp_path)
    for name in reactions.FINETUNED:
        results = run_study(
            tmp_path / f"study-{name}",
            model=str(before),
            finetuned=str(reactions.prepare_checkpoint(name, tmp_path)),
            dataset=str(table),
            columns=("reaction", "label"),
            experiments=["layers", "classes"],
            measures=["average_cosine_similarity"],
            progress=False,
        )
        rows = results.experiments["layers"].tables["layers"]
        cosine = {(row["checkpoint"], row["layer"]): row["average_cosine_similarity"] for row in rows}
        assert 0.1 < cosine["before", 12] < 0.25 < cosine["after", 12] < 0.45
        changes = [cosine["after", layer] - cosine["before", layer] for layer in range(13)]
        assert int(np.argmax(np.abs(changes))) == 12 and changes[12] > 0.05
        assert np.abs(changes[:10]).max() < 0.75 * changes[12]
        rows = [row for row in results.experiments["classes"].tables["classes"] if row["pooling"] == "cls"]
        for key, least in (("silhouette", 0.7), ("silhouette_cosine", 0.8)):
            own = {(row["checkpoint"], row["layer"]): row[key] for row in rows}
            assert own["before", 12] < 0.6 and own["after", 12] > max(least, own["before", 12] + 0.25)
            gains = [own["after", layer] - own["before", layer] for layer in range(1, 13)]
            assert np.mean(gains[8:]) > 1.8 * np.mean(gains[:8])
