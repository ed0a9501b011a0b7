"""Expressions on maps: parsed into a small tree and evaluated on arrays; nothing a user writes is ever run.

**What is allowed.** Names of maps; numbers; ``< <= > >= == !=`` (also chained, ``24 < depth_VIS < 26``); ``and or
not``, or ``& | ~``, and ``^`` for one but not both; ``+ - * /``; ``abs sqrt log10 min max``, ``isfinite(x)`` and
``known(x)``; parentheses. Anything else is refused with its place.

**Truths and numbers.** Where a truth is wanted (under ``and or not & | ^ ~``) the name of a map is a set: the cells
where a fraction (footprint, coverage, flag bits, a plain MOC) is > 0, and the cells that have a value for any other
map. There ``-`` is the difference of sets; elsewhere it subtracts, and a truth counts as the number 1 or 0. An
expression as a whole is a cut or a set unless it is arithmetic: ``A - B`` is a difference of sets for two fractions,
and a difference of values for two depths. As ``&`` binds tighter than ``<``, ``a > 1 & b > 2`` is refused, not misread.

**Unknown.** A fraction that a cell lacks is 0. Any other value that a cell lacks is unknown, and so is what is
computed from it, or from 0/0. Logic then has three values, as in SQL: a comparison with something unknown is unknown
and so is its negation; ``false and unknown`` is false, ``true or unknown`` is true. Only what is true enters a mask:
neither ``depth_VIS > 24`` nor ``not depth_VIS > 24`` takes a cell without depth, ``not known(depth_VIS)`` does.

**Precision.** A map is compared with a number in the map's own type (0.7 is 0.7 on a float32 map, as in numpy);
arithmetic is done in float64.
"""

import ast
import functools
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from vmpz.errors import InputError

__all__ = [
    "FALSE", "TRUE", "UNKNOWN", "Expression", "ExpressionError", "Node", "Operand", "number_of", "parse", "truth_of",
]  # fmt: skip

LONGEST = 2000
DEEPEST = 100
FALSE, UNKNOWN, TRUE = np.int8(0), np.int8(1), np.int8(2)
"""Truths, ordered so that `and` is the minimum, `or` the maximum and `not` the complement to `TRUE`."""

COMPARISONS: dict[str, np.ufunc] = {
    "<": np.less, "<=": np.less_equal, ">": np.greater, ">=": np.greater_equal, "==": np.equal, "!=": np.not_equal,
}  # fmt: skip
FLIPPED = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}
ARITHMETIC: dict[str, np.ufunc] = {
    "+": np.add, "-": np.subtract, "*": np.multiply, "/": np.divide, "min": np.minimum, "max": np.maximum,
    "negative": np.negative, "abs": np.absolute, "sqrt": np.sqrt, "log10": np.log10,
}  # fmt: skip
LOGIC = frozenset({"and", "or", "not", "xor"})
JOINED: dict[str, Callable[[Any, Any], Any]] = {
    "and": np.minimum,
    "or": np.maximum,
    "xor": lambda one, other: np.maximum(np.minimum(one, TRUE - other), np.minimum(TRUE - one, other)),
    "-": lambda one, other: np.minimum(one, TRUE - other),
}
"""What makes one truth of two."""
TESTS = frozenset({"isfinite", "known"})
FUNCTIONS = {"abs": 1, "sqrt": 1, "log10": 1, "isfinite": 1, "known": 1, "min": 0, "max": 0}
"""Functions and the number of their arguments; 0 = one or more."""

SYMBOLS: dict[type[ast.AST], str] = {
    ast.And: "and", ast.Or: "or", ast.Not: "not", ast.BitAnd: "and", ast.BitOr: "or", ast.BitXor: "xor",
    ast.Invert: "not", ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.USub: "negative",
    ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "==", ast.NotEq: "!=",
}  # fmt: skip
ALLOWED = (
    "allowed are names of maps, numbers, < <= > >= == !=, and or not, & | ^ ~, + - * /, parentheses, and the "
    f"functions {', '.join(FUNCTIONS)}"
)
HINT = "& | ^ bind tighter than comparisons: write `and`, `or`, or put comparisons in parentheses"

Truths = NDArray[np.int8]
Numbers = NDArray[Any] | float
Wanted = Literal["truth", "number", "compared", "either"]


class ExpressionError(InputError):
    """An expression does not hold what it must; the message names the column and what is allowed."""


@dataclass(frozen=True)
class Operand:
    """A map under evaluation: its values on some pieces of the sky (NaN = unknown), and whether it is a fraction."""

    values: NDArray[Any]
    fraction: bool


@dataclass(frozen=True)
class Node:
    """One operation of an expression.

    Attributes
    ----------
    what : str
        'name', 'number', or the operation.
    text : str
        As it was written; of a name the name.
    column : int
        Where it begins, from 1.
    arguments : tuple of Node
    number : float
        Of a number its value.
    """

    what: str
    text: str
    column: int
    arguments: tuple["Node", ...] = ()
    number: float = 0.0

    def walk(self) -> Iterator["Node"]:
        """This node and all below it, from left to right."""
        yield self
        for argument in self.arguments:
            yield from argument.walk()

    def flat(self, what: str) -> Iterator["Node"]:
        """The operands of a chain of one operation; the node itself where it is none."""
        if self.what != what:
            yield self
            return
        for argument in self.arguments:
            yield from argument.flat(what)

    @property
    def is_truth(self) -> bool:
        """Whether it is a truth wherever it stands."""
        return self.what in LOGIC or self.what in COMPARISONS or self.what in TESTS

    def cut_on(self, name: str) -> str | None:
        """The operator of a cut ``name < number`` or ``number > name`` (here ``<``), None if it is none on that map."""
        if self.what not in FLIPPED:
            return None
        left, right = self.arguments
        if left.text == name and left.what == "name" and not _names_a_map(right):
            return self.what
        if right.text == name and right.what == "name" and not _names_a_map(left):
            return FLIPPED[self.what]
        return None


def _names_a_map(node: Node) -> bool:
    return any(one.what == "name" for one in node.walk())


@dataclass(frozen=True)
class Expression:
    """A parsed expression: its text, as it was written with single blanks, and its tree."""

    text: str
    root: Node

    @property
    def names(self) -> dict[str, int]:
        """Names of maps in the order in which they first occur, each with its column."""
        found: dict[str, int] = {}
        for node in self.root.walk():
            if node.what == "name":
                found.setdefault(node.text, node.column)
        return found

    @property
    def terms(self) -> tuple[Node, ...]:
        """The terms of a top-level `and`; the whole expression where there is none."""
        return tuple(self.root.flat("and"))

    def is_logical(self, fractions: Collection[str]) -> bool:
        """Whether it is a cut or a set, not arithmetic; `fractions` are the names of maps that are fractions."""
        return _is_logical(self.root, fractions)

    @property
    def is_set_algebra(self) -> bool:
        """Whether it combines bare names as sets and does nothing else."""
        return all(node.what in {*LOGIC, "name", "-"} for node in self.root.walk())

    @property
    def combination(self) -> tuple[str, tuple[str, ...]] | None:
        """('MIN' or 'PRODUCT', names) where it is the minimum or the product of several maps, else None."""
        operands = self.root.arguments if self.root.what == "min" else tuple(self.root.flat("*"))
        names = tuple(dict.fromkeys(one.text for one in operands))
        if len(names) < 2 or len(names) < len(operands) or any(one.what != "name" for one in operands):
            return None
        return ("MIN" if self.root.what == "min" else "PRODUCT"), names


# -- parsing ----------------------------------------------------------------------------------------------------------


def parse(text: str) -> Expression:
    """Parse an expression.

    Raises
    ------
    ExpressionError
        It holds something that is not allowed, is too long or nests too deeply, or names no map.
    """
    text = " ".join(text.split())
    if not text.isascii() or len(text) > LONGEST:
        found = f"{len(text)}" if text.isascii() else "others"
        raise ExpressionError(
            f"an expression must hold at most {LONGEST} characters, all ASCII; found {found}"
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(text, mode="eval")
    except SyntaxError as error:
        column = max(error.offset or 1, 1)
        raise _refusal(column, f"{error.msg}, found {text[column - 1 :][:20]!r}") from error
    except (ValueError, RecursionError, MemoryError) as error:
        raise _refusal(1, str(error) or "nested too deeply") from error
    root = _converted(tree.body, text, 0)
    _check(root, "either")
    if not _names_a_map(root):
        raise _refusal(1, f"at least one map must be named, found {text!r}")
    return Expression(text, root)


def _refusal(column: int, message: str) -> ExpressionError:
    return ExpressionError(f"expression, column {column}: {message}; {ALLOWED}")


def _converted(tree: ast.expr, text: str, depth: int) -> Node:
    """The node of a syntax tree; what is not on the list is refused."""
    column, written = tree.col_offset + 1, text[tree.col_offset : tree.end_col_offset]
    if depth > DEEPEST:
        raise _refusal(column, f"operations must nest at most {DEEPEST} deep")

    def node(what: str, *arguments: ast.expr) -> Node:
        return Node(what, written, column, tuple(_converted(one, text, depth + 1) for one in arguments))

    match tree:
        case ast.Name(id=name) if not name.startswith("_"):
            return Node("name", name, column)
        case ast.Constant(value=value) if type(value) in (int, float):
            return Node("number", written, column, number=_finite(value, column))
        case ast.BoolOp(op=op, values=values):
            return node(SYMBOLS[type(op)], *values)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in SYMBOLS:
            return node(SYMBOLS[type(op)], left, right)
        case ast.UnaryOp(op=ast.UAdd(), operand=operand):
            return _converted(operand, text, depth + 1)
        case ast.UnaryOp(op=op, operand=operand):
            return node(SYMBOLS[type(op)], operand)
        case ast.Compare(ops=ops) if all(type(op) in SYMBOLS for op in ops):
            return _compared(tree, text, depth)
        case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]) if _takes(name, len(arguments)):
            return node(name, *arguments)
    raise _refusal(column, f"must be built of what is allowed, found {written[:40]!r}")


def _takes(function: str, count: int) -> bool:
    return function in FUNCTIONS and count >= 1 and FUNCTIONS[function] in (0, count)


def _finite(value: Any, column: int) -> float:
    try:
        number = float(value)
    except OverflowError:
        number = np.inf
    if not np.isfinite(number):
        raise _refusal(column, "a number must be finite")
    return number


def _compared(tree: ast.Compare, text: str, depth: int) -> Node:
    """A comparison, or the `and` of the comparisons of a chain."""
    sides = [_converted(side, text, depth + 1) for side in (tree.left, *tree.comparators)]
    symbols = [SYMBOLS[type(op)] for op in tree.ops]
    pairs = tuple(
        Node(symbol, f"{one.text} {symbol} {other.text}", one.column, (one, other))
        for one, symbol, other in zip(sides, symbols, sides[1:])
    )
    if len(pairs) == 1:
        return pairs[0]
    return Node("and", text[tree.col_offset : tree.end_col_offset], tree.col_offset + 1, pairs)


def _check(node: Node, wanted: Wanted) -> None:
    """Refuse numbers where a truth is wanted, and truths that are compared."""
    is_arithmetic = node.what == "number" or (node.what in ARITHMETIC and node.what != "-")
    if wanted == "truth" and is_arithmetic:
        raise _refusal(
            node.column, f"a comparison or the name of a map must stand here, found {node.text!r} ({HINT})"
        )
    if wanted == "compared" and node.is_truth:
        raise _refusal(node.column, f"numbers must be compared, found the truth {node.text!r} ({HINT})")
    if node.what in LOGIC:
        inner: Wanted = "truth"
    elif node.what in COMPARISONS:
        inner = "compared"
    elif node.what == "-" and wanted == "truth":
        inner = "truth"
    else:
        inner = "number"
    for argument in node.arguments:
        _check(argument, inner)


def _is_logical(node: Node, fractions: Collection[str]) -> bool:
    if node.what == "name":
        return node.text in fractions
    if node.what != "-":
        return node.is_truth
    sides = [(_is_logical(one, fractions), one.what == "name") for one in node.arguments]
    return any(logical for logical, _ in sides) and all(logical or name for logical, name in sides)


# -- evaluation -------------------------------------------------------------------------------------------------------


def truth_of(node: Node, maps: Mapping[str, Operand]) -> Truths:
    """Truth of an operation on every piece: FALSE, UNKNOWN or TRUE.

    Parameters
    ----------
    node : Node
    maps : mapping of str to Operand
        Every map that it names; all values of one shape.

    Returns
    -------
    int8 array
        Of the shape of the values.
    """
    shape = next(iter(maps.values())).values.shape
    with np.errstate(all="ignore"):
        return np.broadcast_to(_truth(node, maps), shape)


def number_of(node: Node, maps: Mapping[str, Operand]) -> NDArray[Any]:
    """Value of an operation on every piece, NaN where it is unknown; arguments as of `truth_of`."""
    shape = next(iter(maps.values())).values.shape
    with np.errstate(all="ignore"):
        return np.broadcast_to(np.asarray(_number(node, maps)), shape)


def _truth(node: Node, maps: Mapping[str, Operand]) -> Truths:
    if node.what == "name":
        known = maps[node.text]
        return _of_bool(known.values > 0 if known.fraction else ~np.isnan(known.values))
    if node.what in COMPARISONS:
        left, right = (_number(argument, maps) for argument in node.arguments)
        unknown = np.isnan(left) | np.isnan(right)
        return np.where(unknown, UNKNOWN, _of_bool(COMPARISONS[node.what](left, right)))
    if node.what in TESTS:
        value = _number(node.arguments[0], maps)
        return _of_bool(np.isfinite(value) if node.what == "isfinite" else ~np.isnan(value))
    truths = [_truth(argument, maps) for argument in node.arguments]
    result: Truths = TRUE - truths[0] if node.what == "not" else functools.reduce(JOINED[node.what], truths)
    return result


def _of_bool(values: Any) -> Truths:
    return np.where(values, TRUE, FALSE)


def _number(node: Node, maps: Mapping[str, Operand]) -> Numbers:
    """Values in the type of a bare map, numbers as Python's (which take the type of what they meet), else float64."""
    if node.what == "number":
        return node.number
    if node.what == "name":
        return maps[node.text].values
    if node.is_truth:
        truth = _truth(node, maps)
        return np.where(truth == UNKNOWN, np.nan, np.where(truth == TRUE, 1.0, 0.0))
    operation = ARITHMETIC[node.what]
    values = [np.asarray(_number(argument, maps), np.float64) for argument in node.arguments]
    result = operation(*values) if operation.nin == 1 else functools.reduce(operation, values)
    return result if np.ndim(result) else float(result)
