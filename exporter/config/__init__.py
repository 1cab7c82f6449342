"""Configuration: its shape, where it comes from, and what is wrong with it."""
