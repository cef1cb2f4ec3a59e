"""What is known of a load while it goes on."""
