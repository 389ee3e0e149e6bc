"""What trains, predicts and assesses again and again: the demo, cross-validation, suggestions, factor studies."""
