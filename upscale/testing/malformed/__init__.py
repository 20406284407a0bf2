"""Files that are wrong in many ways, to show that each is read or refused in one line."""
