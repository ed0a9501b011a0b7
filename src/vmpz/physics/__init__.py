"""Formulas with units in their argument names: depth, noise, PSF."""
