"""Files that numpy wrote: .npy and .npz."""
