"""What a process that ends, however it ends, leaves behind, and how that is removed."""
