"""Parameter files and parameter products, one into the other."""

from collections.abc import Iterable
from pathlib import Path

from vmpz import io
from vmpz.parameters import Parameters, as_toml
from vmpz.run.instant import said_or_now

__all__ = ["from_xml", "to_xml"]

NO_INPUTS = """\
# Where the frames are is no matter of parameter products; say it here:
# [[inputs]]
# reader = "euclid-mer"
# location = "."
"""


def to_xml(parameters: Parameters, folder: str | Path) -> list[Path]:
    """Write the parameter products of a survey; their creation instant is that of the parameters, else now.

    Raises
    ------
    PlanError
        SOURCE_DATE_EPOCH is not a number of seconds.
    StorageError
        The system refuses.
    """
    return io.write_parameters(parameters, folder, said_or_now(parameters.survey.created))


def from_xml(paths: Iterable[str | Path], base: Parameters | None = None, ignore: Iterable[str] = ()) -> str:
    """A parameter file of what parameter products say, over a base.

    Returns
    -------
    str
        TOML. Tiles that the products name stand in a comment, as an argument of `vmpz run`, classes of random
        catalogues as one of `vmpz random`; without a base so does the place where the inputs are to be said.

    Raises
    ------
    InputError
        See `vmpz.io.read_parameters`.
    """
    told = io.read_parameters(paths, base, ignore)
    parameters = told.parameters
    head = f"# vmpz run FILE --tiles {','.join(told.tiles)}\n\n" if told.tiles else ""
    head += "".join(f"# vmpz random FILE --selection {name}\n\n" for name in told.classes)
    if base is None:
        head += NO_INPUTS
        parameters = parameters.model_copy(update={"inputs": []})
    text = as_toml(parameters)
    return f"{head}\n{text}" if base is None else head + text
