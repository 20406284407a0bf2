"""Pixels and class maps averaged over the cells of a grid."""
