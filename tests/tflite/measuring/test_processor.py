"""Processors, by what Linux says of real ones."""

import pytest

from tflite.measuring.processor import read_cpuinfo, this_processor

XEON = """\
processor\t: 0
vendor_id\t: GenuineIntel
model name\t: Intel(R) Xeon(R) Platinum 8481C CPU @ 2.70GHz
flags\t\t: fpu sse2 fma avx avx2 avx512f avx_vnni avx512_vnni amx_bf16 amx_tile amx_int8

processor\t: 1
model name\t: another name
flags\t\t: fpu
"""
EPYC = """\
model name\t: AMD EPYC 7B13
flags\t\t: fpu sse2 fma avx avx2 sha_ni
"""
RASPBERRY_PI_5 = """\
processor\t: 0
BogoMIPS\t: 108.00
Features\t: fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc \
dcpop asimddp
CPU implementer\t: 0x41

Model\t\t: Raspberry Pi 5 Model B Rev 1.0
"""


@pytest.mark.parametrize(
    ("text", "name", "features", "dots"),
    [
        (
            XEON,
            "Intel(R) Xeon(R) Platinum 8481C CPU @ 2.70GHz",
            "AVX FMA3 AVX2 AVX512 AVX512-VNNI AVX-VNNI AMX-INT8",
            "AVX512-VNNI AVX-VNNI AMX-INT8",
        ),
        (EPYC, "AMD EPYC 7B13", "AVX FMA3 AVX2", ""),
        (RASPBERRY_PI_5, "Raspberry Pi 5 Model B Rev 1.0", "NEON FP16 DOTPROD", "DOTPROD"),
    ],
)
def test_name_and_features_are_those_that_decide_the_kernels(text, name, features, dots):
    found = read_cpuinfo(text, 2)
    assert (found.name, found.cores) == (name, 2)
    assert found.features == tuple(features.split())
    assert found.integer_dots == tuple(dots.split())


def test_a_system_that_tells_nothing_has_a_processor_nevertheless():
    found = read_cpuinfo("", 1)
    assert found.name
    assert str(found).endswith("1 core, features unknown")
    assert this_processor().cores >= 1
