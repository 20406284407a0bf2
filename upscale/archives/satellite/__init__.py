"""MODIS and VIIRS granules: names, products, quality rules, vegetation indices."""
