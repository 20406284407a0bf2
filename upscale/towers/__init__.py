"""Flux towers: tables and layouts that they are read from, clusters, splits."""
