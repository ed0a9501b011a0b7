"""Files: strict opening, row blocks, whole writing, digests. The only room that touches bytes on disk."""
