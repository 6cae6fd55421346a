"""What a search of fine-tuning schedules says: what mattered, and freezing against unfreezing."""
