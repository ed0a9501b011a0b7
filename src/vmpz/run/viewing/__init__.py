"""The interactive sky: what a viewer in a browser asks of a store, prepared without knowing of browsers or servers."""
