"""What a user holds: arrays, tables and text over segments, and what stands for them elsewhere."""
