"""Files that Coral's compiler has made of others: how they are told, and what to say of them."""

import os

from tflite.files.flatbuffer import text
from tflite.files.reading import File

# coral.ai/docs/edgetpu/compiler: all that is mapped becomes one custom operator.
EDGETPU_OPERATOR = "edgetpu-custom-op"


def is_compiled(file: File) -> bool:
    """Whether the file has a part that only an Edge TPU runs."""
    codes = file.model.operatorCodes or ()
    return any(code.customCode and text(code.customCode) == EDGETPU_OPERATOR for code in codes)


def check_runs_here(file: File, delegate: bool | str | os.PathLike) -> None:
    """Raise a ValueError for a compiled file that no delegate's library would run."""
    if isinstance(delegate, bool) and is_compiled(file):
        raise ValueError(
            f"{file.name} is compiled for the Edge TPU, and only a Coral device runs it: with one, "
            "give delegate='libedgetpu.so.1' (--delegate=libedgetpu.so.1); without, use the file "
            "that it was compiled from."
        )
