"""What a person sees of a load, an export and the memory of the machine."""
