"""Readers of published archives (MODIS, VIIRS, ERA5, static maps), in physical units."""
