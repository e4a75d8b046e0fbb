"""Exercises cut from the package's own source, and a checker that says what is wrong.  Start with exercises.py, checker.py."""
