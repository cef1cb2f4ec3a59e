"""The loader processes: kept warm, given tasks, replaced when they die or are out of date."""
