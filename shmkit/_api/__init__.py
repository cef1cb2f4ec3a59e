"""The public calls: their options, checked, and what they are made of."""
