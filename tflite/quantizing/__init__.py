"""From a float graph to integers: calibration images, ranges, the route, the engine that writes."""
