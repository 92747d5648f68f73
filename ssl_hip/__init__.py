"""Semi-supervised segmentation of hip bones in CT via embedding matching."""
