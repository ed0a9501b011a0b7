"""Expressions: what is refused, three-valued logic against a slow evaluation cell by cell, laws, precision."""

import ast
import inspect
import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from vmpz.errors import InputError
from vmpz.make import expressions
from vmpz.make.expressions import FALSE, TRUE, UNKNOWN, ExpressionError, Operand, number_of, parse, truth_of

FRACTIONS = {"f", "g"}
VALUES = {"d", "e"}

# -- the slow way: one cell, Python numbers, None for what is unknown -------------------------------------------------

COMPARE = {
    ast.Lt: lambda a, b: a < b,
    ast.LtE: lambda a, b: a <= b,
    ast.Gt: lambda a, b: a > b,
    ast.GtE: lambda a, b: a >= b,
    ast.Eq: lambda a, b: a == b,
    ast.NotEq: lambda a, b: a != b,
}


def slow_truth(tree, cell):
    """True, False or None."""
    match tree:
        case ast.Name(id=name):
            value = cell[name]
            return value is not None and (name in VALUES or value > 0)
        case ast.BoolOp(op=ast.And(), values=values):
            return slow_and([slow_truth(one, cell) for one in values])
        case ast.BoolOp(op=ast.Or(), values=values):
            return slow_not(slow_and([slow_not(slow_truth(one, cell)) for one in values]))
        case ast.UnaryOp(op=ast.Not() | ast.Invert(), operand=one):
            return slow_not(slow_truth(one, cell))
        case ast.BinOp(left=left, op=op, right=right):
            a, b = slow_truth(left, cell), slow_truth(right, cell)
            if isinstance(op, ast.BitAnd):
                return slow_and([a, b])
            if isinstance(op, ast.Sub):
                return slow_and([a, slow_not(b)])
            if isinstance(op, ast.BitOr):
                return True if True in (a, b) else None if None in (a, b) else False
            return None if None in (a, b) else a != b
        case ast.Compare(left=left, ops=ops, comparators=others):
            sides = [slow_number(one, cell) for one in (left, *others)]
            pairs = zip(sides, ops, sides[1:], strict=False)
            return slow_and([None if None in (a, b) else bool(COMPARE[type(op)](a, b)) for a, op, b in pairs])
        case ast.Call(func=ast.Name(id=name), args=[one]):
            value = slow_number(one, cell)
            return value is not None and (name == "known" or math.isfinite(value))
    raise AssertionError(ast.dump(tree))


def slow_not(truth):
    return None if truth is None else not truth


def slow_and(truths):
    return False if False in truths else None if None in truths else True


def slow_number(tree, cell):
    """A number of the type of the map where it is one alone, else a Python float; None if unknown."""
    match tree:
        case ast.Name(id=name):
            return cell[name]
        case ast.Constant(value=value):
            return value
        case ast.UnaryOp(op=ast.USub(), operand=one):
            value = slow_number(one, cell)
            return None if value is None else -float(value)
        case ast.BinOp(left=left, op=op, right=right) if isinstance(op, ast.Add | ast.Sub | ast.Mult):
            a, b = slow_number(left, cell), slow_number(right, cell)
            if a is None or b is None:
                return None
            a, b = float(a), float(b)
            value = a + b if isinstance(op, ast.Add) else a - b if isinstance(op, ast.Sub) else a * b
            return None if math.isnan(value) else value
        case ast.BinOp(left=left, op=ast.Div(), right=right):
            a, b = slow_number(left, cell), slow_number(right, cell)
            return None if a is None or b is None else slow_divide(float(a), float(b))
        case ast.Call(func=ast.Name(id=("min" | "max") as name), args=many):
            values = [slow_number(one, cell) for one in many]
            return None if None in values else (min if name == "min" else max)(map(float, values))
        case ast.Call(func=ast.Name(id="abs"), args=[one]):
            value = slow_number(one, cell)
            return None if value is None else abs(float(value))
        case ast.Call(func=ast.Name(id="sqrt"), args=[one]):
            value = slow_number(one, cell)
            return None if value is None or value < 0 else math.sqrt(value)
    truth = slow_truth(tree, cell)
    return None if truth is None else float(truth)


def slow_divide(a, b):
    if b == 0:
        return None if a == 0 else math.copysign(math.inf, a) * math.copysign(1, b)
    return a / b


# -- random expressions -----------------------------------------------------------------------------------------------

names = st.sampled_from(sorted(FRACTIONS | VALUES))
literals = st.sampled_from(["0", "0.5", "1", "24.5", "25", "0.7", "2e-1"])


def numbers(truths):
    bare = names | literals
    return st.recursive(
        bare,
        lambda inner: st.one_of(
            st.builds("({} {} {})".format, inner, st.sampled_from("+-*/"), inner),
            st.builds("{}({}, {})".format, st.sampled_from(["min", "max"]), inner, inner),
            st.builds("{}({})".format, st.sampled_from(["abs", "sqrt", "-"]), inner),
            st.builds("(({}) * {})".format, truths, inner),
        ),
        max_leaves=4,
    )


symbols = st.sampled_from(["<", "<=", ">", ">=", "==", "!="])
truths = st.deferred(
    lambda: st.one_of(
        names,
        st.builds("({} {} {})".format, numbers(truths), symbols, numbers(truths)),
        st.builds("({} {} {} {} {})".format, literals, symbols, names, symbols, literals),
        st.builds("{}({})".format, st.sampled_from(["known", "isfinite"]), numbers(truths)),
        st.builds("({} {} {})".format, truths, st.sampled_from(["and", "or", "&", "|", "^", "-"]), truths),
        st.builds("({} {})".format, st.sampled_from(["not", "~"]), truths),
    )
)
cells = st.lists(
    st.fixed_dictionaries(
        {
            **{name: st.sampled_from([0.0, 0.5, 0.7, 1.0]) for name in FRACTIONS},
            **{name: st.sampled_from([None, 0.0, 0.7, 24.5, 25.25, -1.0]) for name in VALUES},
        }
    ),
    min_size=1,
    max_size=6,
)


def operands(rows):
    """Cells as float32 maps."""
    return {
        name: Operand(
            np.array([np.nan if row[name] is None else row[name] for row in rows], np.float32),
            name in FRACTIONS,
        )
        for name in rows[0]
    }


def in_float32(row):
    return {name: None if value is None else np.float32(value) for name, value in row.items()}


def parsed(text):
    """The expression, or None where `text` names no map or compares truths."""
    try:
        return parse(text)
    except ExpressionError:
        return None


@given(truths, cells)
@settings(max_examples=300, deadline=None)
def test_logic_agrees_with_a_slow_evaluation(text, rows):
    expression = parsed(text)
    if expression is None:
        return
    tree = ast.parse(text, mode="eval").body
    kleene = {True: TRUE, False: FALSE, None: UNKNOWN}
    wanted = [kleene[slow_truth(tree, in_float32(row))] for row in rows]
    assert truth_of(expression.root, operands(rows)).tolist() == wanted


@given(numbers(truths), cells)
@settings(max_examples=200, deadline=None)
def test_arithmetic_agrees_with_a_slow_evaluation(text, rows):
    expression = parsed(text)
    if expression is None:
        return
    tree = ast.parse(text, mode="eval").body
    wanted = [slow_number(tree, in_float32(row)) for row in rows]
    found = number_of(expression.root, operands(rows))
    assert np.array_equal(found, np.array([np.nan if one is None else one for one in wanted]), equal_nan=True)


@given(truths, truths, cells)
@settings(max_examples=150, deadline=None)
def test_laws_of_three_valued_logic(one, other, rows):
    """De Morgan, idempotence, commutation, double negation, absorption; `-` and `^` by the others."""
    if parsed(one) is None or parsed(other) is None:
        return
    maps = operands(rows)

    def same(left, right):
        found = [truth_of(parse(text.format(a=one, b=other)).root, maps) for text in (left, right)]
        assert np.array_equal(*found), (left, right)

    same("not ({a} and {b})", "not {a} or not {b}")
    same("~({a} | {b})", "~{a} & ~{b}")
    same("{a} & {a}", "({a}) or ({a})")
    same("{a} & {b}", "{b} and {a}")
    same("not not {a}", "{a} & {a}")
    same("{a} | ({a} & {b})", "{a} & {a}")
    same("({a} - {b}) & {a}", "{a} & ~{b}")
    same("{a} ^ {b}", "({a} & ~{b}) | (~{a} & {b})")


# -- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "depth.__class__", "().__class__.__bases__", "depth[0]", "depth[0:1]", "lambda: depth",
        "lambda depth: 1", "[d for d in depth]", "{d for d in depth}", "{d: 1 for d in depth}",
        "(d for d in depth)", "open('x')", "__import__('os').system('true')", "eval('1')", "exec('1')",
        "getattr(d, 'a')", "f'{d}'", "'text' < d", "b'x' < d", "d if e else f", "(d := 1)", "d := 1", "*d",
        "[d]", "(d, e)", "{d}", "{d: e}", "await d", "(yield d)", "min(*d)", "min(d, key=e)", "min(**d)",
        "abs(d, e)", "abs()", "min()", "sqrt(d)(e)", "abs.d", "(abs)(d)(e)", "d ** 2", "d // 2", "d % 2",
        "d << 2", "d >> 2", "d @ e", "d in e", "d is e", "d not in e", "d is not e", "1j * d > 2",
        "True and d", "None == d", "... and d", "__class__", "_d > 1", "import os", "d; e", "d = 1", "d == ",
        "&d", "d &", "", " ", "#", "d > 1e999", "9" * 400 + " > d", "1 > 0", "1", "dépth > 1", "d\0", "d > '",
        "((d)", "d)",
    ],
)  # fmt: skip
def test_everything_else_is_refused_with_its_place(text):
    with pytest.raises(ExpressionError, match=r"expression, column \d+: |must hold at most"):
        parse(text)


def test_a_refusal_names_the_column_and_what_is_allowed():
    with pytest.raises(ExpressionError) as error:
        parse("depth_VIS > 24 and depth_VIS.values > 3")
    assert "column 20: " in str(error.value) and "found 'depth_VIS.values'" in str(error.value)
    assert "allowed are names of maps" in str(error.value) and "log10" in str(error.value)


@pytest.mark.parametrize(
    "text", ["a > 1 & b > 2", "a > (b & c)", "(a > 1) > b", "a & 3", "(a - 1) & b", "~(a * b)"]
)
def test_a_comparison_that_binds_less_than_a_sign_is_not_misread(text):
    with pytest.raises(ExpressionError, match="bind tighter than comparisons"):
        parse(text)


def test_length_and_depth_are_bounded():
    with pytest.raises(ExpressionError, match="at most 2000 characters"):
        parse("a" * 2001)
    for text in ("~" * 150 + "a", "not " * 150 + "a", "-" * 150 + "a > 1", "a" + "+a" * 150 + " > 1"):
        with pytest.raises(ExpressionError, match="nest at most 100 deep"):
            parse(text)
    with pytest.raises(ExpressionError):
        parse("(" * 300 + "a" + ")" * 300)
    assert len(parse("a > 1" + " and a > 1" * 150).terms) == 151


soup = st.lists(
    st.sampled_from(
        ["a", "b_VIS", "1", "2.5", "<", ">=", "==", "!=", "and", "or", "not", "&", "|", "^", "~", "-", "+",
         "*", "/", "(", ")", ",", "min", "abs", "known", ".", "[", "]", "lambda", "for", "in", "if", "else",
         ":", "=", "'", "__a__", "**", "//", "{", "}", "@", "0x1F", "1_0", "\\", "\t", "\n", "#", "é",
         "\ud800", "None", "1e400", "0777", "1or"]
    ),
    max_size=14,
).map(" ".join)  # fmt: skip


@given(st.text(max_size=60) | soup | soup.map(lambda text: text.replace(" ", "")))
@example("\ud800")
@example("1or 2")
@example("'\\d'")
@settings(max_examples=500, deadline=None)
def test_whatever_is_written_is_an_expression_or_an_input_error(text):
    try:
        expression = parse(text)
    except InputError as error:
        assert isinstance(error, ExpressionError)
        return
    allowed = {
        "name",
        "number",
        *expressions.ARITHMETIC,
        *expressions.COMPARISONS,
        *expressions.LOGIC,
        *expressions.TESTS,
    }
    assert {node.what for node in expression.root.walk()} <= allowed
    assert all(name.isidentifier() and name[0] != "_" for name in expression.names)
    maps = {name: Operand(np.array([np.nan, 0, 1], np.float32), False) for name in expression.names}
    is_logical = expression.is_logical(())
    assert (truth_of if is_logical else number_of)(expression.root, maps).shape == (3,)


def test_nothing_is_ever_run():
    """The module calls neither eval nor exec nor compile, and looks nothing up by a name that a user wrote."""
    tree = ast.parse(inspect.getsource(expressions))
    called = {
        node.func.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    assert not called & {
        "eval",
        "exec",
        "compile",
        "getattr",
        "setattr",
        "globals",
        "locals",
        "__import__",
        "open",
    }
    assert "literal_eval" not in inspect.getsource(expressions)


# -- meaning ----------------------------------------------------------------------------------------------------------


def truths_of(text, fractions=(), **values):
    maps = {name: Operand(np.array(one, np.float32), name in fractions) for name, one in values.items()}
    return truth_of(parse(text).root, maps).tolist()


def test_unknown_never_enters_but_known_tells():
    depth = [24.0, 25.0, np.nan]
    assert truths_of("d > 24.5", d=depth) == [FALSE, TRUE, UNKNOWN]
    assert truths_of("not d > 24.5", d=depth) == [TRUE, FALSE, UNKNOWN]
    assert truths_of("d > 24.5 or d <= 24.5", d=depth) == [TRUE, TRUE, UNKNOWN]
    assert truths_of("known(d)", d=depth) == [TRUE, TRUE, FALSE]
    assert truths_of("not known(d) or d > 24.5", d=depth) == [FALSE, TRUE, TRUE]
    assert truths_of("known(d > 24.5)", d=depth) == [TRUE, TRUE, FALSE]
    assert truths_of("isfinite(d / 0)", d=[0, 1, np.nan]) == [FALSE, FALSE, FALSE]
    assert truths_of("known(d / 0)", d=[0, 1, np.nan]) == [FALSE, TRUE, FALSE]


def test_a_fraction_that_is_absent_is_zero_and_a_name_is_a_set():
    coverage, depth = [0.0, 0.5, 1.0], [np.nan, 25.0, 0.0]
    assert truths_of("c < 0.8", {"c"}, c=coverage) == [TRUE, TRUE, FALSE]
    assert truths_of("known(c)", {"c"}, c=coverage) == [TRUE, TRUE, TRUE]
    assert truths_of("~c | ~c", {"c"}, c=coverage) == [TRUE, FALSE, FALSE]
    assert truths_of("d & d", d=depth) == [FALSE, TRUE, TRUE]


def test_a_map_is_compared_in_its_own_type():
    assert truths_of("c >= 0.7 and c <= 0.7 and c == 0.7", {"c"}, c=[0.7]) == [TRUE]
    assert truths_of("c > 0.3 + 0.4", {"c"}, c=[0.7]) == [FALSE]
    assert truths_of("c * 1 >= 0.7", {"c"}, c=[0.7]) == [FALSE], "arithmetic is done in float64"
    tile = {"t": Operand(np.array([102018211.0, 102018212.0]), False)}
    assert truth_of(parse("t == 102018211").root, tile).tolist() == [TRUE, FALSE]
    assert truths_of("c < 1e300", c=[1.0]) == [TRUE]


@pytest.mark.parametrize(
    ("text", "logical"),
    [
        ("f", True), ("d", False), ("f - g", True), ("d - e", False), ("d - f", True), ("f - 0.5", False),
        ("f - g - d", True), ("(d - e) - f", False), ("min(f, g)", False), ("f * g", False), ("d > 3", True),
        ("~d", True), ("known(d)", True), ("(d > 3) - (e > 3)", True), ("(d > 3) + (e > 3)", False),
        ("-f", False), ("abs(f - g)", False), ("+f", True),
    ],
)  # fmt: skip
def test_what_is_a_cut_and_what_is_arithmetic(text, logical):
    assert parse(text).is_logical(FRACTIONS) is logical


def test_minus_subtracts_where_numbers_are_wanted():
    maps = operands([{"f": 1.0, "g": 0.5, "d": None, "e": 0.0}, {"f": 0.0, "g": 0.5, "d": 1.0, "e": 0.0}])
    assert truth_of(parse("f - g > 0.25").root, maps).tolist() == [TRUE, FALSE]
    assert truth_of(parse("abs(f - g) == 0.5").root, maps).tolist() == [TRUE, TRUE]
    assert truth_of(parse("(f - g) & e").root, maps).tolist() == [FALSE, FALSE]
    assert number_of(parse("((f > 0) + (g > 0) + (d > 0))").root, maps).tolist()[1] == 2.0


def test_terms_names_cuts_and_combinations():
    expression = parse("24 < d < 26 and (f > 0.8) & ~g and not  (d > e)")
    assert expression.text == "24 < d < 26 and (f > 0.8) & ~g and not (d > e)"
    assert [term.text for term in expression.terms] == ["24 < d", "d < 26", "f > 0.8", "~g", "not (d > e)"]
    assert expression.names == {"d": 6, "f": 18, "g": 30, "e": 45}
    assert [term.cut_on("d") for term in expression.terms] == [">", "<", None, None, None]
    assert parse("d >= 2 + 2").root.cut_on("d") == ">=" and parse("d >= e").root.cut_on("d") is None
    assert parse("min(f, g)").combination == ("MIN", ("f", "g"))
    assert parse("f * g * d").combination == ("PRODUCT", ("f", "g", "d"))
    for text in ("f", "min(f)", "f * 2", "f * f", "min(f, f * g)", "max(f, g)", "f + g"):
        assert parse(text).combination is None
    assert parse("~f & (g - d) | e ^ f").is_set_algebra
    assert not parse("~f & (g > 0)").is_set_algebra and not parse("f * g").is_set_algebra
