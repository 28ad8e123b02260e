"""How fast model files run here, side by side: `race.benchmark` and what it is made of."""
