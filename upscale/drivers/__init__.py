"""The driver cube: writing, gap filling, opening, reading by tile; features of a model."""
