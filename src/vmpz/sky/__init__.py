"""Cells and maps on the sphere; knows no survey, no file and no scheduler."""
