"""Which steps a file gets, and whether they do it good: each is judged on images kept aside.

"fast" takes TensorFlow's minimum and maximum of every activation and rounds weights to nearest;
"normal" equalizes channels, refits the integer weights and corrects the biases; "high" does so with
other views of the images as well, mirrored and cut out. What is no better than what was there
before, on calibration images that the steps have not seen, is left out.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tflite.files import flatbuffer
from tflite.files.floors import find_floors
from tflite.images import ImageInput
from tflite.quantizing.activation_ranges import set_ranges
from tflite.quantizing.detector_heads import DetectorHeads
from tflite.quantizing.equalization import equalize
from tflite.quantizing.execution import in_batches, shape_of
from tflite.quantizing.judging import Judge
from tflite.quantizing.other_views import with_views
from tflite.quantizing.sequence import fit_layers
from tflite.quantizing.statistics import Statistics, measure, merged, with_headroom
from tflite.runtime import Session

logger = logging.getLogger(__name__)

PLAIN = "minimum and maximum, rounded to nearest"

# Of calibration images, one in so many judges.
_JUDGES_SHARE, _MOST_JUDGES = 6, 24
_FEWEST = 2
_MOST_IMAGES = 200
_MOST_FITTED = 100
_COMPARED = 8
# Wider ranges cost the judges a little and save images that nobody has seen; more is an accident.
_ACCIDENT_DB = 1.0
# Largest activation of all images that weights are fitted to, in numbers.
_MOST_NUMBERS = 150_000_000


@dataclass(frozen=True)
class Plan:
    """One way to make the file.

    Attributes:
        exponent: of the equalization; 0 leaves it out.
        refit: whether integer weights are found anew, or rounded to nearest.
        views: whether that is done on other views of the images, too.
        correct: whether biases are corrected; refitted weights need it.
        clip: whether ranges are those of the least error, or hold all values.
        margin_db: how much better a file must be to be made so.
    """

    exponent: float
    refit: bool
    views: bool = False
    correct: bool = True
    clip: bool = False
    margin_db: float = 0.0

    def __str__(self) -> str:
        parts = ["ranges of the least error"] if self.clip else []
        parts += [f"equalized by {self.exponent:g}"] if self.exponent else []
        parts += ["weights refitted"] if self.refit else []
        parts += ["biases corrected"] if self.correct else ["rounded to nearest"]
        return ", ".join([*parts, "on mirrored and cut out images too"] if self.views else parts)


# Between 0.5, best for photographs of a kind never seen, and 0.75, best for the kind of these; none
# at all is best for some small networks (MobileNetV2 0.35 on Fashion-MNIST).
_NORMAL = (
    Plan(0.0, refit=False, correct=False),
    Plan(0.65, refit=False),
    Plan(0.65, refit=True),
    Plan(0.0, refit=False),
    Plan(0.0, refit=True),
)
# Ranges of the least error clip what photographs of another kind need, but one odd image, or value,
# would have the range of all others; so they have to be clearly better (MobileNetV2: KL 0.011 for
# 0.014, and 0.028 and 0.037 for 0.032 and 0.027 on photographs never seen).
_ODD = Plan(0.65, refit=True, clip=True, margin_db=1.0)
# Where the result is poor, channels differ so much that the strongest is worth a try.
_STRONG = (Plan(1.0, refit=False), Plan(1.0, refit=True))
_POOR_DB = 15.0
# Judges of the same photographs like stronger factors, which cost others 1 to 2 dB (MobileNetV2 by
# 0.8: 22.9 dB, and 19.3 and 19.4 of photographs never seen; by 0.65: 22.5, 19.9 and 21.2).
_HIGH = (
    *_NORMAL,
    Plan(0.5, refit=True),
    Plan(0.5, refit=True, views=True),
    Plan(0.65, refit=True, views=True),
)


@dataclass(frozen=True)
class Outcome:
    """What was tried and what came of it.

    Attributes:
        effort: as asked for.
        chosen: what the file is made by.
        trials: SQNR in dB of the network's last values before a softmax, by way of making the
            file, on the judging images.
        judges: how many calibration images judged; nothing was fitted to them.
        note: why nothing was tried or what was tried is left out.
    """

    effort: str
    chosen: str = PLAIN
    trials: Mapping[str, float] = field(default_factory=dict)
    judges: int = 0
    note: str = ""

    def __str__(self) -> str:
        if not self.trials:
            return f"effort {self.effort}: {self.chosen}" + (f" ({self.note})" if self.note else "")
        note = f", {self.note}" if self.note else ""
        tried = "; ".join(f"{name} {sqnr:.1f} dB" for name, sqnr in self.trials.items())
        aside = f"{self.judges} image{'s' * (self.judges != 1)} kept aside"
        return f"effort {self.effort}: {self.chosen}{note} (on {aside}: {tried})"


def improve(
    calibrated: bytes,
    plain: bytes,
    images: np.ndarray,
    image: ImageInput | None,
    quantize: Callable[[bytes], bytes],
    effort: str,
    heads: DetectorHeads | None = None,
) -> tuple[bytes, Outcome]:
    """The best int8 file of those that the effort allows.

    Args:
        calibrated: the float file with TensorFlow's ranges.
        plain: what the quantizer makes of it.
        images: float32 (N, height, width, channels), as the files take them.
        image: how pixels become the file's input, if that is known.
        quantize: from a float file with ranges to an int8 file.
        effort: "normal" or "high".
        heads: of a detector: what counts in its outputs.
    """
    if not _differ(images):
        note = "too few images with something on them, and different, to judge more by"
        return plain, Outcome(effort, note=note)
    # In whole batches from here on, so that of both together no image is without its statistics.
    flat = flatbuffer.unpack(calibrated)
    most = _most_fitted(flat)
    fitted, judging = (in_batches(flat, part) for part in _split(images, most))
    judge = Judge(calibrated, judging, image, heads and heads.weigh)
    limits = heads and heads.limits(calibrated)

    def measured(images: np.ndarray) -> dict[int, Statistics]:
        return measure(calibrated, images, limits=limits)

    def maker(images: np.ndarray, found: Mapping[int, Statistics], count: int) -> _Maker:
        return _Maker(calibrated, images, with_headroom(found, count), image, quantize)

    sets = {False: fitted, True: with_views(fitted)} if effort == "high" else {False: fitted}
    found = {views: measured(images) for views, images in sets.items()}
    makers = {views: maker(images, found[views], len(images)) for views, images in sets.items()}
    best, trials = _judged(_plans(effort, flat), makers, judge)
    if not trials:
        return plain, Outcome(effort, PLAIN, {}, len(judging), "LiteRT runs nothing else")
    # What is best for images that were not seen is made once more with all of them seen.
    seen, others = sets[best.views], with_views(judging) if best.views else judging
    count = len(seen) + len(others)
    fits_all = len(fitted) + len(judging) <= most
    statistics = merged(found[best.views], measured(others), fits_all)
    seen = np.concatenate([seen, others]) if fits_all else seen
    data = maker(seen, statistics, count).file(best)
    if data is None or judge.sqnr_db(data) < trials[str(best)] - _ACCIDENT_DB:
        data = makers[best.views].file(best)
    if judge.sqnr_db(data) < judge.sqnr_db(plain):
        return plain, Outcome(effort, PLAIN, trials, len(judging), "better than all that was tried")
    return data, Outcome(effort, str(best), trials, len(judging))


def _plans(effort: str, flat: schema.ModelT) -> tuple[Plan, ...]:
    plans = (*(_NORMAL if effort == "normal" else _HIGH), *_STRONG)
    if find_floors(flat):
        # h-swishes leave equalization little to do, and range is what counts.
        return tuple(replace(plan, clip=True) for plan in plans)
    return (*plans, _ODD)


def _judged(
    plans: tuple[Plan, ...], makers: Mapping[bool, "_Maker"], judge: Judge
) -> tuple[Plan, dict[str, float]]:
    """The best plan, and what `Outcome` calls trials; these are empty if no file can be made."""
    best, trials = plans[0], {}
    for plan in plans:
        most = max(trials.values(), default=-np.inf)
        if plan.exponent == 1 and most >= _POOR_DB:
            continue
        data = makers[plan.views].file(plan)
        if data is None:
            continue
        sqnr = judge.sqnr_db(data)
        if sqnr > most + plan.margin_db:
            best = plan
        elif plan.margin_db:
            continue
        trials[str(plan)] = sqnr
    return best, trials


class _Maker:
    """Files made by plans, from one set of statistics."""

    def __init__(
        self,
        calibrated: bytes,
        fitted: np.ndarray,
        statistics: Mapping[int, Statistics],
        image: ImageInput | None,
        quantize: Callable[[bytes], bytes],
    ) -> None:
        self._statistics = statistics
        self._calibrated, self._fitted, self._image = calibrated, fitted, image
        self._quantize = quantize
        # On images whose ranges are known: beyond them ReLU6 may bend elsewhere.
        self._same = Judge(calibrated, fitted[:_COMPARED], image)
        self._known: dict[tuple[float, bool], _Prepared | None] = {}

    def file(self, plan: Plan) -> bytes | None:
        """The int8 file; None if the float file would not stay the same network."""
        key = plan.exponent, plan.clip
        if key not in self._known:
            self._known[key] = self._prepared(*key)
        prepared = self._known[key]
        if prepared is None:
            return None
        equalized, statistics, quantized, session = prepared
        if not plan.correct:
            return quantized
        return fit_layers(quantized, equalized, statistics, self._fitted, session, plan.refit)

    def _prepared(self, exponent: float, clip: bool) -> "_Prepared | None":
        equalized, statistics = self._calibrated, self._statistics
        if not clip:
            statistics = {i: replace(found, sample=None) for i, found in statistics.items()}
        if exponent:
            equalized, statistics = equalize(self._calibrated, statistics, exponent)
            if not self._same.is_same(equalized):
                logger.warning("equalization by %g changed the network: it is left out", exponent)
                return None
        quantized = self._quantize(set_ranges(equalized, statistics))
        try:
            session = Session(quantized, self._image)
        except ValueError as error:  # steps that are all but 0, of a network that hardly answers
            logger.warning("equalization by %g is left out: %s", exponent, error)
            return None
        return _Prepared(equalized, statistics, quantized, session)


class _Prepared(NamedTuple):
    """A float file, its statistics, what the quantizer makes of it, and that ready to run."""

    equalized: bytes
    statistics: Mapping[int, Statistics]
    quantized: bytes
    session: Session


def _differ(images: np.ndarray) -> bool:
    """Whether there are two images that are not one colour, and not the same."""
    rows = images.reshape(len(images), -1)
    rows = rows[rows.min(axis=1) != rows.max(axis=1)]
    return len(rows) >= _FEWEST and not (rows == rows[0]).all()


def _split(images: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
    """Images to fit to, at most so many, and others to judge by."""
    images = _evenly(images, _MOST_IMAGES)
    count = min(max(1, len(images) // _JUDGES_SHARE), _MOST_JUDGES)
    judges = np.zeros(len(images), bool)
    judges[np.linspace(0, len(images) - 1, count + 2).astype(int)[1:-1]] = True
    return _evenly(images[~judges], most), images[judges]


def _most_fitted(flat: schema.ModelT) -> int:
    """To how many images a file of this size is fitted: memory holds an activation of them all."""
    largest = max(int(np.prod(shape_of(tensor))) for tensor in flat.subgraphs[0].tensors)
    return max(1, min(_MOST_FITTED, _MOST_NUMBERS // largest))


def _evenly(images: np.ndarray, most: int) -> np.ndarray:
    return images[np.linspace(0, len(images) - 1, min(len(images), most)).astype(int)]
