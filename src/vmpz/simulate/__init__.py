"""A small survey with answers known in closed form, written in the real formats."""

from vmpz.simulate.survey import Simulation, simulate

__all__ = ["Simulation", "simulate"]
