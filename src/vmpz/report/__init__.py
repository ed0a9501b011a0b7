"""Figures of maps, to look at."""
