"""A contest: a floor, ours and peers on the same rows in one process, in a new random order every round.

A busy machine so favours none. The ratio is the median over rounds of (contestant / floor of the same round): of wall
time, and of the processor's time, which other processes disturb less. A ratio near or below 1 can be noise. The first
call of each warms up and tells how long the next ones take: who takes long is in fewer rounds, and who needs more than
`MOST_SECONDS`, or would by the power law of the sizes before, is left out by name; the floor and the first of ours
always stay, and all of ours at the main size.
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date
from typing import Any, NamedTuple

import numpy as np

from benchmarks.fresh_process import extra_megabytes, in_a_fresh_process

MOST_SECONDS = 10.0
"""Of one call; who takes longer is left out."""

MOST_GIGABYTES_OF_PAIRS = 8.0
"""Who would hold more is left out, for the machine to stay alive."""

PROMISED_ROUNDS = 9
"""At least, of ours at the main size, which most promises are about."""

ROUNDS = 3, 15
"""At least, and at most."""

SECONDS_EACH = 1.0
"""A contestant is in so many rounds as fit into this time; the floor is in all of them."""

QUICK_SECONDS_EACH = 0.2

PAUSE = 0.2
"""Seconds before a call. The threads of OpenBLAS spin for 0.1 s after a product, on a core that the next one needs."""


MOST_GROWTH = 3.0
"""The exponent of products and decompositions of matrices."""


class Size(NamedTuple):
    """How many rows of how many features, and of what kind where that matters."""

    rows: int
    features: int
    kind: str = ""

    def __str__(self) -> str:
        return f"{self.rows:,} × {self.features:,}" + (f", {self.kind}" if self.kind else "")


@dataclass(frozen=True)
class Contestant:
    """Something to call with what the task prepared.

    Attributes:
        name: unique in its task.
        call: a function of a module, so that another process can call it too.
        bytes_per_pair: of the matrices of all pairs of rows that it holds at once.
    """

    name: str
    call: Callable[[Any], object]
    bytes_per_pair: int = 0


@dataclass(frozen=True)
class Agreement:
    """Our value and that of a peer: equal to a relative `tolerance`, unless a `reason` says why they differ."""

    what: str
    ours: float
    peer: float
    tolerance: float = 1e-5
    reason: str = ""

    def checked(self) -> Agreement:
        """Itself; ValueError where values differ that must agree."""
        if not self.reason and not math.isclose(self.ours, self.peer, rel_tol=self.tolerance):
            raise ValueError(f"{self.what}: ours is {self.ours}, the peer's {self.peer}; they are not the same thing")
        return self


@dataclass
class Timed:
    """What was measured of one contestant: seconds of every round, and megabytes beyond what it was given."""

    name: str
    role: str
    wall: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)
    extra_megabytes: float | None = None

    @property
    def seconds(self) -> float:
        """Median wall time."""
        return float(np.median(self.wall))


@dataclass
class Outcome:
    """Of a contest at one size: the floor first; and who was left out, with the reason."""

    size: Size
    timed: list[Timed]
    left_out: dict[str, str]

    def of(self, name: str) -> Timed:
        """The contestant of this name.

        Raises:
            KeyError: it did not take part.
        """
        return {each.name: each for each in self.timed}[name]

    def ratios(self, name: str, to: str | None = None) -> np.ndarray:
        """Wall time in every round, divided by that of another in the same round; by default of the floor."""
        return _quotients(self.of(name).wall, (self.timed[0] if to is None else self.of(to)).wall)

    def ratio(self, name: str, to: str | None = None) -> float:
        """Median of `ratios`."""
        return float(np.median(self.ratios(name, to)))

    @property
    def peers(self) -> list[str]:
        """Names of the peers that took part."""
        return [each.name for each in self.timed if each.role == "peer"]

    def record(self) -> dict[str, Any]:
        """As plain values, with the ratios."""
        contestants = []
        for each in self.timed:
            ratios = self.ratios(each.name)
            of_ratio = {"ratio": self.ratio(each.name), "ratio_min": ratios.min(), "ratio_max": ratios.max()}
            of_ratio["processor_ratio"] = np.median(_quotients(each.processor, self.timed[0].processor))
            of_ratio = {name: float(value) for name, value in of_ratio.items()}
            contestants.append({"seconds": each.seconds} | of_ratio | asdict(each))
        return {**self.size._asdict(), "contestants": contestants, "left_out": self.left_out}


@dataclass(frozen=True)
class Target:
    """A promise about one size: a measured figure that is to be at most, or at least, a limit."""

    sentence: str
    size: Size
    figure: Callable[[Outcome], float]
    limit: float
    is_least: bool = False

    def record(self, outcomes: Sequence[Outcome]) -> dict[str, Any]:
        """The figure, and whether it is held; None for both where the size was not run."""
        (outcome,) = [each for each in outcomes if each.size == self.size] or [None]
        figure = None if outcome is None else self.figure(outcome)
        held = None if figure is None else figure >= self.limit if self.is_least else figure <= self.limit
        return {"sentence": self.sentence, "figure": figure, "limit": self.limit, "held": held}


@dataclass(frozen=True)
class Task:
    """What is contested.

    Attributes:
        name: on the command line.
        title: what it is about, in a few words.
        prepare: what the contestants are called with, of a size.
        floor: what nobody can do without.
        ours, peers: the contestants; the first of ours is never left out, and none of ours at the main size.
        sizes: smaller ones first, where the time of a larger one is to be foretold.
        main: the size whose memory is measured too.
        quick_sizes: for a quick run; the last is the main one.
        small: a size that only warms up a fresh process.
        agreements: of what was prepared for the first size.
        absent: peers that cannot take part at any size, with the reason.
        targets: what is promised.
        skipped: why there is no contest on this machine, if so.
    """

    name: str
    title: str
    prepare: Callable[[Size], Any]
    floor: Contestant
    ours: tuple[Contestant, ...]
    peers: tuple[Contestant, ...]
    sizes: tuple[Size, ...]
    main: Size
    quick_sizes: tuple[Size, ...]
    small: Size
    agreements: Callable[[Any], Iterator[Agreement]]
    absent: Mapping[str, str] = field(default_factory=dict)
    targets: tuple[Target, ...] = ()
    skipped: Callable[[], str] = str

    @property
    def contestants(self) -> list[tuple[str, Contestant]]:
        """With their roles, the floor first."""
        roles = {"floor": (self.floor,), "ours": self.ours, "peer": self.peers}
        return [(role, each) for role, of_role in roles.items() for each in of_role]

    def run(self, quick: bool = False, tell: Callable[[str], None] = print) -> dict[str, Any]:
        """The contests of all sizes as plain values.

        Raises:
            ValueError: a peer's value differs that should be the same.
        """
        record = {"title": self.title, "day": date.today().isoformat(), "floor": self.floor.name}
        record |= {"absent": dict(self.absent)}
        reason = self.skipped()
        if reason:
            return record | {"skipped": reason, "agreements": [], "sizes": [], "targets": []}
        outcomes: list[Outcome] = []
        agreements: list[Agreement] = []
        sizes = self.quick_sizes if quick else self.sizes
        main = sizes[-1] if quick else self.main
        for size in sizes:
            tell(f"{self.name}: {size}")
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # seconds count here, not whether rows are few
                given = self.prepare(size)
                if not outcomes:
                    agreements = [each.checked() for each in self.agreements(given)]
                outcome = self._contest(given, size, outcomes, quick)
            del given
            outcomes.append(outcome)
            if size == main:
                self._measure_memory(size, outcome.timed[:2] if quick else outcome.timed)
        return record | {
            "skipped": "",
            "main": main._asdict(),
            "agreements": [asdict(each) for each in agreements],
            "sizes": [each.record() for each in outcomes],
            "targets": [each.record(outcomes) for each in self.targets],
        }

    def _contest(self, given: Any, size: Size, earlier: Sequence[Outcome], quick: bool) -> Outcome:
        outcome, calls, rounds = Outcome(size, [], {}), [], []
        budget, pause = (QUICK_SECONDS_EACH, 0.0) if quick else (SECONDS_EACH, PAUSE)
        for role, each in self.contestants:
            stays = each in (self.floor, self.ours[0]) or (role == "ours" and size == self.main)
            took, reason = _first_seconds(each, given, size, earlier, stays)
            if reason:
                outcome.left_out[each.name] = reason
                continue
            outcome.timed.append(Timed(each.name, role))
            calls.append(each.call)
            least = PROMISED_ROUNDS if role == "ours" and size == self.main else ROUNDS[0]
            rounds.append(int(np.clip(budget / took, least, ROUNDS[1])))
        rounds[0] = max(rounds)  # there is no ratio in a round without the floor
        for i in range(rounds[0]):
            for j in np.random.default_rng(i).permutation(np.flatnonzero(np.array(rounds) > i)):
                time.sleep(pause)
                before = time.process_time()
                start = time.perf_counter()
                calls[j](given)
                outcome.timed[j].wall.append(time.perf_counter() - start)
                outcome.timed[j].processor.append(time.process_time() - before)
        return outcome

    def _measure_memory(self, size: Size, chosen: Sequence[Timed]) -> None:
        calls = {each.name: each.call for _, each in self.contestants}
        for timed in chosen:
            timed.extra_megabytes = in_a_fresh_process(
                extra_megabytes, self.prepare, calls[timed.name], size, self.small
            )


def _quotients(seconds: Sequence[float], others: Sequence[float]) -> np.ndarray:
    """In the rounds that both were in: the first ones."""
    n_rounds = min(len(seconds), len(others))
    return np.divide(seconds[:n_rounds], others[:n_rounds])


def _first_seconds(
    contestant: Contestant, given: Any, size: Size, earlier: Sequence[Outcome], stays: bool
) -> tuple[float, str]:
    """Seconds of the first call; and, if it does not take part, the reason. Who stays may take its time."""
    reason = "" if stays else _reason_beforehand(contestant, size, earlier)
    if reason:
        return 0.0, reason
    start = time.perf_counter()
    try:
        contestant.call(given)
    except ImportError as error:
        return 0.0, str(error)
    took = time.perf_counter() - start
    return took, f"{took:.2g} s a call" if took > MOST_SECONDS and not stays else ""


def _reason_beforehand(contestant: Contestant, size: Size, earlier: Sequence[Outcome]) -> str:
    """Not even to try it; empty if there is none."""
    smaller = [each for each in earlier if each.size.rows <= size.rows and each.size.features <= size.features]
    for each in smaller:
        if contestant.name in each.left_out:
            return f"left out at {each.size} already"
    gigabytes = contestant.bytes_per_pair * size.rows**2 / 1e9
    if gigabytes > MOST_GIGABYTES_OF_PAIRS:
        return f"{gigabytes:.0f} GB of all pairs"
    expected = expected_seconds(contestant.name, size, smaller)
    return f"about {expected:.2g} s a call by the sizes before" if expected > MOST_SECONDS else ""


def expected_seconds(name: str, size: Size, smaller: Sequence[Outcome]) -> float:
    """By the power law through the two largest smaller sizes of the same width, or else of the same number of rows.

    It grows at least in proportion, and as the cube at the most: a solver that is another one for larger sizes looks
    like more. Of sizes that differ in their kind alone, one of the same kind counts, or else the last. With no such
    size it is zero.
    """
    smaller = sorted(smaller, key=lambda each: each.size.kind == size.kind)
    for axis in ("rows", "features"):
        along = [each for each in smaller if getattr(each.size, axis) < getattr(size, axis)]
        other = "features" if axis == "rows" else "rows"
        along = [each for each in along if getattr(each.size, other) == getattr(size, other)]
        points = sorted({getattr(each.size, axis): each.of(name).seconds for each in along}.items())[-2:]
        if points:
            last, seconds = points[-1]
            return seconds * (getattr(size, axis) / last) ** min(max(1.0, growth(points)), MOST_GROWTH)
    return 0.0


def growth(points: Sequence[tuple[float, float]]) -> float:
    """The exponent of the power law through the last two points (n, seconds); NaN of one point."""
    if len(points) < 2:
        return float("nan")
    (first, before), (last, after) = points[-2:]
    return math.log(after / before) / math.log(last / first)
