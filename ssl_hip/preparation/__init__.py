"""From scans to the patches that networks learn from."""
