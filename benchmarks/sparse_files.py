"""Whether zeros make a file faster: pruned networks, dense and in TFLite's sparse form.

    python benchmarks/sparse_files.py

MobileNetV1 and V2 at 224×224, padded explicitly, with random weights of which the smaller share is
zero in each 1×1 convolution: the speed does not ask which. Both files of a network run by turns,
one thread, medians.

XNNPACK has sparse kernels for Arm, WebAssembly and x86's SSE, and does not use the last on a
processor that has AVX (`xnn_is_chw_compatible_config` in its src/xnnpack/hardware-config.h). The
second table is that of a process in which CPUID hides AVX, FMA and AVX-512 (needs gcc, Linux and a
processor that can do so, as Intel's): no speed that anybody would want of this machine, but the
proof that LiteRT takes files as they are written here to its sparse kernels, and what these are
worth against dense ones of the same instructions.
"""

import ctypes
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from absl import app, flags, logging

FLAGS = flags.FLAGS
NETWORKS = ("mobilenet_v1", "mobilenet_v2")
SIZE = 224
_HIDING = r"""
#define _GNU_SOURCE
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

static long set_cpuid(int works) { return syscall(SYS_arch_prctl, 0x1012, works); }

static void on_fault(int number, siginfo_t *info, void *context) {
  greg_t *r = ((ucontext_t *)context)->uc_mcontext.gregs;
  unsigned char *code = (unsigned char *)r[REG_RIP];
  if (code[0] != 0x0f || code[1] != 0xa2) { signal(SIGSEGV, SIG_DFL); return; }
  unsigned leaf = r[REG_RAX], part = r[REG_RCX], a = leaf, b, c = part, d;
  set_cpuid(1);
  __asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
  set_cpuid(0);
  if (leaf == 1) c &= ~(1u << 28 | 1u << 12 | 1u << 29);  /* AVX, FMA, F16C */
  if (leaf == 7) { b &= ~(0xd0230020u); c = d = 0; if (part) a = b = 0; }  /* AVX2, AVX-512, … */
  r[REG_RAX] = a; r[REG_RBX] = b; r[REG_RCX] = c; r[REG_RDX] = d; r[REG_RIP] += 2;
}

int hide_avx(void) {
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_sigaction = on_fault;
  action.sa_flags = SA_SIGINFO | SA_NODEFER;
  sigaction(SIGSEGV, &action, 0);
  return (int)set_cpuid(0);
}
"""


def write_files(folder: Path, zeros: float) -> None:
    """folder/NETWORK_dense.tflite and …_sparse.tflite."""
    import keras

    import slimnets
    import tflite

    for name in NETWORKS:
        keras.utils.set_random_seed(0)
        model = getattr(slimnets, name)((SIZE, SIZE, 3), use_explicit_padding=True)
        for layer in model.layers:
            if isinstance(layer, keras.layers.Conv2D) and layer.kernel_size == (1, 1):
                kernel = layer.kernel.numpy()
                kernel[np.abs(kernel) < np.quantile(np.abs(kernel), zeros)] = 0
                layer.kernel.assign(kernel)
        for kind in ("dense", "sparse"):
            out = folder / f"{name}_{kind}.tflite"
            tflite.convert(model, out, precision="float32", sparse=kind == "sparse")


def time_files(folder: Path) -> dict[str, dict[str, float]]:
    """Bytes and milliseconds of both files of each network."""
    from tflite.measuring.timing import invocation, time_calls

    table = {}
    for name in NETWORKS:
        files = [(folder / f"{name}_{kind}.tflite").read_bytes() for kind in ("dense", "sparse")]
        dense, sparse = (t.median for t in time_calls([invocation(f) for f in files], runs=30))
        table[name] = {
            "dense_bytes": len(files[0]),
            "sparse_bytes": len(files[1]),
            "dense_ms": dense,
            "sparse_ms": sparse,
        }
    return table


def without_avx(folder: Path) -> dict[str, dict[str, float]]:
    """`time_files` in a process that sees no AVX.

    Raises:
        OSError, subprocess.CalledProcessError: there is no gcc, or this processor cannot hide it.
    """
    library = folder / "hiding.so"
    command = ["gcc", "-O1", "-shared", "-fPIC", "-x", "c", "-", "-o", str(library)]
    subprocess.run(command, input=_HIDING, text=True, check=True, capture_output=True)
    words = [sys.executable, __file__, f"--timed={folder}"]
    done = subprocess.run(words, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def main(_: list[str]) -> None:
    logging.set_verbosity(logging.ERROR)
    if FLAGS.timed:
        if ctypes.CDLL(str(Path(FLAGS.timed) / "hiding.so")).hide_avx() != 0:
            raise OSError("this processor or kernel cannot hide what CPUID says")
        print(json.dumps(time_files(Path(FLAGS.timed))))
        return
    from tflite.measuring.processor import this_processor

    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_files(folder, FLAGS.zeros)
        tables = {this_processor().name: time_files(folder)}
        try:
            tables["the same without AVX"] = without_avx(folder)
        except (OSError, subprocess.CalledProcessError) as error:
            print(f"without AVX: not measured ({error})", file=sys.stderr)
    if FLAGS.json:
        print(json.dumps(tables))
        return
    for where, table in tables.items():
        print(where)
        for name, row in table.items():
            print(
                f"  {name:<13} {row['dense_bytes']:>10,} → {row['sparse_bytes']:>9,} bytes"
                f"  {row['dense_ms']:6.1f} → {row['sparse_ms']:5.1f} ms"
                f"  {row['dense_ms'] / row['sparse_ms']:.2f} times as fast"
            )


if __name__ == "__main__":
    flags.DEFINE_float("zeros", 0.8, "The share of zeros.", 0, 1)
    flags.DEFINE_string("timed", None, "A folder of files to time without AVX; for itself.")
    flags.DEFINE_bool("json", False, "Print one JSON object instead of tables.")
    app.run(main)
