"""What the bytes of a segment are: a .npy file, and what follows it."""
