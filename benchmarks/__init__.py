"""Measurements that a decision rests on; run by hand, no part of the pipeline."""
