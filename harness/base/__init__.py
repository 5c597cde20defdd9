"""What every package may use: errors, files, text."""
