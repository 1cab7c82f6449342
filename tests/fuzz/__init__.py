"""Coverage-guided fuzzing of whatever strangers write: `make fuzz`."""
