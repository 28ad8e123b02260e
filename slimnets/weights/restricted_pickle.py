"""A reader for the data part of the pickle format: it builds data and never calls anything.

`pickle.load` runs whatever callable a file names. This one is a stack machine over
`pickletools.genops` that knows dicts, lists, tuples, numbers and strings, and the few names its
caller gives a meaning to. Any other name is refused with a `ValueError` that says which, or, where
the caller allows for it, stands for itself: what the file would have made by it is a `Placeholder`
that holds the data and does nothing. Protocols 0 to 5. Work and memory stay proportional to the
bytes read: nothing is repeated, sized or hashed because the file says so; sets are lists.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO

_INTEGERS = {"INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4"}
_FLOATS = {"FLOAT", "BINFLOAT"}
_BYTE_STRINGS = {"STRING", "BINSTRING", "SHORT_BINSTRING"}
_STRINGS = {"UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"}
_BYTES = {"BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"}
_LITERALS = _INTEGERS | _FLOATS | _BYTE_STRINGS | _STRINGS | _BYTES
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_MARK = object()


@dataclass(frozen=True)
class Global:
    """A name the pickle refers to, kept as a name: it is never imported."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


@dataclass(eq=False)
class Placeholder:
    """An object of a class or function that is not known: what the file says of it, as data."""

    made_by: str
    arguments: tuple = ()
    state: Any = None
    items: dict = field(default_factory=dict)  # where it is a kind of dict
    values: list = field(default_factory=list)  # where it is a kind of list

    def __str__(self) -> str:
        return self.made_by[:200]


def load(
    file: BinaryIO,
    constructors: Mapping[str, Callable[..., Any]],
    symbols: Callable[[str], bool] = lambda name: False,
    persistent_load: Callable[[Any], Any] | None = None,
    unknown: Callable[[str], None] | None = None,
) -> Any:
    """Reads one pickle from `file`, leaving the position after it.

    Args:
        file: a seekable binary file in memory (`io.BytesIO`), so that a length written in the
          pickle can never allocate more than the file holds.
        constructors: dotted name → the function to use where the pickle calls that name.
        symbols: tells which further dotted names may stand in the pickle as plain `Global` values.
        persistent_load: what to make of a persistent id; None refuses them.
        unknown: is told every other dotted name, and may refuse it by a ValueError; else objects
          made by it become `Placeholder`s. None: all are refused.

    Raises:
        ValueError: the pickle is damaged, or holds something other than data.
    """
    try:
        return _Machine(constructors, symbols, persistent_load, unknown).run(file)
    except (IndexError, KeyError, TypeError, UnicodeDecodeError, OverflowError) as error:
        raise ValueError(f"damaged pickle: {error or type(error).__name__}") from error


class _Machine:
    """The stack, the memo and one method for every group of opcodes."""

    def __init__(self, constructors, symbols, persistent_load, unknown):
        self.constructors = constructors
        self.symbols = symbols
        self.persistent_load = persistent_load
        self.unknown = unknown
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def run(self, file: BinaryIO) -> Any:
        for opcode, argument, _ in pickletools.genops(file):
            name = opcode.name
            if name == "STOP":
                return self.stack.pop()
            if name in _LITERALS:
                self.stack.append(argument)
            elif name in _CONSTANTS:
                self.stack.append(_CONSTANTS[name])
            elif name not in ("PROTO", "FRAME"):
                method = getattr(self, f"do_{name}", None)
                if method is None:
                    raise ValueError(
                        f"refused the pickle instruction {name}: a weight file holds only tensors, "
                        "dicts, lists, tuples, numbers and strings."
                    )
                method(argument)
        raise ValueError("the pickle ends before its STOP instruction: the file is truncated.")

    def since_mark(self) -> list[Any]:
        mark = len(self.stack) - 1
        while self.stack[mark] is not _MARK:
            mark -= 1
        items = self.stack[mark + 1 :]
        del self.stack[mark:]
        return items

    def do_MARK(self, _):
        self.stack.append(_MARK)

    def do_POP(self, _):
        self.stack.pop()

    def do_POP_MARK(self, _):
        self.since_mark()

    def do_DUP(self, _):
        self.stack.append(self.stack[-1])

    def do_BINPUT(self, index):
        self.memo[index] = self.stack[-1]

    do_PUT = do_LONG_BINPUT = do_BINPUT

    def do_MEMOIZE(self, _):
        self.memo[len(self.memo)] = self.stack[-1]

    def do_BINGET(self, index):
        self.stack.append(self.memo[index])

    do_GET = do_LONG_BINGET = do_BINGET

    def do_EMPTY_DICT(self, _):
        self.stack.append({})

    def do_DICT(self, _):
        items = self.since_mark()
        self.stack.append({})
        self.set_items(items)

    def do_SETITEM(self, _):
        value, key = self.stack.pop(), self.stack.pop()
        self.set_items([key, value])

    def do_SETITEMS(self, _):
        self.set_items(self.since_mark())

    def set_items(self, items: list[Any]) -> None:
        target = self.stack[-1]
        target = target.items if isinstance(target, Placeholder) else target
        if not isinstance(target, dict):
            raise TypeError(f"items set on a {type(target).__name__}")
        for key, value in zip(items[::2], items[1::2], strict=True):
            if isinstance(key, list | dict):
                raise TypeError(f"a dict key of type {type(key).__name__}")
            # Only keys that hash in constant time: nested tuples can be made to take forever.
            if isinstance(key, str | int | float | bytes | None):
                target[key] = value

    def do_EMPTY_LIST(self, _):
        self.stack.append([])

    def do_LIST(self, _):
        self.stack.append(self.since_mark())

    def do_APPEND(self, _):
        value = self.stack.pop()
        self.append_all([value])

    def do_APPENDS(self, _):
        self.append_all(self.since_mark())

    def append_all(self, values: list[Any]) -> None:
        target = self.stack[-1]
        target = target.values if isinstance(target, Placeholder) else target
        if not isinstance(target, list):
            raise TypeError(f"values appended to a {type(target).__name__}")
        target.extend(values)

    do_EMPTY_SET = do_EMPTY_LIST
    do_FROZENSET = do_LIST
    do_ADDITEMS = do_APPENDS

    def do_EMPTY_TUPLE(self, _):
        self.stack.append(())

    def do_TUPLE(self, _):
        self.stack.append(tuple(self.since_mark()))

    def do_TUPLE1(self, _):
        self.stack[-1:] = [tuple(self.stack[-1:])]

    def do_TUPLE2(self, _):
        self.stack[-2:] = [tuple(self.stack[-2:])]

    def do_TUPLE3(self, _):
        self.stack[-3:] = [tuple(self.stack[-3:])]

    def do_GLOBAL(self, argument):
        self.push_global(*argument.split(" ", 1))

    def do_STACK_GLOBAL(self, _):
        name, module = self.stack.pop(), self.stack.pop()
        self.push_global(module, name)

    def push_global(self, module: str, name: str) -> None:
        found = Global(module, name)
        known = str(found) in self.constructors or self.symbols(str(found))
        if not known and self.unknown is not None:
            self.unknown(str(found))
        elif not known:
            raise ValueError(
                f"refused {str(found)[:200]}: a weight file holds only tensors, dicts, lists, "
                "tuples, numbers and strings; anything else could run code. In PyTorch, save the "
                "weights alone: torch.save(model.state_dict(), path)."
            )
        self.stack.append(found)

    def do_REDUCE(self, _):
        arguments, called = self.stack.pop(), self.stack.pop()
        self.make(called, arguments)

    do_NEWOBJ = do_REDUCE

    def do_NEWOBJ_EX(self, _):
        keywords, arguments, called = (self.stack.pop() for _ in range(3))
        self.make(called, (*arguments, keywords))

    def make(self, called: Any, arguments: Any) -> None:
        if not isinstance(called, Global | Placeholder) or not isinstance(arguments, tuple):
            raise TypeError(f"a call of a {type(called).__name__}")
        constructor = self.constructors.get(str(called)) if isinstance(called, Global) else None
        if constructor is None and self.unknown is None:
            raise TypeError(f"a call of {called}")
        made = constructor(*arguments) if constructor else Placeholder(str(called), arguments)
        self.stack.append(made)

    def do_BUILD(self, _):
        # The state of an OrderedDict is its attributes (PyTorch's `_metadata`): not data.
        state = self.stack.pop()
        if isinstance(self.stack[-1], Placeholder):
            self.stack[-1].state = state

    def do_BINPERSID(self, _):
        self.push_persistent(self.stack.pop())

    def do_PERSID(self, argument):
        self.push_persistent(argument)

    def push_persistent(self, pid: Any) -> None:
        if self.persistent_load is None:
            raise ValueError("refused a persistent id where none belongs.")
        self.stack.append(self.persistent_load(pid))
