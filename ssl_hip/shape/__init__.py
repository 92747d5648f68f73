"""The statistical shape model, how far a patch is from it, and measures of a hip."""
