"""Which processor this is, and what of it decides how fast integers are."""

import os
import platform
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

_CPUINFO = Path("/proc/cpuinfo")

# The instructions that XNNPACK has kernels for, as /proc/cpuinfo spells them → as people do.
_KNOWN = {
    "avx": "AVX",
    "fma": "FMA3",
    "avx2": "AVX2",
    "avx512f": "AVX512",
    "avx512_vnni": "AVX512-VNNI",
    "avx_vnni": "AVX-VNNI",
    "amx_int8": "AMX-INT8",
    "avx512_fp16": "AVX512-FP16",
    "asimd": "NEON",
    "neon": "NEON",
    "asimdhp": "FP16",
    "asimddp": "DOTPROD",
    "i8mm": "I8MM",
    "sve": "SVE",
    "sme": "SME",
}
# With one of these, a multiply–add of four int8 pairs is one instruction.
_INTEGER_DOTS = ("AVX512-VNNI", "AVX-VNNI", "AMX-INT8", "DOTPROD", "I8MM")


@dataclass(frozen=True)
class Processor:
    """The processor that a program runs on.

    Attributes:
        name: its maker's, as far as the system tells.
        cores: logical cores that this process may use.
        features: of its instructions, those that XNNPACK's kernels are chosen by.
    """

    name: str
    cores: int
    features: tuple[str, ...]

    @property
    def integer_dots(self) -> tuple[str, ...]:
        """The features by which int8 convolutions are faster than float32 ones; none: they need
        not be."""
        return tuple(feature for feature in self.features if feature in _INTEGER_DOTS)

    def __str__(self) -> str:
        cores = f"{self.cores} core{'s' * (self.cores != 1)}"
        return f"{self.name}, {cores}, {' '.join(self.features) or 'features unknown'}"


def this_processor() -> Processor:
    """The processor of this machine; what the system does not tell is left out."""
    text = _CPUINFO.read_text("utf-8", "replace") if _CPUINFO.is_file() else _as_cpuinfo()
    return read_cpuinfo(text, usable_cores())


def usable_cores() -> int:
    """Logical cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def read_cpuinfo(text: str, cores: int) -> Processor:
    """The processor that a /proc/cpuinfo of x86 or Arm is about."""
    fields = dict(re.findall(r"^([^\n:]*?)[ \t]*:[ \t]*(.*)$", text, re.MULTILINE)[::-1])
    flags = (fields.get("flags") or fields.get("Features") or "").split()
    features = dict.fromkeys(name for flag, name in _KNOWN.items() if flag in flags)
    # Arm's has no model name on 64 bits; Raspberry Pis tell the board.
    name = fields.get("model name") or fields.get("Model") or platform.processor()
    return Processor(name or platform.machine() or "unknown processor", cores, tuple(features))


def _as_cpuinfo() -> str:
    """What macOS tells, in the same words; Windows tells no features."""
    names = {"FEAT_DotProd": "asimddp", "FEAT_I8MM": "i8mm", "FEAT_FP16": "asimdhp"}
    try:
        said = subprocess.run(
            ["sysctl", "-a"], capture_output=True, text=True, timeout=10, check=False
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ""
    model = re.search(r"^machdep\.cpu\.brand_string: (.*)$", said, re.MULTILINE)
    on = re.findall(r"^hw\.optional\.arm\.(\w+): 1$", said, re.MULTILINE)
    intel = re.findall(r"^machdep\.cpu\.(?:leaf7_)?features: (.*)$", said, re.MULTILINE)
    flags = [names[name] for name in on if name in names] + ["asimd"] * bool(on)
    flags += " ".join(intel).lower().replace("avx1.0", "avx").split()
    return f"model name : {model.group(1) if model else ''}\nflags : {' '.join(flags)}\n"
