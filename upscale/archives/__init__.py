"""Archives as they are published: MODIS, VIIRS, ERA5 and static maps, read to physical values."""
