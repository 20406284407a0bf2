"""Layouts in which a folder may hold flux towers: harmonised, ONEFlux, CarbonFluxBench."""
