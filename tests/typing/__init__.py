"""What the type checker is asked, and nobody runs."""
