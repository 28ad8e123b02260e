"""Every import statement of a source tree, and which of them points the wrong way.

Reads, never imports: `ast` sees the statements inside functions too, and `import_module("…")` with
a literal name. What stands under `if TYPE_CHECKING:` never runs and is told apart.
"""

import ast
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

IMPORT_TIME, LAZY, TYPING = "at import time", "inside a function", "for type checking"


@dataclass(frozen=True)
class Import:
    """`module` imports `target`: a module of the tree, or the dotted name of something outside.

    `names` are what `from target import …` takes out of it (no submodules among them).
    """

    module: str
    target: str
    names: tuple[str, ...]
    when: str
    place: str  # "slimnets/catalog.py:50"

    def wrong(self, rule: str) -> str:
        return f"{self.place}: {self.module} imports {self.target} {self.when}: {rule}"


def within(name: str, *packages: str) -> bool:
    """Whether `name` is one of the packages or modules, or inside one."""
    return any(name == package or name.startswith(f"{package}.") for package in packages)


# --- Reading -------------------------------------------------------------------------------------


def read(root: Path, packages: Iterable[str]) -> tuple[frozenset[str], list[Import]]:
    """The modules of the packages (folders in `root`), and all that they import."""
    files = {
        _module_name(path.relative_to(root)): path
        for package in packages
        for path in sorted((root / package).rglob("*.py"))
    }
    found = []
    for module, path in files.items():
        tree = ast.parse(path.read_text("utf-8"), path)
        package = module if path.name == "__init__.py" else module.rpartition(".")[0]
        for node, when in _walk(tree, IMPORT_TIME):
            place = f"{path.relative_to(root).as_posix()}:{node.lineno}"
            for target, names in _targets(node, package, files):
                found.append(Import(module, target, names, when, place))
    return frozenset(files), found


def _module_name(path: Path) -> str:
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _walk(node: ast.AST, when: str) -> Iterator[tuple[ast.AST, str]]:
    """Statements and calls that import, with when they run."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import | ast.ImportFrom | ast.Call):
            yield child, when
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield from _walk(child, LAZY if when == IMPORT_TIME else when)
        elif isinstance(child, ast.If) and _is_type_checking(child.test):
            yield from _walk(ast.Module(child.body, []), TYPING)
            yield from _walk(ast.Module(child.orelse, []), when)
        else:
            yield from _walk(child, when)


def _is_type_checking(test: ast.expr) -> bool:
    return ast.unparse(test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")


def _targets(
    node: ast.AST, package: str, modules: Iterable[str]
) -> Iterator[tuple[str, tuple[str, ...]]]:
    if isinstance(node, ast.Import):
        for alias in node.names:
            yield alias.name, ()
    elif isinstance(node, ast.ImportFrom):
        base = node.module or ""
        if node.level:
            parents = package.split(".")[: len(package.split(".")) - node.level + 1]
            base = ".".join([*parents, *filter(None, [node.module])])
        names = [alias.name for alias in node.names]
        submodules = [name for name in names if f"{base}.{name}" in modules]
        for name in submodules:
            yield f"{base}.{name}", ()
        if rest := tuple(name for name in names if name not in submodules):
            yield base, rest
    elif isinstance(node, ast.Call) and node.args:
        called = ast.unparse(node.func).rpartition(".")[2]
        name = node.args[0]
        if (
            called in ("import_module", "__import__")
            and isinstance(name, ast.Constant)
            and isinstance(name.value, str)
            and not name.value.startswith(".")
        ):
            yield name.value, ()


# --- Circles -------------------------------------------------------------------------------------


def circles(modules: Iterable[str], imports: Iterable[Import]) -> list[str]:
    """One message for each set of modules that import each other, whenever they do so."""
    edges: dict[str, dict[str, Import]] = {module: {} for module in modules}
    for item in imports:
        if item.when != TYPING and item.target in edges and item.target != item.module:
            edges[item.module].setdefault(item.target, item)
    messages = []
    for group in _strongly_connected(edges):
        if len(group) > 1:
            circle = _shortest_circle(edges, group)
            messages.append(
                f"{circle[0].place}: a circle of imports: "
                + ", ".join(f"{item.module} → {item.target} ({item.place})" for item in circle)
                + (f"; in it or around it: {', '.join(sorted(group))}" * (len(group) > len(circle)))
            )
    return sorted(messages)


def _shortest_circle(edges: Mapping[str, Mapping[str, Import]], group: set[str]) -> list[Import]:
    found: list[list[Import]] = []
    for start in sorted(group):
        paths, seen = [[edges[start][target]] for target in edges[start]], set()
        while paths and paths[0][-1].target != start:
            path = paths.pop(0)
            end = path[-1].target
            if end in group and end not in seen:
                seen.add(end)
                paths += [[*path, item] for item in edges[end].values()]
        found += paths[:1]
    return min(found, key=len)


def _strongly_connected(edges: Mapping[str, Iterable[str]]) -> list[set[str]]:
    """Tarjan's strongly connected components."""
    order: dict[str, int] = {}
    lowest: dict[str, int] = {}
    stack: list[str] = []
    groups: list[set[str]] = []

    def visit(module: str) -> None:
        order[module] = lowest[module] = len(order)
        stack.append(module)
        for target in edges[module]:
            if target not in order:
                visit(target)
                lowest[module] = min(lowest[module], lowest[target])
            elif target in stack:
                lowest[module] = min(lowest[module], order[target])
        if lowest[module] == order[module]:
            start = stack.index(module)
            groups.append(set(stack[start:]))
            del stack[start:]

    for module in edges:
        if module not in order:
            visit(module)
    return groups
