"""The study: which trainings it consists of, and how they are run and kept."""
