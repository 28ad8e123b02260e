"""What a file costs and how well it agrees: runtime, agreement, inspector, costs, reports."""
