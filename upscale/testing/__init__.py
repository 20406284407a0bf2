"""Synthetic archives, towers, releases and stores for tests, benchmarks and examples."""
