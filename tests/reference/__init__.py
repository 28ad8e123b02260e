"""Golden files of the networks' reference implementations, and the scripts that make them."""
