"""Rows of files and databases."""
