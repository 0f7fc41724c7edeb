"""The tests; a package, so that benchmarks can import its servers."""
