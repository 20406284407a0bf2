"""Model releases: finding, reading, writing and citing them."""
