"""Inputs made to break things: generators, and a runner that notices when a process dies."""
