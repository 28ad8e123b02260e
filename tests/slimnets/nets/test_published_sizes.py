"""Parameters and multiply-adds of every network against its reference's figures.

Sources: the papers' tables, keras.applications and torchvision as released, and, for the CIFAR
forms, the PyTorch repositories that they come from. None of these numbers was computed here.
"""

import pytest

import slimnets

pytestmark = pytest.mark.slow  # every network of the zoo

ROWS = [  # builder, arguments, total, trainable, multiply-adds (None: the source does not say)
    ("mobilenet_v2", {"depth_multiplier": 1.4}, 6_156_712, None, 582_195_824),
    ("mobilenet_v2_140", {}, 6_156_712, None, 582_195_824),
    ("mobilenet_v2", {"depth_multiplier": 1.3}, 5_431_048, None, 509_374_560),
    ("mobilenet_v2", {}, 3_538_984, 3_504_872, 300_774_272),
    ("mobilenet_v2", {"depth_multiplier": 0.75}, 2_663_064, None, 209_069_792),
    ("mobilenet_v2_050", {}, 1_987_224, None, 97_131_840),
    ("mobilenet_v2_035", {}, 1_691_208, None, 59_285_808),
    ("mobilenet_v2", {"depth_multiplier": 1.4, "shrink_last": True}, None, 6_108_776, None),
    ("mobilenet_v2", {"depth_multiplier": 1.3, "shrink_last": True}, None, 5_386_792, None),
    ("mobilenet_v2", {"depth_multiplier": 0.75, "shrink_last": True}, None, 2_238_984, None),
    ("mobilenet_v2", {"depth_multiplier": 0.5, "shrink_last": True}, None, 1_225_000, None),
    ("mobilenet_v2", {"depth_multiplier": 0.35, "shrink_last": True}, None, 750_280, None),
    ("mobilenet_v2", {"depth_multiplier": 0.25, "shrink_last": True}, None, 480_392, None),
    ("mobilenet_v2_cifar10", {}, None, 2_296_922, 91_154_944),
    ("mobilenet_v2_cifar100", {}, None, 2_369_380, 64_947_264),
    ("mobilenet_v3_large", {}, 5_507_432, 5_483_032, 216_589_760),
    ("mobilenet_v3_large", {"depth_multiplier": 0.75}, 4_012_616, None, 154_560_624),
    ("mobilenet_v3_large", {"minimalistic": True}, 3_948_688, None, 209_136_704),
    ("mobilenet_v3_large", {"reduced_tail": True}, None, 2_569_352, 182_302_720),
    ("mobilenet_v3_small", {}, 2_554_968, 2_542_856, 56_510_400),
    ("mobilenet_v3_small", {"depth_multiplier": 0.75}, 2_051_552, None, 43_399_344),
    ("mobilenet_v3_small", {"minimalistic": True}, 2_056_848, None, 52_288_448),
    ("mobilenet_v3_small", {"reduced_tail": True}, None, 1_099_672, 43_763_584),
    ("squeezenet1_0", {}, None, 1_248_424, 818_924_576),
    ("squeezenet1_1", {}, None, 1_235_496, 349_151_936),
    ("squeezenet_cifar", {}, None, 781_156, 53_280_768),
    ("shufflenet_v1_cifar", {"groups": 1}, None, 997_813, 44_218_764),
    ("shufflenet_v1_cifar", {"groups": 2}, None, 1_022_548, 43_201_152),
    ("shufflenet_v1_cifar", {"groups": 3}, None, 1_012_108, 41_693_952),
    ("shufflenet_v1_cifar", {"groups": 4}, None, 1_000_892, 40_375_552),
    ("shufflenet_v1_cifar", {"groups": 8}, None, 1_069_036, 40_777_728),
    ("shufflenet_v2", {"ratio": 0.5}, None, 1_366_792, 40_476_448),
    ("shufflenet_v2", {"ratio": 1.0}, None, 2_278_604, 144_907_992),
    ("shufflenet_v2", {"ratio": 1.5}, None, 3_503_624, 295_759_392),
    ("shufflenet_v2", {"ratio": 2.0}, None, 7_393_996, 583_253_464),
    ("shufflenet_v2_cifar", {"ratio": 0.5}, None, 448_268, 10_994_176),
    ("shufflenet_v2_cifar", {"ratio": 1.0}, None, 1_360_896, 43_675_520),
    ("shufflenet_v2_cifar", {"ratio": 1.5}, None, 2_584_716, 91_189_760),
    ("shufflenet_v2_cifar", {"ratio": 2.0}, None, 5_550_976, 182_300_544),
]


@pytest.mark.parametrize(("builder", "kwargs", "total", "trainable", "macs"), ROWS)
def test_parameters_and_macs_are_the_references(builder, kwargs, total, trainable, macs):
    cost = slimnets.complexity(getattr(slimnets, builder)(**kwargs))
    assert total in (None, cost.params)
    assert trainable in (None, cost.trainable_params)
    assert macs in (None, cost.macs)


@pytest.mark.parametrize(("groups", "mflops"), [(1, 143), (2, 140), (3, 137), (4, 133), (8, 137)])
def test_shufflenet_v1_has_the_papers_mflops(groups, mflops):
    """Table 2 of arXiv 1707.01083; it counts what we count to within one per cent."""
    cost = slimnets.complexity(slimnets.shufflenet_v1(groups=groups))
    assert cost.macs / 1e6 == pytest.approx(mflops, rel=0.011)


def test_mobilenet_edgetpu_has_the_published_size():
    cost = slimnets.complexity(slimnets.mobilenet_edgetpu())
    assert cost.macs / 1e6 == pytest.approx(990, abs=1)
    assert cost.trainable_params / 1e6 == pytest.approx(4.0, abs=0.1)
