"""Mirrors app/checkpoint, module by module."""
