"""Speed beside the peers, measured on real servers; README.md says how to run and read it."""
