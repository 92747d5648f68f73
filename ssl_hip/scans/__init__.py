"""Where the scans of a cohort lie, what is wrong with them, and which split they belong to."""
