"""Coral's Edge TPU: its compiler's rules, its expected verdict, and running it.

The compiler (`edgetpu_compiler`, last release 16.0) is a closed x86-64 Linux program, so
`check_edgetpu` predicts its verdict from the published rules, without it.
"""
