"""Services that cookiecutter and cruft make of this repository; none of it goes into them."""
