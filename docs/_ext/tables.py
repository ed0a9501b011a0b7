"""The tables of the package as Markdown: commands, products, quantities, statistics, bits, readers, forms, keywords."""

import re
from collections.abc import Iterator
from inspect import getdoc
from sys import modules
from typing import Any

import fields
import typer
from fields import table

from vmpz.bits import bit_table, table_names
from vmpz.cli import app
from vmpz.io.forms import FORMS
from vmpz.io.inventory import INVENTORY, TABLE_TOKENS
from vmpz.io.metadata import DEGRADE_RULE, KEYWORDS, PRIMARY, TABLE, WEIGHT_KIND
from vmpz.make import RECIPES
from vmpz.quantities import QUANTITIES, degrade_rule
from vmpz.readers import READERS
from vmpz.statistics import STATISTICS

__all__ = ["GENERATED", "PAGES", "commands"]

PAGES = {
    "footprint": "footprint",
    "bitmask": "bitmask",
    "coverage": "coverage",
    "effectivecoverage": "effective",
    "info": "info",
    "depth": "depth",
    "visibility": "visibility",
    "redshifts": "redshifts",
    "random": "random",
    "statistics": "statistics",
    "goodpixels": "statistics",
}
"""Kind of product -> its page below products/."""

GROUP = {"effectivecoverage": "coverage", "redshifts": "visibility", "statistics": "", "goodpixels": ""}
"""Kind of product -> the group of parameters that steers it, where its name is another."""

WEIGHTS = {
    "OBSFRAC": "observed fraction, 1 = observed, absent = 0",
    "FLAGFRAC": "flagged fraction, 1 = flagged everywhere, absent = 0",
    "PROBAB": "probability times observed fraction, absent = 0",
    "MAG": "AB magnitude, absent = unmeasured",
}
RULES = {
    "COVERAGE": "mean of all children, an absent child counts as 0",
    "LOGQUAD": "mean of the noise variances, weighted by coverage",
}
UNITS = {"depth": "mag", "info": "of the quantity", "random": "", "redshifts": ""}


# -- commands -------------------------------------------------------------------------------------------------------


def commands() -> list[tuple[str, Any]]:
    """(name, command) of every command and sub-command."""
    return list(_below("", typer.main.get_command(app)))


def _below(name: str, command: Any) -> Iterator[tuple[str, Any]]:
    if not hasattr(command, "commands"):
        yield name, command
    for word, one in sorted(getattr(command, "commands", {}).items()):
        yield from _below(f"{name} {word}".strip(), one)


def command_pages() -> str:
    """Every command: what it does, how it is called, its arguments and options."""
    rows = [[f"[`vmpz {name}`](#command-{_anchor(name)})", _sentences(one)[0]] for name, one in commands()]
    return table(["command", "does"], rows) + "\n" + "\n".join(_command(*one) for one in commands())


def _anchor(name: str) -> str:
    return name.replace(" ", "-")


def _sentences(command: Any) -> tuple[str, str]:
    """What a command does, and the rest of its help."""
    first, _, rest = (command.help or "").strip().partition("\n\n")
    return " ".join(first.split()), "\n\n".join(part for part in (rest, command.epilog or "") if part)


def _command(name: str, command: Any) -> str:
    about, rest = _sentences(command)
    context = command.make_context(f"vmpz {name}", [], resilient_parsing=True)
    usage = command.get_usage(context).removeprefix("Usage: ")
    records = [one.get_help_record(context) for one in command.params if not getattr(one, "hidden", False)]
    rows = [_option(*record) for record in records if record]
    rest = f"\n{_examples(rest)}\n" if rest else ""
    head = f"(command-{_anchor(name)})=\n## `vmpz {name}`\n\n{about}\n\n```{{code-block}} text\n{usage}\n```\n{rest}\n"
    return head + table(*fields.without_empty(["argument or option", "meaning", "default"], rows))


def _examples(text: str) -> str:
    """The rest of a help text: paragraphs, and examples as a block of commands."""
    about, _, examples = text.replace("\b\n", "").partition("Examples:\n")
    commands = "\n".join(line.strip() for line in examples.splitlines())
    return f"{about.strip()}\n\n```{{code-block}} sh\n{commands}\n```" if commands else about


def _option(names: str, about: str) -> list[str]:
    found = re.search(r"\s*\[([^\]]*)\]$", about)
    extra = found[1].split("; ") if found else []
    about = about[: found.start()] if found else about
    default = next((f"`{one.removeprefix('default: ')}`" for one in extra if one.startswith("default: ")), "")
    if "required" in extra:
        default = "*required*"
    bounds = ", ".join(one for one in extra if one.startswith(("x", "0<", "1<")) or "<=x" in one)
    return [f"`{names}`", f"{about} {f'({bounds})' if bounds else ''}".strip(), default]


# -- products -------------------------------------------------------------------------------------------------------


def products() -> str:
    """One row a kind of product."""
    rows = []
    for kind, page in PAGES.items():
        rows.append([f"[{_title(kind)}]({page}.md)", f"`{kind}`", _tokens(kind), _value(kind), _rule(kind)])
    return table(["product", "kind", "file token", "value of a cell", "degrading"], rows)


def product(kind: str) -> str:
    """The facts of one kind of product, as a table of two columns."""
    group = GROUP.get(kind, kind)
    recipe = RECIPES.get(kind)
    scope = {"band": "one per tile and band", "tile": "one per tile, across bands"}
    rows = [
        ["kind", f"`{kind}`" + (f" ({scope[recipe.scope]})" if recipe else "")],
        ["file token", _tokens(kind)],
        ["DPDD product", ", ".join(f"`{row.dpd}`" for row in INVENTORY.values() if row.kind == kind)],
        ["value of a cell", "" if kind in TABLE_TOKENS else _value(kind)],
        ["unit", UNITS.get(kind, "none (a fraction)" if kind in WEIGHT_KIND else "")],
        ["degrading", _rule(kind)],
        ["parameters", f"[`{group}`](../parameters.md#parameters-{group})" if group else ""],
        ["keywords of its own", ", ".join(f"`{name}`" for name in _keywords(kind))],
        ["made by", f"{{py:mod}}`{modules[recipe.make.__module__].__name__}`" if recipe else ""],
    ]
    return table(["", ""], [[f"**{name}**", text] for name, text in rows if text])


def _title(kind: str) -> str:
    names = {"bitmask": "Bit mask", "effectivecoverage": "Effective coverage", "info": "Information maps"}
    names |= {
        "redshifts": "n(z) by visibility class",
        "random": "Random catalogue",
        "statistics": "Cell statistics",
    }
    return names.get(kind, "Good pixels" if kind == "goodpixels" else kind.capitalize())


def _tokens(kind: str) -> str:
    if kind in TABLE_TOKENS:
        return f"`{TABLE_TOKENS[kind]}`"
    prefix = {"healpix": "HP", "moc": "MOC", "mangle": "MANGLE"}
    rows = [(prefix[row.form], row.stem) for row in INVENTORY.values() if row.kind == kind]
    return ", ".join(f"`{start}{stem or '<QUANTITY>'}`" for start, stem in rows)


def _value(kind: str) -> str:
    return (
        WEIGHTS[WEIGHT_KIND[kind]]
        if kind in WEIGHT_KIND
        else {"info": "the statistic of a quantity"}.get(kind, "a table")
    )


def _rule(kind: str) -> str:
    if kind == "info":
        return "by quantity and statistic"
    rule = DEGRADE_RULE.get(kind, "")
    return f"`{rule}`: {RULES[rule]}" if rule else ""


def _keywords(kind: str) -> list[str]:
    return [row.name for row in KEYWORDS.values() if row.kinds is not None and kind in row.kinds]


# -- quantities, statistics, bits, readers, forms, keywords ------------------------------------------------------------


def quantities() -> str:
    """One row a quantity."""
    sources = {"plane": "image plane", "flag": "flag bit", "psf": "PSF stamps", "exposure": "exposures"}
    sources |= {"tile": "the tile", "sky": "map from outside", "catalogue": "catalogue"}
    rows = [
        [
            f"`{row.name}`",
            row.unit,
            row.meaning,
            f"{sources[row.source]} {f'`{row.plane}`' if row.plane else ''}".strip(),
            f"`{row.statistic}`",
            f"`{degrade_rule(row.name, 'MEAN')}`",
            f"`HP{row.name.upper()}`",
        ]
        for row in QUANTITIES.values()
    ]
    return table(
        ["INFO", "unit", "meaning", "from", "default statistic", "degrading of a mean", "file token"], rows
    )


def statistics() -> str:
    """One row a statistic."""
    return table(["STATIST", "meaning"], [[f"`{row.name}`", row.meaning] for row in STATISTICS.values()])


def bits() -> str:
    """Every bit table that comes with the package."""
    parts = []
    for name in table_names():
        one = bit_table(name)
        rows = [
            [str(bit.number), f"`{bit.name}`", bit.meaning, "yes" if bit.invalid else "", bit.marks]
            for bit in one.bits
        ]
        number = "code" if one.kind == "code" else "bit"
        vetoed = ", ".join(f"`{flag}`" for flag in one.default) or "none"
        parts.append(
            f"### `{name}`\n\n{one.instrument}, version {one.version}. "
            f"Vetoed by default in coverage and depth: {vetoed}.\n\n"
            + table(*fields.without_empty([number, "name", "meaning", "in INVALID", "marks"], rows))
        )
    return "\n".join(parts)


def readers() -> str:
    """One row a reader: what it reads, by its module, and whether it can expand exposures."""
    rows = []
    for name, one in READERS.items():
        module = modules[one.scan.__module__]
        about = " ".join((getdoc(module) or "").split("\n\n")[0].split()).partition(": ")[2]
        pixels = (
            "mosaics and images" if one.detectors is None else "images or exposures, detector by detector"
        )
        rows.append([f"[`{name}`](#reader-{name})", about, pixels if name != "exposures" else "no pixels"])
    return table(["reader", "files", "gives"], rows)


def forms() -> str:
    """One row a form on disk."""
    rows = [
        [f"`{one.name}`", ", ".join(f"`{end}`" for end in one.suffixes), "yes" if one.described else ""]
        for one in FORMS.values()
    ]
    return table(["form", "ends of file names", "XML descriptor"], rows)


def keywords() -> str:
    """Every FITS keyword of a product."""
    parts = []
    for title, group in (("Primary header", PRIMARY), ("Table header", TABLE)):
        rows = [
            [
                f"`{row.name}`",
                row.type.__name__,
                row.unit,
                row.comment,
                ", ".join(sorted(row.kinds or ())) or "all",
            ]
            for row in group
        ]
        parts.append(
            f"### {title}\n\n"
            + table(["keyword", "type", "unit", "meaning", "kinds that always have it"], rows)
        )
    return "\n".join(parts)


GENERATED = {
    "parameters": fields.parameters,
    "group": fields.table_of_group,
    "commands": command_pages,
    "products": products,
    "product": product,
    "quantities": quantities,
    "statistics": statistics,
    "bits": bits,
    "readers": readers,
    "forms": forms,
    "keywords": keywords,
}
"""Name of a generated part -> what writes it."""
