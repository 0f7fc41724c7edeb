"""What is told of the checkpoint's tables."""
