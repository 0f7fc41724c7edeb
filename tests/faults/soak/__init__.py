"""Faults of all kinds at random for a long time, and a report of what they did."""
