"""Tests of the service's agents."""
