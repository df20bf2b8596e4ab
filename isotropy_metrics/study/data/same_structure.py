"""Groups of sentences that have the same structure and mean different things: made here, or read from a file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from isotropy_metrics.study.data.annotated_table import annotated_columns

N_GROUPS, SENTENCES_PER_GROUP = 200, 6
"""As in the experiment of Rajaee & Pilehvar (2021)."""

MOST_WORDS = 32
NEEDED = {"the", "of", ","}
"""Every structure has these, and ends with a full stop."""


@dataclass(frozen=True)
class StructuredSentences:
    """Sentences in groups of the same structure.

    Attributes:
        sentences: all of them.
        groups: (n_sentences,), number of the group of each.
        source: where they come from.
    """

    sentences: list[str]
    groups: np.ndarray
    source: str

    @property
    def n_groups(self) -> int:
        """How many groups there are."""
        return int(self.groups.max()) + 1


def load_structures(path: Path | None, seed: int = 0) -> StructuredSentences:
    """The sentences of a user's file with columns `group` and `sentence`; without a file the built-in ones.

    Raises:
        FileNotFoundError, ValueError: the file is not there or not as described, or holds fewer than two groups.
    """
    if path is None:
        return generated_structures(seed=seed)
    columns = annotated_columns(path, ("group", "sentence"))
    names, groups, sizes = np.unique(columns["group"], return_inverse=True, return_counts=True)
    if len(names) < 2 or sizes.max() < 2:
        raise ValueError(
            f"{path} has {len(names)} group(s), the largest of {sizes.max()} sentence(s): nearest neighbours need at "
            "least two groups, and groups of at least two sentences"
        )
    return StructuredSentences(columns["sentence"], groups, str(path))


def generated_structures(
    n_groups: int = N_GROUPS, per_group: int = SENTENCES_PER_GROUP, seed: int = 0
) -> StructuredSentences:
    """Groups of English sentences from a small grammar: function words stay, all content words change.

    Every group has a structure of its own, and no content word occurs twice in a group in the same role.
    """
    rng = np.random.default_rng(seed)
    structures: dict[tuple[str, ...], None] = {}
    while len(structures) < n_groups:
        words = tuple(_expand("sentence", rng))
        if NEEDED <= set(words) and len(words) <= MOST_WORDS and _has_words_enough(words, per_group):
            structures[words] = None
    sentences = [sentence for words in structures for sentence in _filled(words, per_group, rng)]
    source = f"built-in grammar, {n_groups} structures of {per_group} sentences"
    return StructuredSentences(sentences, np.repeat(np.arange(n_groups), per_group), source)


def _expand(symbol: str, rng: np.random.Generator) -> Iterator[str]:
    """Words and slots that a symbol of the grammar stands for, by one of its rules."""
    rules = GRAMMAR[symbol]
    for part in rules[rng.integers(len(rules))].split():
        if part in GRAMMAR:
            yield from _expand(part, rng)
        else:
            yield part


def _slots(structure: tuple[str, ...]) -> dict[str, list[str]]:
    """By slot of the structure, the kind of word that fills it and perhaps its form."""
    return {part: part.strip("<>").split(":") for part in structure if part.startswith("<")}


def _has_words_enough(structure: tuple[str, ...], n: int) -> bool:
    """Whether n sentences of the structure need no content word twice."""
    slots = _slots(structure)
    wanted = Counter(slots[part][0] for part in structure if part in slots)
    return all(n * times <= len(WORDS[kind]) for kind, times in wanted.items())


def _filled(structure: tuple[str, ...], n: int, rng: np.random.Generator) -> list[str]:
    """Sentences of one structure: every slot, in every sentence, takes the next word of its shuffled list."""
    slots = _slots(structure)
    shuffled = {kind: iter(rng.permutation(WORDS[kind]).tolist()) for kind, *_ in slots.values()}
    sentences = []
    for _ in range(n):
        words = []
        for part in structure:
            if part in slots:
                kind, *form = slots[part]
                words.append(_inflected(next(shuffled[kind]), *form))
            else:
                words.append(part)
        text = " ".join(words).replace(" ,", ",").replace(" .", ".")
        sentences.append(text[0].upper() + text[1:])
    return sentences


def _inflected(entry: str, form: str = "") -> str:
    """A word in one of its forms: nouns have a plural; verbs are listed as base/past/ing, or base/past."""
    if form == "s":
        return f"{entry}s"
    return entry.split("/")[("base", "past", "ing").index(form)] if form else entry


GRAMMAR: dict[str, tuple[str, ...]] = {
    "sentence": (
        "front , subject predicate .",
        "front , subject predicate .",
        "subject predicate tail .",
        "subject predicate tail .",
        "front , subject predicate tail .",
        "definite , apposition , predicate .",
        "definite , who predicate , predicate .",
    ),
    "front": (
        "after the <event>",
        "before the <event>",
        "during the <event> in the <place>",
        "at the end of the <event>",
        "because of the <event>",
        "on the day of the <event>",
        "in spite of the <event>",
        "in front of the <place>",
        "near the <place> of the <person>",
        "without the help of the <person>",
        "according to the <person>",
        "when the <person> <acts:past>",
        "although the <person> <acts:past>",
        "as soon as the <person> <acts:past>",
        "while object lay on the floor of the <place>",
        "like the <person> from the <place>",
        "to the surprise of the <person>",
        "between the <event> and the <event>",
        "long before the <event> of the <person>",
        "<manner>",
    ),
    "subject": (
        "the <person>",
        "the <who> <person>",
        "a <who> <person>",
        "every <person>",
        "no <person>",
        "one of the <person:s>",
        "some of the <person:s>",
        "both of the <person:s>",
        "the <person> of the <place>",
        "the <who> <person> from the <place>",
        "the <person> and the <person>",
        "the <person> with the <thing>",
        "my <person>",
        "her <who> <person>",
    ),
    "definite": (
        "the <person>",
        "the <who> <person>",
        "the <person> of the <place>",
        "the <person> from the <place>",
        "the <who> <person> with the <thing>",
        "my <who> <person>",
        "the <person> near the <place>",
    ),
    "apposition": (
        "a <person> of the <place>",
        "the <who> <person> of the <place>",
        "one of the <person:s>",
        "a friend of the <person>",
    ),
    "predicate": (
        "<handles:past> object",
        "had <handles:past> object",
        "did not <handles:base> object",
        "could <handles:base> object",
        "would never <handles:base> object",
        "wanted to <handles:base> object",
        "had to <handles:base> object",
        "tried to <handles:base> object",
        "<manner> <handles:past> object",
        "<handles:past> object for the <person>",
        "<meets:past> the <person>",
        "<meets:past> the <person> of the <place>",
        "<meets:past> the <who> <person> at the <place>",
        "<acts:past> in the <place>",
        "<says:past> that the <person> <handles:past> object",
        "<says:past> that subject had <meets:past> the <person>",
    ),
    "object": (
        "the <thing>",
        "a <which> <thing>",
        "the <which> <thing>",
        "the <thing> of the <person>",
        "the <which> <thing> of the <person>",
        "all of the <thing:s>",
        "one of the <which> <thing:s>",
        "his <thing>",
        "the <thing> in the <place>",
        "a <thing> from the <place>",
        "the <thing> that the <person> <handles:past>",
    ),
    "tail": (
        ", and subject predicate",
        ", but subject predicate",
        ", because subject predicate",
        ", while subject predicate",
        ", so subject predicate",
        ", <handles:ing> object",
        ", with the <thing> of the <person>",
        ", although the <person> <acts:past>",
        ", not the <person> of the <place>",
    ),
}
"""Rules by symbol; `<kind:form>` is a slot for a content word of `WORDS`."""

WORDS: dict[str, list[str]] = {
    "person": """teacher doctor farmer lawyer painter singer driver soldier nurse merchant writer baker gardener pilot
        dancer sailor judge banker butcher carpenter cook guard hunter mayor miner monk neighbor poet porter priest
        prince professor queen reporter student tailor tourist visitor waiter shepherd king clerk captain pirate
        beggar blacksmith builder cousin detective fisher goalkeeper healer jeweler knight librarian mechanic nephew
        novelist plumber physicist ranger runner sculptor smith stranger surgeon trader tutor weaver""".split(),
    "thing": """table lamp book letter basket bottle carpet clock curtain diamond drum flag hammer hat jacket key
        ladder map mirror needle painting pencil piano pot ring rope sack shirt sword ticket vase violin wagon whistle
        blanket bucket candle coin fence barrel bell button camera chair cup desk door gun helmet kettle knot lantern
        magazine newspaper necklace package pillow plate poster purse scarf sculpture shield shovel spoon statue
        suitcase tent trumpet""".split(),
    "place": """castle garden village market church harbor forest library museum station theater valley bridge palace
        school hotel kitchen factory temple tower river prison farm field lake meadow monastery port quarry restaurant
        street tavern town warehouse workshop barn bakery camp cellar chapel cottage court desert gallery hall
        hospital laboratory mansion mill park plaza region shop square stable suburb tunnel vineyard zoo""".split(),
    "event": """war wedding meeting storm party concert race trial festival fire flood funeral game holiday journey
        lecture march parade play rebellion revolution ceremony contest debate dinner battle banquet celebration
        drought strike performance harvest search siege voyage picnic match lesson conference show""".split(),
    "who": """young tall brave clever tired rich poor proud shy gentle lonely lucky famous cheerful careful curious
        foolish friendly generous greedy jealous kind lazy modest nervous polite quiet rude serious strong stubborn
        sad wise bold bitter calm cruel faithful fierce grateful""".split(),
    "which": """heavy red golden wooden broken new small large beautiful cheap clean dark dirty dusty fine fragile
        green hidden huge light little long lost missing pale plain precious pretty rare round rusty shiny silver
        simple soft strange thick thin valuable white""".split(),
    "manner": """quickly quietly slowly suddenly carefully politely happily sadly calmly gladly gently loudly
        nervously proudly secretly silently softly firmly boldly bravely briefly cheerfully cleverly finally foolishly
        gracefully hastily kindly lazily merrily patiently promptly rapidly reluctantly seriously solemnly stubbornly
        thoughtfully warmly wisely""".split(),
    "handles": """carry/carried/carrying paint/painted/painting repair/repaired/repairing clean/cleaned/cleaning
        borrow/borrowed/borrowing buy/bought/buying cover/covered/covering decorate/decorated/decorating
        describe/described/describing destroy/destroyed/destroying discover/discovered/discovering
        drop/dropped/dropping examine/examined/examining fix/fixed/fixing guard/guarded/guarding
        admire/admired/admiring move/moved/moving notice/noticed/noticing pack/packed/packing place/placed/placing
        polish/polished/polishing receive/received/receiving recognize/recognized/recognizing remove/removed/removing
        sell/sold/selling touch/touched/touching want/wanted/wanting watch/watched/watching wrap/wrapped/wrapping
        collect/collected/collecting damage/damaged/damaging find/found/finding inspect/inspected/inspecting
        keep/kept/keeping measure/measured/measuring push/pushed/pushing save/saved/saving study/studied/studying
        lift/lifted/lifting lose/lost/losing bring/brought/bringing burn/burned/burning bury/buried/burying
        catch/caught/catching check/checked/checking count/counted/counting deliver/delivered/delivering
        hold/held/holding leave/left/leaving load/loaded/loading mention/mentioned/mentioning need/needed/needing
        order/ordered/ordering preserve/preserved/preserving protect/protected/protecting rent/rented/renting
        replace/replaced/replacing send/sent/sending store/stored/storing trade/traded/trading""".split(),
    "meets": """help/helped thank/thanked follow/followed meet/met admire/admired visit/visited warn/warned
        trust/trusted blame/blamed call/called defend/defended envy/envied greet/greeted hire/hired ignore/ignored
        invite/invited insult/insulted join/joined like/liked miss/missed obey/obeyed praise/praised punish/punished
        question/questioned remember/remembered respect/respected rescue/rescued serve/served support/supported
        surprise/surprised teach/taught welcome/welcomed bother/bothered comfort/comforted challenge/challenged
        chase/chased""".split(),
    "acts": """laugh/laughed sleep/slept wait/waited work/worked dance/danced pray/prayed rest/rested scream/screamed
        shout/shouted sigh/sighed smile/smiled whisper/whispered cry/cried cough/coughed disappear/disappeared
        faint/fainted hesitate/hesitated hurry/hurried jump/jumped kneel/knelt listen/listened nod/nodded pause/paused
        protest/protested return/returned sit/sat sneeze/sneezed stop/stopped stumble/stumbled suffer/suffered
        tremble/trembled vanish/vanished weep/wept yawn/yawned wander/wandered stay/stayed""".split(),
    "says": """say/said believe/believed think/thought claim/claimed know/knew hope/hoped suspect/suspected
        explain/explained notice/noticed realize/realized dream/dreamed fear/feared guess/guessed learn/learned
        feel/felt argue/argued admit/admitted confess/confessed declare/declared discover/discovered
        conclude/concluded deny/denied complain/complained predict/predicted promise/promised remember/remembered
        report/reported suggest/suggested swear/swore whisper/whispered write/wrote insist/insisted""".split(),
}
"""Content words by kind; nouns and adjectives begin with a consonant, so that "a" fits before each."""
