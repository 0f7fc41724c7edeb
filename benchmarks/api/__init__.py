"""What a request to the API costs on large tables; the README beside the package says more."""
