"""Verbs that combine maps: masks from cuts, set algebra."""
