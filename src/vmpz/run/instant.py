"""The creation instant of products: said by name, else SOURCE_DATE_EPOCH, else the clock; always UTC."""

import os
from datetime import UTC, datetime

from vmpz.run.plan import PlanError

__all__ = ["instant_of", "now", "said_or_now"]


def now() -> datetime:
    """SOURCE_DATE_EPOCH where it is set, else the clock.

    Raises
    ------
    PlanError
        SOURCE_DATE_EPOCH is not a number of seconds.
    """
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    if epoch is None:
        return datetime.now(UTC)
    try:
        return datetime.fromtimestamp(int(epoch), UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise PlanError(f"SOURCE_DATE_EPOCH must be a whole number of seconds, found {epoch!r}") from error


def instant_of(said: str | datetime) -> datetime:
    """An instant in UTC; without a time zone it is meant in UTC.

    Raises
    ------
    PlanError
        It is not an ISO date and time.
    """
    if isinstance(said, str):
        try:
            said = datetime.fromisoformat(said)
        except ValueError as error:
            raise PlanError(f"created must be an ISO date and time, found {said!r}") from error
    return said.replace(tzinfo=UTC) if said.tzinfo is None else said.astimezone(UTC)


def said_or_now(said: str | datetime | None) -> datetime:
    """The instant that is said, else that of `now`.

    Raises
    ------
    PlanError
        See `instant_of` and `now`.
    """
    return now() if said is None else instant_of(said)
