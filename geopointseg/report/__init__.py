"""Pictures and documents that show what was found."""
