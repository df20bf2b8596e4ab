"""CollapseWatch: what becomes of alarms while a model trains: warnings, alerts, files, and the end of training."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from isotropy_metrics.collapse_cause import likely_cause
from isotropy_metrics.statistics import Moments
from trainer_callbacks.alarm_report import alert_trackio, write_alarm
from trainer_callbacks.collapse_alarm import CollapseAlarm
from trainer_callbacks.space_watch import Reading, SpaceWatch, key_of

if TYPE_CHECKING:
    from transformers import TrainerState, TrainingArguments

logger = logging.getLogger(__name__)

KEY = "isotropy_alarm"
"""How many alarms are raised, beside the measures."""


class CollapseWatch:
    """Alarms, what the space was like before training, and who hears of it.

    Attributes:
        alarms: each with its state.
        first_moments: by probe and layer of the alarms, before training, if they were read in this process.
    """

    def __init__(self, alarms: Sequence[CollapseAlarm]) -> None:
        self.alarms = list(alarms)
        self.first_moments: dict[tuple[str, int], Moments | None] = {}

    def check(self, watch: SpaceWatch) -> None:
        """Refuse alarms about what is not measured.

        Raises:
            ValueError: an alarm is about another probe, about classes of a probe without labels, or about another
                layer, as far as those of the model are known.
        """
        for alarm in self.alarms:
            if alarm.probe is not None and alarm.probe not in watch.probes:
                names = ", ".join(map(repr, watch.probes))
                raise ValueError(f"an alarm is about the probe {alarm.probe!r}; there are: {names}")
            name = next(iter(watch.probes)) if alarm.probe is None else alarm.probe
            if alarm.measure not in [each.name for each in watch.measures_of(watch.probes[name])]:
                raise ValueError(f"an alarm is about {alarm.measure} of the probe {name!r}, which has no class labels")
            n = len(watch.numbers)
            if n and alarm.layer not in watch.numbers and not -n <= alarm.layer < 0:
                numbers = ", ".join(map(str, sorted(watch.numbers)))
                raise ValueError(f"an alarm is about layer {alarm.layer}; measured are {numbers}")

    def begin_anew(self) -> None:
        """Forget what an earlier training has shown."""
        for alarm in self.alarms:
            alarm.load_state_dict({"n_beyond": 0, "is_raised": 0})
        self.first_moments = {}

    def keep_baseline(self, reading: Reading) -> None:
        """Remember the moments before training, which tell causes apart."""
        for alarm in self.alarms:
            probe, layer = _place(alarm, reading)
            self.first_moments[probe, layer] = reading.spaces[probe].moments(layer)

    def observe(
        self, reading: Reading, baseline: dict[str, float], args: TrainingArguments, state: TrainerState
    ) -> bool:
        """Show a reading to every alarm; returns whether training should stop.

        Adds the number of raised alarms to the reading's values. Warnings, alerts and files are the main process's.
        """
        stop = False
        for alarm in self.alarms:
            probe, layer = _place(alarm, reading)
            key = key_of(probe, layer, alarm.measure)
            event = alarm.observe(reading.values[key], baseline.get(key))
            if event == "raised":
                stop |= alarm.stop
                if state.is_world_process_zero:
                    try:
                        self._announce(alarm, probe, layer, reading, baseline, args, state)
                    except Exception as error:  # of this process only: all must go on alike, or end alike
                        what = alarm.sentence(reading.values[key], baseline.get(key))
                        logger.warning(
                            "step %d: %s; this could not be announced: %s: %s",
                            state.global_step,
                            what,
                            type(error).__name__,
                            error,
                        )
            elif event == "cleared" and state.is_world_process_zero:
                logger.warning("step %d: %s is %.4g, no alarm any more", state.global_step, key, reading.values[key])
        if self.alarms:
            reading.values[KEY] = float(sum(alarm.is_raised for alarm in self.alarms))
        return stop

    def state_dict(self) -> list[dict[str, Any]]:
        """The state of every alarm."""
        return [alarm.state_dict() for alarm in self.alarms]

    def load_state_dict(self, states: list[dict[str, Any]]) -> None:
        """Continue with these states; of another number of alarms it is not known which is which."""
        if len(states) != len(self.alarms):
            logger.warning("alarms begin anew: there were %d, now there are %d", len(states), len(self.alarms))
            return
        for alarm, state in zip(self.alarms, states, strict=True):
            alarm.load_state_dict(state)

    def _announce(
        self,
        alarm: CollapseAlarm,
        probe: str,
        layer: int,
        reading: Reading,
        baseline: dict[str, float],
        args: TrainingArguments,
        state: TrainerState,
    ) -> None:
        key = key_of(probe, layer, alarm.measure)
        value, before = reading.values[key], baseline.get(key)
        moments = reading.spaces[probe].moments(layer)
        cause = "" if moments is None else likely_cause(moments, self.first_moments.get((probe, layer)))
        what = f"step {state.global_step}, {key}: {alarm.sentence(value, before)}"
        report = {
            "step": state.global_step,
            "epoch": state.epoch,
            "alarm": what,
            "key": key,
            "value": value,
            "threshold": alarm.threshold(before),
            "baseline": before,
            "cause": cause,
            "values": reading.values,
            "baseline_values": baseline,
        }
        path = write_alarm(args.output_dir, report)
        logger.warning("%s. %s %s", what, cause, path)
        alert_trackio(what, cause)


def _place(alarm: CollapseAlarm, reading: Reading) -> tuple[str, int]:
    """Probe and layer that an alarm is about: the first probe if it names none."""
    probe = next(iter(reading.spaces)) if alarm.probe is None else alarm.probe
    return probe, reading.layer(probe, alarm.layer)
