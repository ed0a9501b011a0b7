"""The interactive sky: a page and the server, on this machine alone, that it asks."""
