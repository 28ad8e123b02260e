"""What pyproject.toml cannot say; everything else is there."""

from setuptools import find_packages, setup

# The recipes stand at the top of a clone, where they are read, and inside the package of a wheel,
# where they are in nobody's way. `packages.find` in pyproject.toml cannot add one from elsewhere.
setup(
    packages=[
        *find_packages(include=["slimnets", "slimnets.*", "tflite", "tflite.*"]),
        "slimnets.configs",
    ],
    package_dir={"slimnets.configs": "configs"},
)
