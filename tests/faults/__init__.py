"""Faults put into real workers, brokers and databases: whatever happens, no event is lost."""
