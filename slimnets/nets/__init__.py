"""One file a family: its tables, its end-point names, its public functions."""
