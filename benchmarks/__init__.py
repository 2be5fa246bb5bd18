"""Figures that anyone can rerun: `make bench`."""
