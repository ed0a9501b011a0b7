"""What helps whoever types a command: a first page in sections, examples under every command, what may be meant."""

import re
from collections.abc import Iterator
from typing import Any

from typer.core import TyperGroup

from vmpz.errors import meant, nearest

__all__ = ["EXAMPLES", "FIRST", "SECTIONS", "Commands", "hinted"]

SECTIONS = {
    "Make": ("demo", "simulate", "run"),
    "Look": ("show", "report", "view", "query", "nz"),
    "Combine": ("merge", "convert", "mask", "calibrate"),
    "Random catalogues": ("random", "validate"),
    "Store": ("list", "status", "check", "release", "prov"),
    "Help": ("params", "doctor"),
}
"""Sections of the first page; commands that stand in none come last."""

FIRST = """\b
Begin with
  vmpz demo                           simulate a survey, make all of its maps
  vmpz report demo/store demo.html    look at them
  vmpz params --example               a parameter file, for vmpz run

\b
vmpz COMMAND --help tells more, with examples; vmpz doctor, what is amiss.
vmpz --install-completion makes Tab complete commands, options, bands, tiles.
The documentation is in the folder docs: docs/first-steps.md comes first.
"""

EXAMPLES = {
    "demo": ("vmpz demo", "vmpz demo small --tiles 1 --size 400"),
    "simulate": (
        "vmpz simulate survey",
        "vmpz simulate mission --tiles 1 --size 400 --frames VIS,NISP,DECAM",
        "vmpz simulate wide --galaxies",
    ),
    "run": (
        "vmpz run survey/survey.toml --dry-run",
        "vmpz run survey/survey.toml --workers 4",
        "vmpz run survey/survey.toml --tiles 102018211 --bands VIS --products depth,coverage",
    ),
    "show": ("vmpz show depth.fits", "vmpz show depth.fits --plot depth.png", "vmpz show depth.fits --json"),
    "report": ("vmpz report survey/store report.html",),
    "view": ("vmpz view survey/store",),
    "query": (
        "vmpz query survey/store --at 58.0 -51.5",
        "vmpz query survey/store --catalog galaxies.fits -o with-maps.fits --bands VIS",
        "vmpz query survey/store --region field.moc.fits",
    ),
    "nz": ("vmpz nz survey/store --class deep -o nz.csv",),
    "merge": (
        "vmpz merge survey/store/102*/*~depth~*~VIS~* -o depth.fits --order 10",
        "vmpz merge @files.txt -o coverage.moc.fits",
        "vmpz merge survey/survey.toml --patch demo -o handover --order 10",
    ),
    "convert": (
        "vmpz convert depth.fits depth.moc.fits",
        "vmpz convert depth.fits coarse.parquet --order 8",
    ),
    "mask": (
        "vmpz mask survey/store --where 'depth_VIS > 24.5 and coverage_NIR_Y > 0.8' -o mask.fits --table",
        "vmpz mask A=one.moc.fits B=two.moc.fits --where 'A & ~B' -o difference.moc.fits",
        "vmpz mask survey/store --curve depth_VIS:23:26:0.1",
    ),
    "calibrate noise": ("vmpz calibrate noise image.fits --rms rms.fits --aperture 8 --seed 1",),
    "calibrate depth": (
        "vmpz calibrate depth galaxies.parquet -o limit.fits --order 9 --flux FLUX_VIS --flux-error FLUXERR_VIS",
    ),
    "calibrate compare": ("vmpz calibrate compare limit.fits depth.fits",),
    "random": (
        "vmpz random wide/survey.toml --selection counts -o randoms.fits --density 1e6 --seed 1",
        "vmpz random --map visibility.fits -o randoms.parquet --number 1000000 --scheme exact --seed 1",
    ),
    "validate": ("vmpz validate randoms.fits --map visibility.fits -o validation.png",),
    "list": ("vmpz list survey/store", "vmpz list survey/store --kinds depth,coverage --bands VIS --json"),
    "status": ("vmpz status survey/store",),
    "check": ("vmpz check survey/store", "vmpz check depth.fits"),
    "release create": ("vmpz release survey/store create dr1",),
    "release list": ("vmpz release survey/store list",),
    "release diff": ("vmpz release survey/store diff dr1 dr2",),
    "release verify": ("vmpz release survey/store verify dr1",),
    "release export": ("vmpz release survey/store export dr1 handover --format parquet",),
    "prov": ("vmpz prov survey/store -o provenance.json",),
    "params": (
        "vmpz params --example > survey.toml",
        "vmpz params --reader generic",
        "vmpz params --file survey.toml",
        "vmpz params --file survey.toml --to-xml params",
    ),
    "doctor": ("vmpz doctor", "vmpz doctor --json"),
}
"""Command -> lines that its help shows."""


class Commands(TyperGroup):
    """The commands in sections, with examples; an unknown one is told what may be meant."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        for name, command in _all(self):
            lines = EXAMPLES.get(name, ())
            command.epilog = (
                "\n".join(["\b", "Examples:", *(f"  {line}" for line in lines)]) if lines else None
            )

    def list_commands(self, ctx: Any) -> list[str]:
        """Names, section by section."""
        known = [name for names in SECTIONS.values() for name in names if name in self.commands]
        return [*known, *(name for name in self.commands if name not in known)]

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write a list for each section: the first clause of what each command says of itself."""
        names = self.list_commands(ctx)
        width = max(map(len, names), default=0)
        listed = {name for one in SECTIONS.values() for name in one}
        others = tuple(name for name in names if name not in listed)
        for title, members in {**SECTIONS, "More": others}.items():
            rows = [
                (name.ljust(width), _clause(self.commands[name].help or ""))
                for name in members
                if name in names and not self.commands[name].hidden
            ]
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[Any, Any, list[str]]:
        """The command of the first word; who asks for help is told where it is."""
        word = args[0]
        if (
            word not in self.commands
            and not ctx.resilient_parsing
            and nearest(word, [*self.commands, "help"]) == "help"
        ):
            ctx.fail(f"No such command {word!r}. Did you mean 'vmpz --help', or 'vmpz COMMAND --help'?")
        return super().resolve_command(ctx, args)


def _all(group: TyperGroup, above: str = "") -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        yield f"{above}{name}", command
        if isinstance(command, TyperGroup):
            yield from _all(command, f"{above}{name} ")


def _clause(text: str) -> str:
    """The first clause of a text, without the stop."""
    return re.split(r"[.:;](?:\s|$)", " ".join(text.split()), maxsplit=1)[0]


def hinted(error: Any) -> Any:
    """A usage error; one about a choice says what must hold, what was found and what may be meant."""
    told = re.fullmatch(r"(?:Value error, )?'(.*)' is not one of (.*)\.", getattr(error, "message", "") or "")
    if told:
        known = re.findall(r"'([^']*)'", told[2])
        error.message = f"must be one of {', '.join(known)}, found {told[1]}{meant(told[1], known)}"
    return error
