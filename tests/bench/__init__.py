"""Figures printed as BENCH lines."""
