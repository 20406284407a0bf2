"""What the codes of class maps mean: read from a file, named by the user, or proven by codes."""
