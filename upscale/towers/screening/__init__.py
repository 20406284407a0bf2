"""Screening of towers: signs, units, seasons and gaps that cannot be, or hardly can be, right."""
