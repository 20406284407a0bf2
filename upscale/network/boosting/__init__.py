"""Boosted trees, and checks of their files."""
