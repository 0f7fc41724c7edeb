"""What cookiecutter and cruft run to make a service of this repository."""
