"""One file a family, and all there is to know of it.

Its records and blocks, tables, public functions, catalogue rows, published weights, and its layers'
names in other libraries' files. Which families there are, and what of them is public, is said in
`slimnets.names`; importing this package makes all of them known to `slimnets.weights.families`.
"""

from importlib import import_module

from slimnets.names import FAMILIES

for _family in FAMILIES:
    import_module(f"{__name__}.{_family}")
