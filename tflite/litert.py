"""The one door to LiteRT's interpreter."""

import ctypes
import os
from typing import Any

from ai_edge_litert.interpreter import Delegate, Interpreter, OpResolverType, load_delegate

from tflite import native_output

# Not a warning, and said in every process that runs a file; LiteRT has no switch for it.
_NOTE = "INFO: Created TensorFlow Lite XNNPACK delegate for CPU."


class _QuietInterpreter(Interpreter):
    """LiteRT's interpreter without its note that it runs on XNNPACK."""

    _noted = False  # LiteRT says it once in a process; from then on nothing is kept back.

    def allocate_tensors(self) -> None:
        """As LiteRT's. The default delegate is made here, and the note with it."""
        if _QuietInterpreter._noted:
            return super().allocate_tensors()
        with native_output.intercepted(_all_but_the_note):
            return super().allocate_tensors()


def _all_but_the_note(line: str) -> None:
    if line.strip() == _NOTE:
        _QuietInterpreter._noted = True
    else:
        native_output.pass_on(line)


def open_interpreter(
    content: bytes,
    *,
    num_threads: int | None = None,
    delegate: bool | str | os.PathLike = True,
    keep_all_tensors: bool = False,
    **options: Any,
) -> Interpreter:
    """LiteRT's interpreter for a file's bytes; its tensors are not allocated yet.

    Args:
        content: of a .tflite file.
        num_threads: of the CPU kernels; None is LiteRT's default.
        delegate: True: XNNPACK, LiteRT's default delegate, may take operators. False: none may.
            Else a delegate's library, such as "libedgetpu.so.1", which comes before XNNPACK.
        keep_all_tensors: inner tensors can be read after a run.
        options: any other keyword of LiteRT's `Interpreter`.

    Raises:
        ValueError, RuntimeError: LiteRT cannot load the file.
        OSError: the delegate's library cannot be loaded, or its device does not answer.
    """
    if not isinstance(delegate, bool):
        options["experimental_delegates"] = [_loaded(delegate)]
    elif not delegate:
        options["experimental_op_resolver_type"] = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    return _QuietInterpreter(
        model_content=content,
        num_threads=num_threads,
        experimental_preserve_all_tensors=keep_all_tensors,
        **options,
    )


def _loaded(library: str | os.PathLike) -> Delegate:
    """The delegate of a library.

    Raises:
        OSError: as `open_interpreter`.
    """
    library = os.fspath(library)
    is_coral = "edgetpu" in os.path.basename(library)
    try:
        # load_delegate's own failure leaves a half-made object that complains when it goes.
        _ = ctypes.CDLL(library).tflite_plugin_create_delegate
    except (OSError, AttributeError) as error:  # the latter of a library that is no delegate
        how = (
            " It is Coral's runtime: add the package source deb https://packages.cloud.google.com/"
            "apt coral-edgetpu-stable main, then apt-get install libedgetpu1-std."
        )
        raise OSError(
            f"the delegate {library} cannot be loaded ({error}).{how if is_coral else ''}"
        ) from error
    try:
        return load_delegate(library)
    except ValueError as error:
        # libedgetpu gives no reason where no device answers.
        reason = " ".join(str(error).split())[:300] or "no reason given"
        how = (
            " Is a Coral device plugged in (lsusb shows 1a6e:089a or 18d1:9302), and may this user "
            "use it (group plugdev)?"
        )
        raise OSError(
            f"the delegate {library} does not start ({reason}).{how if is_coral else ''}"
        ) from error
