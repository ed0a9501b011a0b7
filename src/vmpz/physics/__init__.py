"""Formulas with units in their argument names: noise, depth, PSF, atmosphere, Sun, zodiacal light, extinction."""
