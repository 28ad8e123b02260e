"""Time to build each network against its twin in keras.applications, as ratios in one run.

python benchmarks/building.py [--rounds=5]
"""

import statistics
import time
from collections.abc import Callable

import keras
from absl import app, flags

import slimnets

_ROUNDS = flags.DEFINE_integer("rounds", 5, "builds of each side, alternating; medians are shown")

TWINS = {
    "mobilenet_v1": lambda: keras.applications.MobileNet(weights=None),
    "mobilenet_v2": lambda: keras.applications.MobileNetV2(weights=None),
    "mobilenet_v3_large": lambda: keras.applications.MobileNetV3Large(
        weights=None, include_preprocessing=False
    ),
    "mobilenet_v3_small": lambda: keras.applications.MobileNetV3Small(
        weights=None, include_preprocessing=False
    ),
}


def _seconds(build: Callable[[], keras.Model]) -> float:
    keras.backend.clear_session()
    start = time.perf_counter()
    build()
    return time.perf_counter() - start


def main(_: list[str]) -> None:
    print(f"{'network':<20} {'ours':>7} {'twin':>7} {'ratio':>6}")
    for name, twin in TWINS.items():
        ours = getattr(slimnets, name)
        ours(), twin()  # the first of each pays for imports
        pairs = [(_seconds(ours), _seconds(twin)) for _ in range(_ROUNDS.value)]
        mine, theirs = (statistics.median(side) for side in zip(*pairs, strict=True))
        print(f"{name:<20} {mine:>6.2f}s {theirs:>6.2f}s {mine / theirs:>6.2f}")


if __name__ == "__main__":
    app.run(main)
