"""Simulated hips and the CT that a scanner makes of them."""
