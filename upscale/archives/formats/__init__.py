"""File formats of archives: HDF4, HDF-EOS, GRIB, quality bits, scale factors."""
