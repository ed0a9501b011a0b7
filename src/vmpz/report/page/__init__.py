"""The report page: one self-contained HTML file of what a store holds."""
