"""From a float graph to integers: calibration images, ranges, and the engine that writes them."""
