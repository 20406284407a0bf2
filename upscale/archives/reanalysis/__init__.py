"""ERA5 and ERA5-Land: published files, hourly fields, daily drivers."""
