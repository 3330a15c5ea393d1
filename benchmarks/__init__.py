"""Benchmarks: deid-batch and what a user would pick instead, side by side on the same files."""
