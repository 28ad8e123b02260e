"""The one door to LiteRT's interpreter."""

from typing import Any

from ai_edge_litert.interpreter import Interpreter, OpResolverType

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
    delegate: bool = True,
    keep_all_tensors: bool = False,
    **options: Any,
) -> Interpreter:
    """LiteRT's interpreter for a file's bytes; its tensors are not allocated yet.

    Args:
        content: of a .tflite file.
        num_threads: of the CPU kernels; None is LiteRT's default.
        delegate: whether XNNPACK, LiteRT's default delegate, may take operators.
        keep_all_tensors: inner tensors can be read after a run.
        options: any other keyword of LiteRT's `Interpreter`.

    Raises:
        ValueError, RuntimeError: LiteRT cannot load the file.
    """
    if not delegate:
        options["experimental_op_resolver_type"] = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    return _QuietInterpreter(
        model_content=content,
        num_threads=num_threads,
        experimental_preserve_all_tensors=keep_all_tensors,
        **options,
    )
