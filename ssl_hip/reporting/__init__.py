"""Scores, tables, figures and pictures of finished runs."""
